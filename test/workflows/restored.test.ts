import type { WorkflowFailedError } from '@temporalio/client';
import { rootCause } from '@temporalio/common';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { takeStock } from '../../db/installation';
import { examineTargets } from '../../worker/doctor/targets';
import type { Examined } from '../../worker/doctor';
import { controlQueue } from '../../temporal-config/names';
import { adoptWorkflowId } from '../../workflows/messages';
import { hold, reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** The database loses what was written last, as when a replica that lagged takes over, or a dump is restored. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'bare'] });
  // Its command is in the target's journal, too.
  const shop = world.targets.get('shop')!;
  const reload = { argv: ['true'], timeoutSeconds: 10 };
  const driver = { ...shop.driver, reload } as typeof shop.driver;
  world.targets = new Map([...world.targets, ['shop', { ...shop, driver }]]);
  await stock();
});
afterAll(() => world.stop());
beforeEach(async () => {
  world.faults = {};
  if (world.version() !== 'v1') await world.deploy('v1');
});

const stock = () => takeStock(world.db, undefined, (what) => world.keyring.sign('restored', 'audit', what));
/** Runs as the owner of the tables, past every trigger and reference. */
const lose = (work: (tx: any) => Promise<unknown>) =>
  world.owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await work(tx);
    // The same database, on the timeline of another server.
    await tx.raw(`UPDATE installation SET place = place || '{"timeline": "FFFFFFFF"}'`);
  });
/** Stops the next try of a step, after its effect, until it is let go. */
const shownAs = (status: 'Failed' | 'Completed', workflowId: string) =>
  world.until('visibility to show it', async () => {
    const query = `WorkflowId = '${workflowId}' AND ExecutionStatus = '${status}'`;
    return (await world.client.workflow.count(query)).count > 0;
  });
const ended = (row: () => Promise<{ status: string }>) =>
  world.until('it to end', async () =>
    ['succeeded', 'rolled-back', 'cancelled'].includes((await row()).status),
  );

const waited = { status: 'queued', fence: null, from_release: null, from_deployment: null, started_at: null };
it.each([
  ['its steps; it was terminated', { fence: 1 }, 'terminated'],
  ['its steps and its release; it was terminated', { to_release: null }, 'terminated'],
  ['that it held the lane; it goes on', { ...waited, to_release: null }, 'goes on'],
])(
  'the swap was done, and the database lost %s: recovery looks and finishes it',
  async (_what, went, then) => {
    const held = hold(world, 'swap', { effectFirst: true, once: true });
    const d = await world.start(await world.approved('v2'));
    await held.there;
    const { id, promotion } = await d.row();
    if (then === 'terminated') await d.handle.terminate();
    await lose(async (tx) => {
      await tx('deployment_steps').where({ deployment: id }).delete();
      await tx('deployments').where({ id }).update(went);
      if ('status' in went) {
        await tx('promotions').where({ id: promotion }).update({ status: 'approved' });
        await tx('change_requests').where({ id: promotion }).update({ status: 'approved' });
      }
      await tx('targets').where({ name: 'shop' }).update({ fence: 1 });
    });
    await stock();
    held.go();
    await d.handle.result().catch(() => undefined);
    await reconcile(world);
    await ended(d.row);
    const row = await d.row();
    expect(row).toMatchObject({ status: 'succeeded', to_release: world.current() });
    expect(world.version()).toBe('v2');
    expect(row.owner).toMatch(/^recover\/CP-\d+\/1~\d+-[0-9a-f]{6}$/);
    await world.checkEnded(row);
    expect(
      await world.db('audit').where({ action: 'deployment.amended', subject: `CP-${promotion}.1` }),
    ).toHaveLength(1);
  },
);

