import { appendFileSync, readlinkSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Activities } from '../../activities';
import { addWindow, removeWindow } from '../../db/windows';
import { viewDeployment } from '../../db/views';
import { controlQueue } from '../../temporal-config/names';
import { recoverWorkflowId } from '../../workflows/messages';
import { hold, reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** Data goes back only beneath what the attempt itself left live; what was written beneath anything else stays. */
let world: World;
const targets = ['older', 'before', 'between', 'back', 'copy', 'undone', 'others', 'begun', 'held', 'closed'];
beforeAll(async () => {
  world = await makeWorld({ targets });
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

const written = 'an order that came in meanwhile\n';
/** As an operator does it, past Signalbox. */
function byHand(target: string, release: string) {
  symlinkSync(join('releases', release), join(world.root(target), 'by-hand'));
  renameSync(join(world.root(target), 'by-hand'), join(world.root(target), 'current'));
}
const releaseOf = async (promotion: number) =>
  (await world.db('deployments').where({ promotion }).first()).to_release as string;
type Started = Awaited<ReturnType<World['start']>>;
const failed = (d: Started) =>
  world.until('an SRE to be asked', async () => {
    const row = await d.row();
    expect(row?.status).not.toBe('rolled-back');
    return row?.status === 'rollback-failed' && row;
  });
async function resolved(d: Started, action: 'retry' | 'accept') {
  const { owner } = await d.row();
  const handle = world.client.workflow.getHandle(owner);
  await handle.signal('resolveRollback', world.resolutionOf(owner, action));
  await handle.result();
  return d.row();
}

it.each(['older', 'before'] as const)(
  'somebody switched it by hand after the swap (%s): nothing is taken out, and no data goes back',
  async (target) => {
    const first = await world.deploy('v1', target);
    const second = await world.deploy('v2', target);
    const theirs = await releaseOf((target === 'older' ? first : second).promotion);
    world.faults.healthCheck = async (run) => {
      byHand(target, theirs);
      world.addOrder(written, target);
      return run();
    };
    const d = await world.start(await world.approved('v3', target));
    const row = await failed(d);
    expect(world.current(target)).toBe(theirs);
    expect(world.orders(target)).toContain(written);
    expect(row.waiting_for).toMatch(/Drifted: .*no data was restored\..*--accept.*--retry/s);
    const steps = await world.db('deployment_steps').where({ deployment: row.id });
    expect(steps.find(({ name }) => name === 'take-out')).toMatchObject({ status: 'failed' });
    expect(steps.map(({ name }) => name as string)).not.toContain('undo-migrate');

    const after = await resolved(d, 'accept');
    expect(after).toMatchObject({ status: 'rolled-back' });
    expect(world.orders(target)).toContain(written);
    await world.checkEnded(after);
  },
);

it('its own release is live again: retry undoes all of it', async () => {
  const target = 'back';
  const first = await world.deploy('v1', target);
  const orders = world.orders(target);
  let mine = '';
  world.faults.healthCheck = async (run) => {
    mine = world.current(target)!;
    byHand(target, await releaseOf(first.promotion));
    return run();
  };
  const d = await world.start(await world.approved('v2', target));
  await failed(d);
  byHand(target, mine);
  expect(await resolved(d, 'retry')).toMatchObject({ status: 'rolled-back' });
  expect([world.version(target), world.orders(target)]).toEqual(['v1', orders]);
});

it('somebody makes a release live between taking out and restoring: no data goes back', async () => {
  const target = 'between';
  const first = await world.deploy('v1', target);
  const theirs = await releaseOf(first.promotion);
  world.faults.undoMigrate = (run) => {
    if (world.current(target) === null) {
      byHand(target, theirs);
      world.addOrder(written, target);
    }
    return run();
  };
  const d = await world.start(await world.approved('sick', target));
  expect((await failed(d)).waiting_for).toMatch(/Drifted: .*no data was restored/s);
  expect(world.orders(target)).toContain(written);
  expect(readlinkSync(join(world.root(target), 'current'))).toContain(theirs);
  expect(await resolved(d, 'accept')).toMatchObject({ status: 'rolled-back' });
});

it.each([
  ['is live', 'v2'],
  ['was undone, too', 'sick'],
] as const)(
  'an older copy of the record has it as rolling back, and a newer one %s',
  async (_how, revision) => {
    const target = 'copy';
    await world.deploy('v1', target);
    const d = await world.deploy('sick', target);
    const row = await d.row();
    await world.deploy(revision, target);
    const now = world.current(target);
    world.addOrder(written, target);
    // What the copy has: it was about to take out.
    await world
      .owner('deployments')
      .where({ id: row.id })
      .update({ status: 'rolling-back', outcome: null, finished_at: null });
    await world.owner('promotions').where({ id: d.promotion }).update({ status: 'executing' });
    await world.owner('change_requests').where({ id: d.promotion }).update({ status: 'in-progress' });
    await world
      .owner('deployment_steps')
      .where({ deployment: row.id })
      .whereIn('name', ['take-out', 'undo-migrate', 'undo-swap', 'verify-rollback'])
      .delete();
    const key = `CP-${d.promotion}.${d.attempt}`;
    await world.client.workflow.start('recoverDeployment', {
      taskQueue: controlQueue,
      workflowId: recoverWorkflowId(d.promotion, d.attempt, ''),
      args: [{ deployment: row.id, key, why: 'Its workflow was lost.' }],
    });
    await world.until('it to be settled', async () =>
      ['rolled-back', 'rollback-failed'].includes((await d.row()).status),
    );
    expect(world.orders(target)).toContain(written);
    expect(world.current(target)).toBe(now);
    const { status, waiting_for: why } = await d.row();
    expect({ status, why }).toMatchObject({
      status: 'rollback-failed',
      why: expect.stringMatching(/Drifted: .*acted there since/s),
    });
    expect(await resolved(d, 'accept')).toMatchObject({ status: 'rolled-back' });
  },
);

it('lost after its data had gone back: what was written since stays', async () => {
  const target = 'undone';
  await world.deploy('v1', target);
  const { there } = hold(world, 'verifyRollback');
  const d = await world.start(await world.approved('sick', target));
  await there;
  await d.handle.terminate();
  delete world.faults.verifyRollback;
  world.addOrder(written, target);
  await reconcile(world);
  const { promotion, attempt } = await d.row();
  await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, '')).result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(world.version(target)).toBe('v1');
  expect(world.orders(target)).toContain(written);
});

it("what another Signalbox did there under the same key is none of this one's: nothing goes back", async () => {
  const target = 'others';
  const { row: first } = await world.deploy('v1', target);
  const live = (await first()).to_release;
  const { there } = hold(world, 'build');
  const d = await world.start(await world.approved('v2', target));
  await there;
  const { fence, promotion, attempt } = await d.row();
  const theirs = { at: new Date().toISOString(), fence, by: `CP-${promotion}.${attempt} swap` };
  appendFileSync(
    join(world.root(target), '.signalbox', 'journal.jsonl'),
    `${JSON.stringify({ ...theirs, origin: '00000000', from: null, to: live })}\n`,
  );
  await d.handle.terminate();
  delete world.faults.build;
  world.addOrder(written, target);
  await reconcile(world);
  await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, '')).result();
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('Nothing was touched.'),
  });
  expect([world.current(target), world.orders(target)]).toEqual([live, expect.stringContaining(written)]);
});

