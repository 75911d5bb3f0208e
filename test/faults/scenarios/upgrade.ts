import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeploymentView } from '../../../domain/schemas';
import { until } from '../../helpers/until';
import type { Scenario, Scene } from '../scenario';
import { shipped } from '../stack';

/** Signalbox's own upgrade: the version before and the one at work, side by side on one database, forth and back. */

/** The last state before migration 006-backups. */
const beforeBackups = '2548c3d92b';
/** The last whose workers switch without observing what was live. */
const beforeObservation = 'f061526951';

const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8', maxBuffer: 2 ** 28 });

/** Builds the version before from the repository's own history, once. @returns the folder of its program. */
function built(before: string): string {
  const folder = resolve('.versions', before);
  const program = join(folder, 'dist-failpoints');
  if (existsSync(join(folder, 'dist', 'built'))) return program;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const archive = spawnSync('git', ['archive', before], { maxBuffer: 2 ** 28 });
  spawnSync('tar', ['-x', '-C', folder], { input: archive.stdout });
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const { status, stderr, stdout } = spawnSync(process.execPath, ['scripts/build.mjs'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the version before could not be built: ${stdout}${stderr}`);
  return program;
}

const whyNot = (before: string) => () =>
  git('cat-file', '-e', `${before}^{commit}`).status === 0
    ? undefined
    : `the history of this repository does not go back to ${before}`;

/** Holds a deployment at a point, in whichever worker has it. */
async function heldAt({ stack, start }: Scene, point: string, release: 'well' | 'sick') {
  stack.barrier.arm(point);
  const started = await start(release);
  await stack.barrier.reached(point);
  return started;
}
const migrations = ({ stack }: Scene) =>
  stack.withDb(async (db) => Number((await db('knex_migrations').count('* as n').first())?.n));

async function ended(
  scene: Scene,
  worker: Scene['stack']['worker'],
  who: string,
  meanwhile?: () => void,
): Promise<void> {
  worker.signal('SIGTERM');
  meanwhile?.();
  const code = await worker.ended;
  scene.demand(code === 0, `${who} ended with ${code}`);
}

/**
 * What the new version began, which records outside of workflow tasks, is nothing that the old one could finish: it leaves it
 * alone, and a new worker takes it to its end. (docs/upgrading.md tells operators.)
 */
async function waitsForTheNewer({ stack, demand }: Scene, attempt: string, during: string): Promise<void> {
  const { temporal } = await stack.users.ask<DeploymentView>('carla', 'GET', `/deployments/${attempt}`);
  const handle = stack.temporal.client.workflow.getHandle(temporal.workflowId);
  const journal = () => readFileSync(join(stack.root, '.signalbox', 'journal.jsonl'), 'utf8');
  await until('the old worker to leave it alone', async () => {
    const { events } = await handle.fetchHistory();
    return events!.some((event) => event.workflowTaskFailedEventAttributes);
  });
  const acted = journal();
  // A few more tries of the old one.
  await sleep(25_000);
  const { status } = await stack.users.ask<DeploymentView>('carla', 'GET', `/deployments/${attempt}`);
  demand(status === during, `under the old worker it is ${status}`);
  demand(journal() === acted, `the old worker acted on the target: ${journal().slice(acted.length)}`);
  const newer = await stack.startWorker(shipped);
  await stack.users.ended(attempt);
  // The end is recorded before its workflow has ended.
  await handle.result();
  newer.signal('SIGTERM');
  demand((await newer.ended) === 0, 'the new worker did not end well');
}

const forthAndBack: Scenario[] = (
  [
    ['build/middle', 'well', 'succeeded'],
    ['swap/middle', 'well', 'succeeded'],
    ['undo-swap/middle', 'sick', 'rolled-back'],
  ] as const
).map(([point, release, status]) => ({
  name: `besides/upgraded-in-${point.replace('/', '-')}-and-back`,
  program: () => built(beforeBackups),
  whyNot: whyNot(beforeBackups),
  async run(scene) {
    const { stack, demand } = scene;
    // Forth: the new API migrates while the old worker is at work, then a new worker stands beside it.
    const first = await heldAt(scene, point, release);
    const old = { api: stack.api, worker: stack.worker };
    const schema = await migrations(scene);
    await ended(scene, old.api, 'the old API');
    stack.api = await stack.startApi(shipped);
    demand((await migrations(scene)) > schema, 'nothing was migrated, so nothing was upgraded');
    stack.worker = await stack.startWorker(shipped);
    stack.barrier.open(point);
    await first.ends(status);
    // And once more with both there, whoever gets which step.
    await scene.deploy('succeeded');

    // Back: what the new one has begun the old one leaves alone, and does what begins then, on the new schema. (It would not
    // start on that again.)
    old.worker.signal('SIGSTOP');
    const second = await heldAt(scene, point, release);
    old.worker.signal('SIGCONT');
    await ended(scene, stack.worker, 'the new worker', () => stack.barrier.open(point));
    stack.worker = old.worker;
    await waitsForTheNewer(scene, second.attempt, status === 'rolled-back' ? 'rolling-back' : 'running');
    await second.ends(status);
    await scene.deploy('succeeded');

    // And forth for good.
    stack.worker = await stack.startWorker(shipped);
    await ended(scene, old.worker, 'the old worker');
    await scene.deploy('succeeded');
  },
}));

/**
 * The schema has observation, the worker does not know of it yet, and is killed in the middle: whoever goes on finds no
 * record of what was live.
 */
const unobserved: Scenario[] = (
  [
    'swap/effect-unreported',
    'health-check/before',
    'undo-swap/effect-unreported',
    'verify-rollback/before',
  ] as const
).map((point) => ({
  name: `besides/upgraded-unobserved-at-${point.replace('/', '-')}`,
  program: () => built(beforeObservation),
  whyNot: whyNot(beforeObservation),
  async run(scene) {
    const { stack, demand } = scene;
    await ended(scene, stack.api, 'the old API');
    stack.api = await stack.startApi(shipped);
    const held = await heldAt(scene, point, 'sick');
    const { observed } = await stack.withDb((db) =>
      db('deployments').orderBy('id', 'desc').first('observed'),
    );
    demand(observed === null, 'the old worker observed, so there was nothing to find out');
    const old = stack.worker;
    stack.worker = await stack.startWorker(shipped);
    old.signal('SIGKILL');
    await old.ended;
    stack.barrier.open(point);
    await held.ends('rolled-back');
  },
}));

export const upgrades: Scenario[] = [...forthAndBack, ...unobserved];
