import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { runTargetCommand } from '../../activities/build';
import { judge } from '../../activities/causes';
import { directoryDriver } from '../../activities/drivers/directory';
import { git } from '../../activities/git';
import type { StepContext } from '../../activities/step';
import { redactor } from '../../activities/redact';
import { viewDeployment } from '../../db/views';
import { isTerminal } from '../../domain/machines';
import { nothing } from '../../domain/observed';
import type { DeploymentRow } from '../../db/deployments';
import { recoverWorkflowId } from '../../workflows/messages';
import { reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** What is a verdict on a deployment, and what is a fault that is tried again and shown meanwhile. */
let world: World;
let repository: string;
let away: string;
let build: { argv: string[] };
beforeAll(async () => {
  world = await makeWorld();
  // Builds are somebody else there.
  chmodSync(world.folder, 0o777);
  const shop = world.targets.get('shop')!;
  ({ repository, build } = shop);
  away = `${repository}-away`;
});
afterAll(() => world.stop());
beforeEach(() => {
  // A fresh worker: neither a mirror nor a build of the commit.
  for (const name of ['mirrors', 'artifacts'])
    rmSync(join(world.deps.stateDir, name), { recursive: true, force: true });
  return builtBy(build.argv);
});
const builtBy = async (argv: string[]) => {
  const shop = world.targets.get('shop')!;
  const sandbox = { network: true, read: [], write: [world.folder] };
  world.targets = new Map([['shop', { ...shop, sandbox, build: { ...shop.build, argv } }]]);
  await world
    .db('builds')
    .delete()
    .catch(() => undefined);
};
/** Starts what was approved while the repository was there. */
const started = async (revision = 'v1') => {
  const promotion = await world.approved(revision);
  rmSync(join(world.deps.stateDir, 'mirrors'), { recursive: true, force: true });
  return promotion;
};
const troubleOf = async (row: DeploymentRow | undefined, step = 'build') =>
  row && (await viewDeployment(world.db, row, () => null)).steps.find(({ name }) => name === step)?.trouble;
const shown = (d: { row: () => Promise<DeploymentRow> }) =>
  world.until('the trouble to be shown', async () => {
    const row = (await d.row()) as DeploymentRow | undefined;
    if (row && isTerminal('deployment', row.status))
      throw new Error(`it is over, ${row.status}: ${row.outcome}`);
    return (await troubleOf(row)) ?? undefined;
  });

it('a git host that is away is a fault: shown in the step, over when it is back', async () => {
  const promotion = await started();
  renameSync(repository, away);
  const d = await world.start(promotion);
  const seen = await shown(d);
  expect(seen).toEqual({
    message: expect.stringMatching(
      /^The repository of shop could not be read.*does not appear to be a git repository.*It goes on when the repository answers\.$/s,
    ),
    tries: expect.any(Number),
    nextTryAt: expect.stringMatching(/^20/),
  });
  await world.until('another try', async () => (await shown(d)).tries > 1);
  const { raw } = await d.handle.describe();
  const details = raw.pendingActivities![0]!;
  expect(details.lastFailure?.message).toContain('The repository of shop could not be read');
  renameSync(away, repository);
  await d.handle.result();
  const row = await d.row();
  expect(row.status).toBe('succeeded');
  expect(await troubleOf(row)).toBeNull();
});

it('one that stays away is a verdict after a while, which says how long it was tried', async () => {
  const promotion = await started('v2');
  renameSync(repository, away);
  const d = await world.start(promotion);
  await shown(d);
  await world.db.raw(`UPDATE deployment_steps SET fault_since = now() - interval '16 minutes'`);
  await d.handle.result();
  renameSync(away, repository);
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(
      /The repository of shop could not be read.*It was tried \d+ times in 16 minutes\. Nothing was touched\.$/s,
    ),
  });
});

it('a commit that is gone is a verdict at once', async () => {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
      cwd: repository,
      stdio: 'pipe',
    });
  git('checkout', '-q', '-b', 'short-lived');
  git('commit', '-q', '--allow-empty', '-m', 'gone');
  const promotion = await started('short-lived');
  git('checkout', '-q', 'main');
  git('branch', '-qD', 'short-lived');
  git('reflog', 'expire', '--expire=now', '--all');
  git('gc', '-q', '--prune=now');
  const d = await world.start(promotion);
  await d.handle.result();
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(/no longer has commit [0-9a-f]{40}: .* Ship the revision again/),
  });
  const step = await world
    .db('deployment_steps')
    .where({ name: 'build' })
    .orderBy('deployment', 'desc')
    .first();
  expect(step).toMatchObject({ status: 'failed', attempt: 1 });
});

it.each([
  ['was killed by somebody else', 'kill -9 $$'],
  ['was killed, as a shell says it', 'exit 137'],
  ['asks to be tried again', 'echo come back later >&2; exit 75'],
])('a command that %s is tried again', async (_what, once) => {
  const marker = join(world.folder, `marker-${Math.random()}`);
  await builtBy([
    'sh',
    '-c',
    `if [ ! -e ${marker} ]; then touch ${marker}; ${once}; fi; exec ${process.execPath} build.js`,
  ]);
  const d = await world.start(await started());
  await d.handle.result();
  expect((await d.row()).status).toBe('succeeded');
  expect(existsSync(marker)).toBe(true);
});

it.each([
  ['fails', 'exit 7', /exited with 7/],
  ['crashes', 'kill -SEGV $$', /was ended by SIGSEGV/],
])('a command that %s is a verdict', async (_what, script, why) => {
  await builtBy(['sh', '-c', script]);
  const d = await world.start(await started());
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back', outcome: expect.stringMatching(why) });
});