describe('the dump was made in the middle of a swap, and the deployment has succeeded since', () => {
  async function back() {
    const d = await world.deploy('v2');
    world.addOrder('written since\n');
    const { id, promotion, from_deployment } = await d.row();
    await lose(async (tx) => {
      const steps = tx('deployment_steps').where({ deployment: id });
      await steps.clone().whereNotIn('name', ['build', 'backup', 'migrate', 'swap']).delete();
      await steps.clone().where({ name: 'swap' }).update({ status: 'running', finished_at: null });
      await tx('deployments').where({ id }).update({ status: 'running', finished_at: null, outcome: null });
      await tx('promotions').where({ id: promotion }).update({ status: 'executing' });
      await tx('change_requests').where({ id: promotion }).update({ status: 'in-progress' });
      await tx('targets').where({ name: 'shop' }).update({ current_deployment: from_deployment });
    });
    await stock();
    return d;
  }
  const stays = () => {
    expect(world.version()).toBe('v2');
    expect(world.orders()).toContain('written since');
  };

  it('and is healthy: it is finished, and what was written since stays', async () => {
    const d = await back();
    await reconcile(world);
    await ended(d.row);
    expect(await d.row()).toMatchObject({ status: 'succeeded' });
    stays();
    await world.checkEnded(await d.row());
  });

  it('and is not healthy now: no data goes back, and a person is asked', async () => {
    const d = await back();
    const sick = join(world.root('shop'), 'current', 'sick');
    writeFileSync(sick, '');
    await reconcile(world);
    await world.until('a person to be asked', async () =>
      ['rollback-failed', 'rolled-back'].includes((await d.row()).status),
    );
    stays();
    const { owner, status } = await d.row();
    expect(status).toBe('rollback-failed');
    rmSync(sick);
    await world.client.workflow
      .getHandle(owner)
      .signal('resolveRollback', world.resolutionOf(owner, 'accept'));
    await ended(d.row);
    stays();
  });
});

it('the release that was built is lost, and its workflow goes on: it is undone, and never succeeds without one', async () => {
  const held = hold(world, 'swap', { effectFirst: true, once: true });
  const d = await world.start(await world.approved('v2'));
  await held.there;
  const { id } = await d.row();
  await lose((tx) => tx('deployments').where({ id }).update({ to_release: null }));
  await stock();
  held.go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(world.version()).toBe('v1');
});

it('the swap had not been done: recovery says that nothing was touched, because it looked', async () => {
  const held = hold(world, 'build', { once: true });
  const d = await world.start(await world.approved('v2'));
  await held.there;
  const { id, promotion } = await d.row();
  await lose(async (tx) => {
    await tx('deployment_steps').where({ deployment: id }).delete();
    await tx('deployments').where({ id }).update({ status: 'queued', fence: null, started_at: null });
    await tx('promotions').where({ id: promotion }).update({ status: 'approved' });
    await tx('change_requests').where({ id: promotion }).update({ status: 'approved' });
  });
  await stock();
  held.go();
  await d.handle.result().catch(() => undefined);
  await reconcile(world);
  await ended(d.row);
  expect(await d.row()).toMatchObject({
    status: 'cancelled',
    outcome: expect.stringContaining('nothing was touched'),
  });
  expect(world.version()).toBe('v1');
});

it('what was started after the dump ends with the reason, and its number can be used again', async () => {
  const held = hold(world, 'build', { once: true });
  const running = await world.start(await world.approved('v2'));
  await held.there;
  const waiting = await world.start(await world.approved('v3'));
  await world.until('it to wait', async () => (await waiting.row())?.waiting_for?.includes('position 1'));
  const lost = [await running.row(), await waiting.row()];
  // What a worker that was killed leaves of a build.
  const workOf = (promotion: number) => join(world.folder, 'state', 'work', `CP-${promotion}.1`);
  for (const { promotion } of lost) mkdirSync(join(workOf(promotion), 'checkout'), { recursive: true });
  await lose(async (tx) => {
    for (const { id } of lost) {
      await tx('deployment_steps').where({ deployment: id }).delete();
      await tx('deployments').where({ id }).delete();
    }
    for (const { promotion: id } of lost) {
      await tx('promotions').where({ id }).update({ status: 'approved' });
      await tx('change_requests').where({ id }).update({ status: 'approved' });
    }
  });
  expect(await reconcileFails()).toMatch(/restored or failed over/);
  await stock();
  await world.until('visibility to show both', async () => {
    await reconcile(world);
    return (await waiting.handle.describe()).status.name === 'TERMINATED';
  });
  held.go();
  await running.handle.result().catch(() => undefined);
  expect((await running.handle.describe()).status.name).toMatch(/TERMINATED|FAILED/);
  const told = await world.db('audit').where({ action: 'workflow.ended' });
  const subjects = told.map(({ subject }) => subject as string);
  expect(subjects).toEqual(expect.arrayContaining(lost.map(({ promotion }) => `CP-${promotion}.1`)));
  await world.until('nothing to be left on the host', async () => {
    await reconcile(world);
    return lost.every(({ promotion }) => !existsSync(workOf(promotion)));
  });
  const again = await world.start(lost[1]!.promotion);
  expect(again.attempt).toBe(1);
  await again.handle.result();
  expect(await again.row()).toMatchObject({ status: 'succeeded' });
  expect((await again.row()).owner).toMatch(/~\d+-/);
  expect(world.version()).toBe('v3');
});

