import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { recordAudit, sealAudit } from '../../db/audit';
import { connectReadOnly, type Db } from '../../db/connect';
import { takeStock } from '../../db/installation';
import { examine, type Difference } from '../../worker/doctor';
import type { Temporal } from '../../temporal-config/connection';
import { attributes } from '../../temporal-config/names';
import { keepSchedules, registerSchedules, reconcileSchedule } from '../../worker/schedules';
import { hold } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** What does not fit between record, Temporal and targets is printed, each with what to do; nothing is changed. */
let world: World;
let db: Db;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'other'] });
  db = connectReadOnly(world.databaseUrl);
  await takeStock(world.db, undefined, (what) => world.keyring.sign('restored', 'audit', what));
  await registerSchedules(world.client);
  await world.deploy('v1');
  await world.deploy('v2');
});
afterAll(async () => {
  await db.destroy();
  await world.stop();
});
beforeEach(() => {
  world.faults = {};
});

async function differences(targets = world.targets): Promise<Difference[]> {
  const found = await examine({
    sandbox: world.deps.sandbox,
    db,
    temporal: world.client,
    targets,
    places: { stateDir: world.deps.stateDir, headsFile: join(world.folder, 'no-heads.jsonl') },
    heads: [],
    whyForged: (said) => world.keyring.whyForged('restored', 'audit', said),
    settledMs: 0,
  });
  for (const { what, todo } of found.differences) {
    expect(what).toMatch(/\.$/);
    expect(todo).not.toBe('');
  }
  return found.differences;
}
const kinds = async () => (await differences()).map(({ kind, subject }) => `${kind} ${subject}`);
/** Nobody repairs meanwhile. */
const still = () => world.client.schedule.getHandle(reconcileSchedule).pause('an experiment');
/** Besides that schedule, and requests, which have no workflow in this world. */
const withoutSchedule = (found: Difference[]) =>
  found.filter(({ kind, subject }) => kind !== 'schedule' && !subject.startsWith('RFC-'));
/** Runs as the owner of the tables, past every trigger. */
const force = (work: (tx: any) => Promise<unknown>) =>
  world.owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await work(tx);
  });

it('after deployments that went well everything fits', async () => {
  expect(await differences()).toEqual([]);
});

it('what it is given to read by refuses to write', async () => {
  await expect(db('targets').update({ fence: 1 })).rejects.toThrow('read-only transaction');
});

describe('what Signalbox sets up in Temporal', () => {
  const client = () => world.client;
  const handle = (id: string) => client().schedule.getHandle(id);
  const ids = [reconcileSchedule, 'signalbox-prune-backups', 'signalbox-prune-record'];
  const found = async () =>
    (await differences()).map(({ kind, subject, what }) => [kind, subject, what] as const);
  const temporal = () =>
    ({
      connection: client().connection,
      client: client(),
      namespace: client().options.namespace,
    }) as Temporal;
  /** Does something while a worker looks after it, until everything is as it was. */
  async function putBack(harm: () => Promise<unknown>): Promise<void> {
    const keeper = await keepSchedules(temporal(), pino({ level: 'silent' }), 100);
    try {
      await harm();
      await world.until('it to be put back', async () => (await found()).length === 0);
    } finally {
      await keeper.stop();
    }
  }
  const changes: Record<string, (old: any) => any> = {
    'when it runs': (old) => ({ ...old, spec: { intervals: [{ every: '9 years' }] } }),
    'what it starts': (old) => ({ ...old, action: { ...old.action, taskQueue: 'nowhere' } }),
    'what becomes of runs': (old) => ({ ...old, policies: { ...old.policies, overlap: 'ALLOW_ALL' } }),
    'how often it may still run': (old) => ({ ...old, state: { ...old.state, remainingActions: 1 } }),
  };

  it.each(ids)('%s is named when it is gone, paused or changed', async (id) => {
    for (const [what, change] of Object.entries(changes)) {
      await handle(id).update(change);
      expect(await found()).toEqual([
        ['schedule', id, expect.stringContaining(`changed in Temporal (${what}`)],
      ]);
      await registerSchedules(client());
      expect(await found()).toEqual([]);
    }
    await handle(id).pause('an experiment');
    expect(await found()).toEqual([['schedule', id, expect.stringContaining('paused (an experiment)')]]);
    // Whoever paused it has a reason.
    await registerSchedules(client());
    expect(await found()).toHaveLength(1);
    await handle(id).delete();
    expect(await found()).toEqual([['schedule', id, expect.stringContaining('does not have the schedule')]]);
    await registerSchedules(client());
  });

  it.each(ids)('%s is put back by a worker that runs', async (id) => {
    await putBack(() => handle(id).delete());
    for (const change of Object.values(changes)) await putBack(() => handle(id).update(change));
  });

  it('a search attribute that is gone, or of another type', async () => {
    const { name } = attributes.actor;
    const { operatorService } = client().connection;
    const { namespace } = temporal();
    const remove = () => operatorService.removeSearchAttributes({ namespace, searchAttributes: [name] });
    await remove();
    expect(await found()).toEqual([
      ['search-attribute', name, expect.stringContaining('does not have the search attribute')],
    ]);
    // Text.
    await operatorService.addSearchAttributes({ namespace, searchAttributes: { [name]: 1 } });
    expect(await found()).toEqual([
      ['search-attribute', name, expect.stringContaining('is not of type Keyword')],
    ]);
    await putBack(remove);
  });

  it('a namespace that forgets at once what has ended', async () => {
    const { workflowService } = client();
    const { namespace } = temporal();
    const keep = (seconds: number) =>
      workflowService.updateNamespace({
        namespace,
        config: { workflowExecutionRetentionTtl: { seconds: seconds as never } },
      });
    await keep(3_600);
    expect(await found()).toEqual([['namespace', namespace, expect.stringContaining('3600 seconds')]]);
    await keep(86_400);
    expect(await found()).toEqual([]);
  });
});

