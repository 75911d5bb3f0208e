import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities';
import type { Deps } from '../activities/deps';
import { controlQueue } from '../temporal-config/names';
import type { Temporal } from '../temporal-config/connection';

/** The worker process: workflows, and the activities that act on targets and write the record. */
export interface SignalboxWorker {
  /** Stops polling, gives running steps their grace, then interrupts them; they go on when a worker is back. */
  stop(): Promise<void>;
  /** Rejects when the worker breaks. */
  broken: Promise<never>;
}
export interface WorkerSettings {
  temporal: Temporal;
  deps: Deps;
  /** Path of the bundled workflows. */
  workflowBundle: string;
  graceMs: number;
}

/** Sends Temporal's own log lines into Signalbox's log. Once per process, before the first connection. */
export function routeTemporalLogs(log: Logger): void {
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) =>
      log[level === 'ERROR' ? 'error' : 'warn']({ temporal: meta }, message),
    ),
  });
}

export async function startWorker({
  temporal,
  deps,
  workflowBundle,
  graceMs,
}: WorkerSettings): Promise<SignalboxWorker> {
  const worker = await Worker.create({
    connection: temporal.connection,
    namespace: temporal.namespace,
    taskQueue: controlQueue,
    workflowBundle: { codePath: workflowBundle },
    dataConverter: { payloadConverterPath: require.resolve('../workflows/payload-converter') },
    activities: createActivities(deps),
    shutdownGraceTime: graceMs,
    shutdownForceTime: graceMs + 20_000,
    // A cancel is noticed with a heartbeat's answer, so heartbeats must not be held back.
    maxHeartbeatThrottleInterval: 1_000,
  });
  const done = worker.run();
  const broken = done.then(() => new Promise<never>(() => undefined));
  broken.catch(() => undefined);
  return {
    broken,
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await done.catch(() => undefined);
    },
  };
}