describe('what was started after the dump fails by itself, in the middle of its migration', () => {
  const endedBy = async (subject: string) =>
    ((await world.db('audit').where({ action: 'workflow.ended', subject })) as { entry: string }[]).map(
      ({ entry }) => (JSON.parse(entry) as { why: string }).why,
    );
  let key: string;
  let backup: string;

  it('the audit trail says so once, with what it did to its target and where its backup is', async () => {
    const held = hold(world, 'migrate', { effectFirst: true, once: true });
    const d = await world.start(await world.approved('v2'));
    await held.there;
    const { id, promotion } = await d.row();
    key = `CP-${promotion}.1`;
    backup = (await world.db('backups').where({ deployment: id }).first('reference')).reference;
    await lose(async (tx) => {
      await tx('backups').where({ deployment: id }).delete();
      await tx('deployment_steps').where({ deployment: id }).delete();
      await tx('deployments').where({ id }).delete();
      await tx('promotions').where({ id: promotion }).update({ status: 'approved' });
      await tx('change_requests').where({ id: promotion }).update({ status: 'approved' });
    });
    await stock();
    held.go();
    await d.handle.result().catch(() => undefined);
    expect((await d.handle.describe()).status.name).toBe('FAILED');
    await shownAs('Failed', d.handle.workflowId);
    await reconcile(world);
    await reconcile(world);
    const [why, ...more] = await endedBy(key);
    expect(more).toEqual([]);
    expect(why).toMatch(/failed/);
    expect(why).toMatch(/shop.*migrate/);
    expect(why).toContain(backup);
    // What the record knows has ended as it should.
    const first = await world.db('deployments').orderBy('id').first('promotion', 'attempt');
    expect(await endedBy(`CP-${first.promotion}.${first.attempt}`)).toEqual([]);
  });

  it('the doctor says that it acted last, until somebody deploys or adopts', async () => {
    const examined = { db: world.db, targets: world.targets, places: { stateDir: world.deps.stateDir } };
    const found = async () =>
      (await examineTargets(examined as unknown as Examined)).differences.filter(
        ({ kind }) => kind === 'lost',
      );
    expect(await found()).toMatchObject([
      { subject: key, what: expect.stringMatching(/shop.*migrate/), todo: expect.stringContaining(backup) },
    ]);
    await world.deploy('v3');
    expect(await found()).toEqual([]);
  });

  it('numbers were raised, and the audit trail says from where to where', async () => {
    const raises = await world.db('audit').where({ action: 'target.fence-raised', subject: 'bare' });
    expect(raises.map(({ entry }) => JSON.parse(entry))).toContainEqual(
      expect.objectContaining({
        before: { fence: expect.any(Number) },
        after: { fence: expect.any(Number) },
        why: expect.stringContaining('restored'),
      }),
    );
  });
});