it('a schedule that is paused, and from here on nobody repairs', async () => {
  await still();
  expect(await differences()).toMatchObject([
    {
      kind: 'schedule',
      what: expect.stringContaining('an experiment'),
      todo: expect.stringContaining('--unpause'),
    },
  ]);
});

it('a fencing number above those of the record, and one that cannot be read', async () => {
  const room = join(world.root('other'), '.signalbox');
  mkdirSync(room, { recursive: true });
  writeFileSync(join(room, 'fence.json'), JSON.stringify({ fence: 260, by: 'CP-90.1 swap' }));
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'fence',
      subject: 'other',
      what: expect.stringMatching(/260 \(CP-90.1 swap\).*only given out 0/),
    },
  ]);
  writeFileSync(join(room, 'fence.json'), 'nonsense');
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'fence', subject: 'other', what: expect.stringContaining('holds no number') },
  ]);
  writeFileSync(join(room, 'fence.json'), JSON.stringify({ fence: 999_000_000_001 }));
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'fence', subject: 'other', what: expect.stringContaining('a number that nobody gives out') },
  ]);
  rmSync(room, { recursive: true });
});

it('a fencing number in the record that it never gave out', async () => {
  const set = (fence: string) => force((tx) => tx('targets').where({ name: 'other' }).update({ fence }));
  await set('5000');
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'fence', subject: 'other', what: expect.stringMatching(/number 5000 .*somebody wrote it/) },
  ]);
  await set('999999999999');
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'fence',
      subject: 'other',
      what: expect.stringContaining('hardly a number left'),
      todo: expect.stringContaining(
        "UPDATE targets SET fence = 1000, lost_fence = least(lost_fence, 0) WHERE name = 'other'",
      ),
    },
  ]);
  await set('0');
});

it('an incarnation of the database that no worker signed', async () => {
  const set = (incarnation: string) => force((tx) => tx('installation').update({ incarnation }));
  await set('7-abc');
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'database', what: expect.stringContaining('incarnation 7-abc, and no worker signed') },
  ]);
  await set('');
});

it('another release is live than the record says', async () => {
  const live = world.current()!;
  const [other] = readdirSync(join(world.root('shop'), 'releases')).filter((name) => name !== live);
  const point = (to: string) => {
    symlinkSync(join('releases', to), join(world.root('shop'), 'by-hand'));
    renameSync(join(world.root('shop'), 'by-hand'), join(world.root('shop'), 'current'));
  };
  point(other!);
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'live',
      subject: 'shop',
      what: expect.stringMatching(
        new RegExp(`${other!.slice(0, 12)}.*record says release ${live.slice(0, 12)}`),
      ),
      todo: expect.stringContaining('signalbox adopt shop'),
    },
  ]);
  point(live);
});