describe('a command that cannot be started', () => {
  const run = (argv: string[], cwd = world.folder) =>
    new MockActivityEnvironment().run(() =>
      runTargetCommand(
        {
          key: 'CP-1.1',
          sandbox: world.deps.sandbox,
          step: 'undo-swap',
          target: world.targets.get('shop'),
          driver: { room: join(world.folder, 'room') },
          room: { workspace: join(world.folder, 'ws') },
          secrets: {},
          redact: redactor({}),
          signal: new AbortController().signal,
          goesOn: () => Promise.resolve(),
          log: { write: () => undefined, ready: () => undefined },
        } as unknown as StepContext,
        'restore',
        { argv, timeoutSeconds: 5 },
        cwd,
        {},
      ).then(
        () => undefined,
        (thrown: unknown) => judge(thrown),
      ),
    );

  it('because this host has no file to spare is a fault', async () => {
    const limit = (soft: number) =>
      execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
    const before = /(\d+)\s+\d+\s+files/.exec(
      execFileSync('prlimit', ['--pid', String(process.pid), '--nofile', '--noheadings'], {
        encoding: 'utf8',
      }),
    )!;
    limit(1024);
    const open: number[] = [];
    try {
      try {
        for (;;) open.push(openSync('/dev/null', 'r'));
      } catch {
        // None is left.
      }
      expect(await run(['true'])).toMatchObject({ is: 'fault', cause: 'out-of-resources' });
      const driver = directoryDriver({ root: world.root('shop') });
      const switching = driver.switchTo(nothing, { fence: 0, by: 'CP-1.1 swap', over: [] }, () =>
        Promise.resolve(),
      );
      expect(judge(await switching.catch((thrown: unknown) => thrown)).cause).toBe('out-of-resources');
      expect(judge(await git(['version']).catch((thrown: unknown) => thrown)).cause).toBe('out-of-resources');
    } finally {
      open.forEach(closeSync);
      limit(Number(before[1]));
    }
    expect(await run(['true'])).toBeUndefined();
  });

  it('because there is none is a verdict; because its folder is gone it is not', async () => {
    expect(await run(['/no/such/program'])).toMatchObject({ is: 'verdict', cause: 'command-failed' });
    expect(await run(['true'], '/no/such/folder')).toMatchObject({ is: 'fault', cause: 'unexpected' });
  });
});

describe('a target that is gone from the targets file', () => {
  const gone = /no longer names the target shop\. Put it back .*SIGHUP/;
  const shop = () => ({ name: 'shop', config: world.targets.get('shop')! });
  let kept: ReturnType<typeof shop>;
  beforeEach(async () => {
    await world.deploy('v1');
    kept = shop();
  });
  const remove = () => (world.targets = new Map());
  const putBack = () => (world.targets = new Map([[kept.name, kept.config]]));
  afterEach(() => {
    putBack();
    world.faults = {};
  });
  /** Runs before the first try of a step. */
  const before = (step: keyof World['faults']) => {
    world.faults[step] = (run) => {
      delete world.faults[step];
      remove();
      return run();
    };
  };

  it.each([
    ['build', 'build'],
    ['backup', 'backup'],
    ['migrate', 'migrate'],
    ['swap', 'swap'],
    ['healthCheck', 'health-check'],
  ] as const)('before %s: it says so in the step, and goes on when it is back', async (activity, step) => {
    before(activity);
    const d = await world.start(await world.approved('v2'));
    const trouble = await world.until('the trouble', async () => troubleOf(await d.row(), step), 10_000);
    expect(trouble!.message).toMatch(gone);
    await world.until('Temporal to have it', async () => {
      const { pendingActivities } = (await d.handle.describe()).raw;
      return gone.test(pendingActivities?.[0]?.lastFailure?.message ?? '');
    });
    expect((await d.row()).status).toBe('running');
    putBack();
    await d.handle.result();
    expect((await d.row()).status).toBe('succeeded');
    expect(await troubleOf(await d.row(), step)).toBeNull();
  });

  it('before its undo: nothing is accepted, and it is undone when it is back', async () => {
    kept.config.undoAlarmSeconds = 2;
    const orders = world.orders();
    before('beginRollback');
    const d = await world.start(await world.approved('sick'));
    const failed = await world.until('an SRE to be asked', async () => {
      const row = await d.row();
      return row?.status === 'rollback-failed' && row;
    });
    expect(failed.waiting_for).toMatch(gone);
    await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'accept'));
    await world.until('it to be refused', async () => {
      const { waiting_for: why } = await d.row();
      return why?.includes('could not be recorded') && /no longer names the target shop/.test(why);
    });
    putBack();
    await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'retry'));
    await d.handle.result();
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringContaining('the data from before is back'),
    });
    expect(world.orders()).toBe(orders);
    await world.checkEnded(row);
  });

  it('and its workflow lost: the record says so until it is back, and then it is recovered', async () => {
    before('build');
    const d = await world.start(await world.approved('v2'));
    await world.until('the trouble', async () => troubleOf(await d.row()));
    await d.handle.terminate('by hand');
    const waitsFor = async () => (await viewDeployment(world.db, await d.row(), () => null)).waitingFor;
    expect((await reconcile(world)).join()).toMatch(gone);
    expect(await waitsFor()).toMatch(gone);
    // Said once.
    expect(await reconcile(world)).toEqual([]);
    putBack();
    expect((await reconcile(world)).join()).toContain('Recovery was started');
    const { promotion, attempt } = await d.row();
    await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, '')).result();
    expect(await d.row()).toMatchObject({ status: 'rolled-back', paused: null });
    expect(await waitsFor()).toBeNull();
    await world.checkEnded(await d.row());
  });
});