describe('a migration', () => {
  it('that cannot be started has not begun: what is live stays, and its data', async () => {
    const target = 'begun';
    await world.deploy('v1', target);
    const config = world.targets.get(target)!;
    const { migrate } = config;
    config.migrate = { ...migrate!, argv: ['no-such-program'] };
    world.faults.migrate = async (run) => {
      world.addOrder(written, target);
      return run();
    };
    const d = await world.deploy('v2', target).finally(() => (config.migrate = migrate));
    const row = await d.row();
    expect(row).toMatchObject({ status: 'rolled-back', migration_began: false });
    expect(row.outcome).toMatch(/no-such-program could not be started: .*ENOENT/);
    expect(row.outcome).not.toContain('data from before');
    expect(world.orders(target)).toContain(written);
    const out = await world.db('deployment_steps').where({ deployment: row.id, name: 'take-out' }).first();
    expect(out.detail).toContain('no data goes back');
    await world.checkEnded(row);
  });

  it('whose program exits with 127 itself has begun', async () => {
    const target = 'begun';
    const config = world.targets.get(target)!;
    const { migrate } = config;
    config.migrate = { ...migrate!, argv: [process.execPath, '-e', 'process.exit(127)'] };
    world.faults.migrate = async (run) => {
      world.addOrder('lost\n', target);
      return run();
    };
    const d = await world.deploy('v2', target).finally(() => (config.migrate = migrate));
    expect(await d.row()).toMatchObject({ status: 'rolled-back', migration_began: true });
    expect(world.orders(target)).not.toContain('lost');
  });

  it('that was held for its window: what was written meanwhile is in the backup, and nothing runs', async () => {
    const target = 'held';
    await world.deploy('v1', target);
    const by = { by: 'rosa' };
    let window = 0;
    world.faults.backup = async (run) => {
      const made = await run();
      if (!window) {
        const freeze = { name: 'Freeze', kind: 'freeze' as const, scope: { target } };
        const when = { start: '2026-01-01T00:00', timeZone: 'UTC', durationMinutes: 60 * 24 * 366 };
        window = (await addWindow(world.db, { ...freeze, ...when }, by))!;
      }
      return made;
    };
    const d = await world.start(await world.approved('sick', target));
    const held = await world.until('it to be held', async () => {
      const row = await d.row();
      return row?.waiting_for?.includes('held before the migration') && row;
    });
    const { steps } = await viewDeployment(world.db, held, () => '');
    expect(steps.map(({ name, status }) => `${name} ${status}`)).toEqual(['build done', 'backup done']);
    world.addOrder(written, target);
    await removeWindow(world.db, window, by, undefined);
    await d.handle.signal('windowChanged');
    await d.handle.result();
    expect(await d.row()).toMatchObject({ status: 'rolled-back', migration_began: true });
    expect(world.orders(target)).toContain(written);
    expect(world.orders(target)).not.toContain('migrated to sick');
    const { id } = held;
    const backup = await world.db('deployment_steps').where({ deployment: id, name: 'backup' }).first();
    expect(backup.detail).toContain('made again after it was held for its window');
    expect((await viewDeployment(world.db, await d.row(), () => '')).steps.map(({ name }) => name)).toContain(
      'migrate',
    );
    await world.checkEnded(await d.row());
  });

  describe('that has begun when its window closes', () => {
    const target = 'closed';
    const by = { by: 'rosa' };
    let window: number | undefined;
    async function close() {
      const freeze = { name: 'Freeze', kind: 'freeze' as const, scope: { target } };
      const when = { start: '2026-01-01T00:00', timeZone: 'UTC', durationMinutes: 60 * 24 * 366 };
      window = await addWindow(world.db, { ...freeze, ...when }, by);
    }
    afterEach(async () => {
      if (window) await removeWindow(world.db, window, by, undefined);
      window = undefined;
    });
    /** Neither held, where the old release would write to data that is not its own, nor undone. */
    async function goesOn(d: Started) {
      const ended = await world.until('it to end', async () => {
        const row = (await d.row()) as Awaited<ReturnType<typeof d.row>> | undefined;
        if (row?.waiting_for) throw new Error(`it waits for ${row.waiting_for}`);
        return row?.finished_at ? row : undefined;
      });
      expect(ended).toMatchObject({ status: 'succeeded' });
      const lines = (await world.log(ended)).map(({ text }) => text);
      expect(lines.join('\n')).toMatch(
        /its window has closed meanwhile \(Freeze.*\); the migration has begun/,
      );
      await world.checkEnded(ended);
    }

    it('goes on to its swap', async () => {
      world.faults.migrate = (run) => run().finally(close);
      await goesOn(await world.start(await world.approved('v1', target)));
      expect(world.version(target)).toBe('v1');
    });

    it('is tried again at once, and its backup stays the one from before', async () => {
      const config = world.targets.get(target)!;
      const { migrate } = config;
      const [node, ...args] = migrate!.argv;
      const once = join(world.folder, 'tried');
      const script = `[ -e ${once} ] || { touch ${once}; echo half >> ${args.at(-1)}; exit 75; }; exec "$0" "$@"`;
      config.migrate = { ...migrate!, argv: ['sh', '-c', script, node!, ...args] };
      const before = world.orders(target);
      world.faults.migrate = async (run) => {
        await run().finally(() => window ?? close());
      };
      const promotion = await world.approved('v2', target);
      await goesOn(await world.start(promotion)).finally(() => (config.migrate = migrate));
      expect(world.orders(target)).toBe(`${before}half\nmigrated to v2\n`);
      const backups = await world.db('deployment_steps').where({
        name: 'backup',
        deployment: (await world.db('deployments').where({ promotion }).first()).id,
      });
      expect(backups).toMatchObject([{ round: 1 }]);
    });
  });
});