it('a rollback that failed: what is live all the same, and that somebody has to decide', async () => {
  const live = world.current()!;
  const before = world.targets;
  world.targets = new Map([...before, ['shop', { ...before.get('shop')!, undoAlarmSeconds: 1 }]]);
  world.faults.takeOut = async () => {
    throw new Error('it does not stop');
  };
  const d = await world.start(await world.approved('sick'));
  try {
    await world.until('an SRE to be asked', async () => (await d.row())?.status === 'rollback-failed');
    const row = await d.row();
    const key = `CP-${row.promotion}.1`;
    const found = withoutSchedule(await differences());
    expect(found).toMatchObject([
      { kind: 'undecided', subject: key, what: expect.stringContaining('an SRE') },
      {
        kind: 'live',
        subject: 'shop',
        what: expect.stringMatching(
          new RegExp(`${world.current()!.slice(0, 12)}.*record says release ${live.slice(0, 12)}`),
        ),
      },
    ]);
    for (const { todo } of found) expect(todo).toContain(`signalbox resolve ${key} --accept`);
    // Nobody can adopt it, or deploy over it, while the lane is held.
    for (const { todo } of found) expect(todo).not.toContain('signalbox adopt');
  } finally {
    world.faults = {};
    world.targets = before;
    const { owner } = await d.row();
    await d.handle.signal('resolveRollback', world.resolutionOf(owner, 'retry'));
    await d.handle.result();
  }
  expect(world.current()).toBe(live);
  expect(withoutSchedule(await differences())).toEqual([]);
});

it('the folder of a target is gone, although the record has it live', async () => {
  const root = world.root('shop');
  renameSync(root, `${root}.elsewhere`);
  try {
    expect(withoutSchedule(await differences())).toMatchObject([
      { kind: 'live', subject: 'shop', what: expect.stringContaining(`${root} does not exist`) },
    ]);
  } finally {
    renameSync(`${root}.elsewhere`, root);
  }
});

it('a backup that the record does not have; one that is being made is none', async () => {
  const room = join(world.folder, 'state', 'backups', 'shop');
  const file = join(room, 'CP-60.1@0a1b2c3d.backup-1-1-mx0fb5cg.tar.gz');
  writeFileSync(file, 'all that is left');
  writeFileSync(`${file}.new`, '');
  try {
    expect(withoutSchedule(await differences())).toMatchObject([
      {
        kind: 'backup-unrecorded',
        subject: 'CP-60.1',
        what: expect.stringContaining(`${file} (16 bytes, `),
        todo: expect.stringContaining('operating.md'),
      },
    ]);
  } finally {
    rmSync(file);
    rmSync(`${file}.new`);
  }
});

it('a folder where the link should be: what helps, and not what is refused', async () => {
  const current = join(world.root('other'), 'current');
  mkdirSync(current, { recursive: true });
  try {
    const [found] = withoutSchedule(await differences());
    expect(found).toMatchObject({
      kind: 'live',
      subject: 'other',
      what: expect.stringContaining('which is a folder and not a link'),
      todo: expect.stringContaining('make "current" a link'),
    });
    expect(found!.todo).not.toContain('deploy over it');
  } finally {
    rmSync(world.root('other'), { recursive: true, force: true });
  }
});

it('workers that went away a moment ago, whose last poll Temporal still shows', async () => {
  await world.client.workflow.execute('reconcile', {
    taskQueue: 'signalbox',
    workflowId: 'reconcile-by-hand',
  });
  await world.until('visibility to show it', async () => {
    for await (const { workflowId } of world.client.workflow.list({
      query: `WorkflowType = 'reconcile' AND ExecutionStatus = 'Completed'`,
    }))
      if (workflowId) return true;
    return false;
  });
  expect((await kinds()).filter((found) => found.startsWith('worker'))).toEqual([]);
  await world.stopWorkers();
  expect((await kinds()).filter((found) => found.startsWith('worker'))).toEqual(['worker worker']);
  await world.startWorkers();
  expect((await kinds()).filter((found) => found.startsWith('worker'))).toEqual([]);
});

it('a workflow without a row', async () => {
  const handle = await world.client.workflow.start('deployPromotion', {
    workflowId: 'deploy/CP-900/1',
    taskQueue: 'nobody',
    args: [{}],
  });
  await world.until('visibility to show it', async () =>
    (await kinds()).includes('workflow-without-row CP-900.1'),
  );
  await handle.terminate();
  await world.until(
    'visibility to show its end',
    async () => withoutSchedule(await differences()).length === 0,
  );
});

