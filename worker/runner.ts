import { Worker } from '@temporalio/worker';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSteps } from '../activities';
import type { TargetDeps } from '../activities/deps';
import { ofWorkflows } from '../activities/orders';
import { createRunnerActivities } from '../activities/runner';
import { targetOf } from '../activities/step';
import { targetRecipe } from '../db/digest';
import { spoken } from '../domain/sandbox';
import type { Temporal } from '../temporal-config/connection';
import { runnerQueue, targetQueue } from '../temporal-config/names';
import type { Remote } from './remote-journal';
import type { SignalboxWorker } from './worker';

/**
 * A runner: does the steps of one target on the target's own host. It polls the target's queue, where deployments are taken,
 * and a queue of its own, where the steps of those come that it took. It runs no workflows and reaches no database.
 */
export interface RunnerSettings {
  temporal: Temporal;
  target: string;
  /** Stays the same over restarts, so that it goes on with what it had taken. */
  id: string;
  host: string;
  version: string;
  remote: Remote;
  deps: Omit<TargetDeps, 'journal'>;
  graceMs: number;
}
const helloEveryMs = 10_000;

/** @throws when the API does not know it, or its token. */
export async function startRunner(settings: RunnerSettings): Promise<SignalboxWorker> {
  const { temporal, target, id, host, version, remote, graceMs } = settings;
  const deps = { ...settings.deps, journal: remote.journal };
  const about = { id, host, version, startedAt: new Date().toISOString(), sandbox: spoken(deps.sandbox) };
  const hello = () => remote.hello({ ...about, acts: targetRecipe(targetOf(deps, target)) });
  await hello();
  const common = {
    connection: temporal.connection,
    namespace: temporal.namespace,
    dataConverter: { payloadConverterPath: require.resolve('../workflows/payload-converter') },
    identity: `runner ${id} on ${host}`,
    shutdownGraceTime: graceMs,
    shutdownForceTime: graceMs + 20_000,
    maxHeartbeatThrottleInterval: 1_000,
  };
  const extra = ofWorkflows(
    createRunnerActivities({ ...deps, target, id, host, claim: remote.claim, left: remote.left }),
    deps.log,
  );
  const workers = await Promise.all([
    Worker.create({
      ...common,
      taskQueue: targetQueue(target),
      activities: { claimRunner: extra.claimRunner },
    }),
    Worker.create({
      ...common,
      taskQueue: runnerQueue(target, id),
      activities: {
        ...ofWorkflows(createSteps({ ...deps, only: target }), deps.log),
        observe: extra.observe,
        tidy: extra.tidy,
      },
    }),
  ]);
  const stopping = new AbortController();
  const hellos = (async () => {
    let failing = false;
    for (;;) {
      await sleep(helloEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      await hello().then(
        () => (failing = false),
        (thrown: unknown) => {
          if (!failing) deps.log.warn({ err: thrown }, 'the API does not hear this runner; trying again');
          failing = true;
        },
      );
    }
  })();
  const done = Promise.all(workers.map((worker) => worker.run()));
  const broken = done.then(() => new Promise<never>(() => undefined));
  broken.catch(() => undefined);
  return {
    running: () => workers.every((worker) => worker.getState() === 'RUNNING'),
    broken,
    async stop() {
      stopping.abort();
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await done.catch(() => undefined);
      await hellos;
    },
  };
}
