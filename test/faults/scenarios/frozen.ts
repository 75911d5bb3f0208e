import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from '@temporalio/worker';
import type { DeploymentView } from '../../../domain/schemas';
import { until } from '../../helpers/until';
import { chance } from '../chance';
import type { Scenario, Scene } from '../scenario';

/**
 * A worker stands still in the middle of what it records, for longer than a workflow's task may take (10 s), and people go on
 * talking to its deployments. Temporal hands out each task again: to the same worker when it wakes, or to another.
 */
const second = 1_000;
type Handle = ReturnType<Scene['stack']['temporal']['client']['workflow']['getHandle']>;
const handleOf = ({ stack }: Scene, key: string): Handle =>
  stack.temporal.client.workflow.getHandle(`deploy/${key.replace('.', '/')}`);

/** A deployment that is held in the middle of what it records. */
interface Held {
  key: string;
  point: string;
  /** What it has to end as once it is cancelled. */
  ends: string;
}

const standsStill = (rival: boolean): Scenario => ({
  name: `besides/cancelled-while-its-worker-stands-still${rival ? '-beside-another' : ''}`,
  stack: { targets: 6 },
  async run(scene) {
    const { stack, demand, seed } = scene;
    const { users, barrier } = stack;
    const dice = chance(seed, 'stands-still');
    const { held, window } = await hold(scene);

    const stopped = stack.worker;
    stopped.signal('SIGSTOP');
    const wakes = Date.now() + dice.between(21, 28) * second;
    if (rival) stack.worker = await stack.startWorker();
    await sleep(dice.between(0, 12) * second);
    for (const { key } of held) {
      // Some may have ended by another worker.
      const tell = (signal: string) =>
        handleOf(scene, key)
          .signal(signal)
          .catch(() => undefined);
      await tell('laneFree');
      await users
        .ask('rosa', 'POST', `/deployments/${key}/cancel`, { reason: 'a second thought' })
        .catch((thrown: unknown) => demand(rival, `${key} could not be cancelled: ${String(thrown)}`));
      await tell('windowChanged');
    }
    await sleep(Math.max(0, wakes - Date.now()));
    const letGo = () => held.forEach(({ point }) => barrier.open(point));
    if (dice.oneOf([true, false])) letGo();
    stopped.signal('SIGCONT');
    // Otherwise it takes the next tasks beside what it still records.
    await sleep(dice.between(1, 6) * second);
    letGo();
    await sleep(dice.between(0, 6) * second);
    // Whoever goes on from here knows the history alone.
    for (const worker of new Set([stopped, stack.worker])) {
      worker.signal('SIGKILL');
      await worker.ended;
    }
    for (const point of ['backup/asked', 'build/asked']) barrier.open(point);
    stack.worker = await stack.startWorker();

    for (const { key, point, ends } of held) {
      const end = await users.ended(key);
      // Another worker may have gone on to its end, or have begun it, before it was cancelled.
      const possible = rival ? ['cancelled', 'rolled-back', 'succeeded'] : [ends];
      demand(possible.includes(end.status), `${point}: it ended as ${end.status}: ${end.outcome}`);
      const handle = handleOf(scene, key);
      await until('its workflow to end', async () => (await handle.describe()).status.name !== 'RUNNING');
      const { words } = await users.ask<DeploymentView>('rosa', 'GET', `/deployments/${key}`);
      demand(!words.some(({ status }) => status === 'waiting'), `${point}: a word waits after its end`);
      await replays(scene, point, handle);
    }
    await users.ask('rosa', 'DELETE', `/deployment-windows/${window}`, {});
  },
});

/** Brings a deployment to each place where it records something, and holds it there. */
async function hold(scene: Scene): Promise<{ held: Held[]; window: number }> {
  const { users, barrier, commit } = scene.stack;
  const held: Held[] = [];
  const begin = async (target: string, point: string, tag = 'well') => {
    const promotion = await users.approved(tag, target);
    barrier.arm(point);
    return users.deploy(promotion);
  };
  const reached = async (key: string, point: string, ends: string) => {
    await barrier.reached(point);
    held.push({ key, point, ends });
  };
  /** One that waits behind another, which is held. */
  const behind = async (target: string, point: string) => {
    await begin(target, point);
    await barrier.reached(point);
    const key = await users.deploy(await users.approved('well', target));
    await until('it to wait', async () => {
      const { position } = await users.ask<DeploymentView>('rosa', 'GET', `/deployments/${key}`);
      return position === 1;
    });
    return key;
  };
  await commit('well', 'well');
  await commit('sick', 'sick');

  const closed = await begin('shop-5', 'migrate/asked');
  await barrier.reached('migrate/asked');
  const { id } = await users.ask<{ id: number }>('rosa', 'POST', '/deployment-windows', {
    name: 'closed',
    kind: 'freeze',
    scope: { target: 'shop-5' },
    start: new Date(Date.now() - 86_400_000).toISOString().slice(0, 16),
    timeZone: 'UTC',
    durationMinutes: 3 * 24 * 60,
  });
  const waiting = await behind('shop-1', 'backup/asked');
  const next = await behind('shop-2', 'swap/asked');

  await reached(
    await begin('shop-3', 'begin-rollback/before', 'sick'),
    'begin-rollback/before',
    'rolled-back',
  );
  // A cancel comes too late.
  await reached(await begin('shop-4', 'record/before'), 'record/before', 'succeeded');
  barrier.arm('lane/recorded-unreported');
  barrier.open('swap/asked');
  await reached(next, 'lane/recorded-unreported', 'rolled-back');
  barrier.arm('lane/before');
  await handleOf(scene, waiting).signal('laneFree');
  await reached(waiting, 'lane/before', 'cancelled');
  barrier.arm('hold/recorded-unreported');
  barrier.open('migrate/asked');
  await reached(closed, 'hold/recorded-unreported', 'rolled-back');
  const building = await begin('shop-6', 'build/asked');
  await barrier.reached('build/asked');
  barrier.arm('heard/before');
  await users.ask('rosa', 'POST', `/deployments/${building}/cancel`, { reason: 'a first thought' });
  await reached(building, 'heard/before', 'rolled-back');
  await reached(await begin('shop', 'admit/recorded-unreported'), 'admit/recorded-unreported', 'rolled-back');
  return { held, window: id };
}

/** Any worker can go on from its history, and no task of it failed. */
async function replays({ demand }: Scene, point: string, handle: Handle): Promise<void> {
  const history = await handle.fetchHistory();
  const failed = history.events!.flatMap(({ workflowTaskFailedEventAttributes: task }) =>
    // A signal that came while a task was answered is nobody's fault.
    task && task.cause !== 1 ? [task.failure?.message] : [],
  );
  demand(failed.length === 0, `${point}: tasks failed: ${failed.join('; ')}`);
  const options = {
    workflowBundle: { codePath: join('dist-failpoints', 'workflow-bundle.js') },
    dataConverter: { payloadConverterPath: require.resolve('../../../workflows/payload-converter') },
  };
  await Worker.runReplayHistory(options, history).catch((thrown: unknown) =>
    demand(false, `${point}: its history does not replay: ${String(thrown)}`),
  );
}

export const frozen: Scenario[] = [standsStill(false), standsStill(true)];