describe('a backup that the restored record does not have', () => {
  const backups = () => join(world.folder, 'state', 'backups', 'shop');
  /** Stops an attempt after its migration, of which the record then loses all. @returns its backup. */
  async function lostAfterMigration(lose: (id: number, promotion: number) => Promise<void>) {
    const held = hold(world, 'migrate', { effectFirst: true, once: true });
    const d = await world.start(await world.approved('v2'));
    await held.there;
    const { id, promotion } = await d.row();
    const { reference } = await world.db('backups').where({ deployment: id }).first('reference');
    await d.handle.terminate();
    held.go();
    await lose(id, promotion);
    await stock();
    return { promotion, reference: reference as string, ...d };
  }
  const backToApproved = async (tx: any, id: number) => {
    await tx('promotions').where({ id }).update({ status: 'approved' });
    await tx('change_requests').where({ id }).update({ status: 'approved' });
  };

  it('stays when its number comes again', async () => {
    const { promotion, reference } = await lostAfterMigration((id, number) =>
      lose(async (tx) => {
        for (const table of ['deployment_steps', 'backups', 'deployment_log'])
          await tx(table).where({ deployment: id }).delete();
        await tx('deployments').where({ id }).delete();
        await backToApproved(tx, number);
      }),
    );
    const held = readFileSync(reference);
    const again = await world.start(promotion);
    expect(again.attempt).toBe(1);
    await again.handle.result();
    const { id, status } = await again.row();
    expect(status).toBe('succeeded');
    expect(existsSync(reference)).toBe(true);
    expect(readFileSync(reference)).toEqual(held);
    const later = await world.db('backups').where({ deployment: id }).first('reference');
    expect(existsSync(later.reference)).toBe(true);
    expect(readdirSync(backups())).toEqual(
      expect.arrayContaining([reference, later.reference].map((file: string) => basename(file))),
    );
  });

  it('stays when its attempt ends, of which the record has the begin', async () => {
    const d = await lostAfterMigration((id) =>
      lose(async (tx) => {
        for (const table of ['deployment_steps', 'backups'])
          await tx(table).where({ deployment: id }).delete();
        await tx('deployments').where({ id }).update({ migration_began: false });
      }),
    );
    await reconcile(world);
    await world.until('it to end, or a person to be asked', async () =>
      ['rollback-failed', 'rolled-back'].includes((await d.row()).status),
    );
    const { owner, status } = await d.row();
    if (status === 'rollback-failed')
      await world.client.workflow
        .getHandle(owner)
        .signal('resolveRollback', world.resolutionOf(owner, 'accept'));
    await ended(d.row);
    // It tidies up after its end is recorded.
    await world.client.workflow.getHandle(owner).result();
    await world.checkEnded(await d.row());
    expect(existsSync(d.reference)).toBe(true);
  });
});

/** Until it is known that it is another database, nothing is repaired by it. */
const reconcileFails = () =>
  reconcile(world).then(
    () => 'it did not fail',
    (thrown: { cause?: { cause?: Error } }) => String(thrown.cause?.cause ?? thrown.cause),
  );

it('a start from before that the record does not know begins nothing', async () => {
  const promotion = await world.approved('v2');
  await world.stopWorkers();
  const d = await world.start(promotion);
  await lose(() => Promise.resolve());
  await stock();
  await world.startWorkers();
  const why = await d.handle.result().then(
    () => undefined,
    (thrown: WorkflowFailedError) => rootCause(thrown.cause),
  );
  expect(why).toContain('started before the database was restored');
  expect(await d.row()).toBeUndefined();
});