it('an attempt that is paused, one whose workflow is gone, and one that waits for nothing', async () => {
  const { there } = hold(world, 'build');
  const running = await world.start(await world.approved('v1'));
  await there;
  const waiting = await world.start(await world.approved('v3'));
  await world.until('it to wait', async () => (await waiting.row())?.waiting_for?.includes('position 1'));
  expect(withoutSchedule(await differences())).toEqual([]);
  const key = async ({ row }: typeof running) => `CP-${(await row()).promotion}.1`;

  const other = new Map([...world.targets].filter(([name]) => name !== 'shop'));
  const todo = expect.stringContaining('Put shop back into the file');
  expect(withoutSchedule(await differences(other))).toMatchObject([
    { kind: 'target-gone', subject: await key(running), todo },
    { kind: 'target-gone', subject: await key(waiting), todo },
  ]);

  const { workflowId } = running.handle;
  await world.byHand('workflow', 'pause', '--workflow-id', workflowId, '--reason', 'let me look');
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'paused',
      subject: await key(running),
      todo: expect.stringContaining('temporal workflow unpause'),
    },
  ]);

  await running.handle.terminate();
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'row-without-workflow',
      subject: await key(running),
      what: expect.stringContaining('terminated'),
    },
  ]);

  // Its row ends without a word to whoever waits behind it.
  const { id } = await running.row();
  await force((tx) => tx('deployments').where({ id }).update({ status: 'rolled-back' }));
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'waits-for-nothing', subject: await key(waiting), what: expect.stringContaining('lane is free') },
  ]);
  await waiting.handle.terminate();
  const row = await waiting.row();
  await force((tx) => tx('deployments').where({ id: row.id }).update({ status: 'cancelled' }));
});

it('a request whose workflow is gone', async () => {
  const id = await world.approved('v1');
  expect((await kinds()).filter((found) => found.startsWith('row'))).toContain(
    `row-without-workflow RFC-${id}`,
  );
  await force((tx) => tx('change_requests').where({ id }).update({ status: 'cancelled' }));
});

it('a backup whose file is gone', async () => {
  const { reference } = await world.db('backups').orderBy('deployment').first('reference');
  renameSync(reference, `${reference}.elsewhere`);
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'backup-gone', subject: 'CP-1.1', what: expect.stringContaining(reference) },
  ]);
  renameSync(`${reference}.elsewhere`, reference);
});

it('a target that does not say what it runs, and one whose runner is not there', async () => {
  const before = world.targets;
  const [shop, other] = ['shop', 'other'].map((name) => world.targets.get(name)!);
  const no = { argv: ['false'], timeoutSeconds: 5 };
  const driver = { kind: 'command' as const, root: shop!.driver.root, swap: no, restore: no, observe: no };
  world.targets = new Map([
    ['shop', { ...shop!, driver: { ...driver, keepReleases: shop!.driver.keepReleases } }],
    ['other', { ...other!, runner: { lostAfterSeconds: 60 } }],
  ]) as World['targets'];
  expect((await kinds()).filter((found) => !found.includes('RFC'))).toEqual([
    'worker other',
    expect.stringContaining('schedule'),
    'not-observed shop',
  ]);
  world.targets = before;
});

it('a clock that is another one', async () => {
  const now = Date.now;
  const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 5_000);
  try {
    const [found] = withoutSchedule(await differences());
    expect(found).toMatchObject({ kind: 'clock', what: expect.stringMatching(/[45]\.\d s ahead of/) });
  } finally {
    clock.mockRestore();
  }
});

it('a database that was restored, until a worker takes note of it', async () => {
  await force((tx) => tx.raw(`UPDATE installation SET place = place || '{"timeline": "FFFFFFFF"}'`));
  expect(withoutSchedule(await differences())).toMatchObject([
    {
      kind: 'database',
      what: expect.stringContaining('another timeline'),
      todo: expect.stringContaining('worker'),
    },
  ]);
  await takeStock(world.db, undefined, (what) => world.keyring.sign('restored', 'audit', what));
  expect(withoutSchedule(await differences())).toEqual([]);
});

it('an audit trail that was changed', async () => {
  await recordAudit(world.db, { actor: 'rosa', action: 'workflow.ended', subject: 'a' });
  await sealAudit(world.db);
  await force((tx) =>
    tx('audit')
      .where({ seq: 2 })
      .update({ entry: tx.raw("replace(entry, 'actor', 'Actor')") }),
  );
  expect(withoutSchedule(await differences())).toMatchObject([
    { kind: 'audit', subject: 'entry 2', what: expect.stringContaining('changed, added or moved') },
  ]);
});
