import { DefaultLogger, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities';
import type { Deps } from '../activities/deps';
import { controlQueue, targetQueue } from '../temporal-config/names';
import type { Temporal } from '../temporal-config/connection';

/**
 * The worker process: one Temporal worker for workflows and the record, and one for each target, so that a
 * target's work can later move to a runner on its own host.
 */
export interface SignalboxWorker {
  /** Serves targets that were added to the targets file. */
  serve(targets: Iterable<string>): Promise<void>;
  /** Stops polling, gives running steps their grace, then interrupts them; they go on when a worker is back. */
  stop(): Promise<void>;
  /** Rejects when a worker breaks. */
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
  const activities = createActivities(deps);
  const running = new Map<string, { worker: Worker; done: Promise<void> }>();
  let fail!: (why: unknown) => void;
  const broken = new Promise<never>((_, reject) => (fail = reject));
  broken.catch(() => undefined);

  const start = async (taskQueue: string, options: Partial<WorkerOptions>) => {
    if (running.has(taskQueue)) return;
    const worker = await Worker.create({
      connection: temporal.connection,
      namespace: temporal.namespace,
      taskQueue,
      shutdownGraceTime: graceMs,
      shutdownForceTime: graceMs + 20_000,
      // A cancel is noticed with a heartbeat's answer, so heartbeats must not be held back.
      maxHeartbeatThrottleInterval: 1_000,
      ...options,
    });
    const done = worker.run();
    done.catch(fail);
    running.set(taskQueue, { worker, done });
  };
  const serve = async (targets: Iterable<string>) => {
    for (const target of targets) await start(targetQueue(target), { activities: activities.onTarget });
  };

  await start(controlQueue, { activities: activities.control, workflowBundle: { codePath: workflowBundle } });
  await serve(deps.targets().keys());
  return {
    serve,
    broken,
    async stop() {
      for (const { worker } of running.values()) if (worker.getState() === 'RUNNING') worker.shutdown();
      await Promise.allSettled([...running.values()].map(({ done }) => done));
    },
  };
}