describe('nobody can tell what the target did', () => {
  const journal = () => join(world.root('shop'), '.signalbox', 'journal.jsonl');
  const putBack = () => {
    if (!existsSync(`${journal()}.kept`)) return;
    rmSync(journal(), { recursive: true });
    renameSync(`${journal()}.kept`, journal());
  };
  beforeEach(() => {
    renameSync(journal(), `${journal()}.kept`);
    mkdirSync(journal());
  });
  afterEach(putBack);

  /** The record loses what an attempt did, and its workflow is gone. */
  async function lostInBuild(went: object) {
    const held = hold(world, 'build', { once: true });
    const d = await world.start(await world.approved('v2'));
    await held.there;
    const { id, promotion } = await d.row();
    await d.handle.terminate();
    held.go();
    await lose(async (tx) => {
      await tx('deployment_steps').where({ deployment: id }).delete();
      if (!('status' in went)) return;
      await tx('deployments').where({ id }).update(went);
      await tx('promotions').where({ id: promotion }).update({ status: 'approved' });
      await tx('change_requests').where({ id: promotion }).update({ status: 'approved' });
    });
    await stock();
    await reconcile(world);
    return d;
  }

  it('and the record has it as waiting: it ends, and says so', async () => {
    const d = await lostInBuild(waited);
    await ended(d.row);
    const outcome = expect.stringContaining('nobody could look at shop');
    expect(await d.row()).toMatchObject({ status: 'cancelled', outcome });
  });

  it('and the record has it as running: an SRE is asked, and what is live stays', async () => {
    world.targets = new Map([
      ...world.targets,
      ['shop', { ...world.targets.get('shop')!, undoAlarmSeconds: 1 }],
    ]);
    const d = await lostInBuild({});
    await world.until('an SRE to be asked', async () => (await d.row()).status === 'rollback-failed');
    putBack();
    const { id, owner } = await d.row();
    await world.client.workflow
      .getHandle(owner)
      .signal('resolveRollback', world.resolutionOf(owner, 'retry'));
    await ended(d.row);
    expect(await d.row()).toMatchObject({ status: 'rolled-back' });
    const undo = await world.db('deployment_steps').where({ deployment: id, name: 'undo-swap' }).first();
    expect(undo.detail).toContain('was left as it is');
    expect(world.version()).toBe('v1');
  });
});

it('what only Temporal knows ends with the reason, whatever it is called; what began since goes on', async () => {
  const start = (type: string, workflowId: string) =>
    // A queue without a worker: it runs until somebody ends it.
    world.client.workflow.start(type, { workflowId, taskQueue: 'nobody', args: [{}] });
  const lost = await Promise.all([
    start('changeRequest', 'rfc/RFC-900/1'),
    start('changeRequest', 'rfc/some request/~'),
    start('deliverNotification', 'notify/900/1'),
    start('deployPromotion', 'deploy/CP-900/1'),
    start('deployPromotion', `deploy/CP-${'9'.repeat(30)}/1`),
    start('recoverDeployment', 'recover/CP-900/1'),
  ]);
  await lose(() => Promise.resolve());
  await stock();
  const { incarnation } = await world.db('installation').first('incarnation');
  const since = await start('deployPromotion', `deploy/CP-901/1~${incarnation}`);
  for (const handle of lost)
    await world.until(`${handle.workflowId} to end`, async () => {
      await reconcile(world);
      return (await handle.describe()).status.name === 'TERMINATED';
    });
  expect((await since.describe()).status.name).toBe('RUNNING');
  const told = await world.db('audit').where({ action: 'workflow.ended' });
  const subjects = told.map(({ subject }) => subject as string);
  expect(subjects).toEqual(expect.arrayContaining(['RFC-900', 'CP-900.1', 'notification 900']));
  await since.terminate();
});

it('an adoption that the record has lost comes to its end', async () => {
  const held = hold(world, 'adoptLive', { effectFirst: true, once: true });
  const id = randomUUID();
  const workflowId = adoptWorkflowId('bare', id);
  const asked = { id, target: 'bare', by: 'sven', reason: 'it moved here' };
  const handle = await world.client.workflow.start('adoptTarget', {
    workflowId,
    taskQueue: controlQueue,
    args: [world.keyring.sign('adopt', workflowId, asked)],
  });
  await held.there;
  await lose((tx) => tx('adoptions').where({ id }).delete());
  await stock();
  held.go();
  await world.until('it to end', async () => (await handle.describe()).status.name === 'COMPLETED');
  expect(await handle.result()).toContain('The record has no such adoption');
  await shownAs('Completed', workflowId);
  await reconcile(world);
  expect(await world.db('audit').where({ action: 'workflow.ended', subject: 'bare' })).toHaveLength(1);
});
