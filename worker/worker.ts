import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import {
  makeWorkflowExporter,
  OpenTelemetryActivityInboundInterceptor,
} from '@temporalio/interceptors-opentelemetry';
import type { Logger } from 'pino';
import { collectDefaultMetrics } from 'prom-client';
import { createActivities } from '../activities';
import { alive } from '../activities/alive';
import { slotsOf } from '../activities/places';
import type { Deps } from '../activities/deps';
import { controlQueue } from '../temporal-config/names';
import type { Temporal } from '../temporal-config/connection';
import type { Tracing } from '../temporal-config/tracing';
import { versionOf } from '../temporal-config/versions';

/** The worker process: workflows, and the activities that act on targets and write the record. */
export interface SignalboxWorker {
  /** Whether it takes work. */
  running(): boolean;
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
  /** With it the workflows' bundle has to be the traced one. */
  tracing?: Tracing;
  /** Version of this worker; left out: it takes whatever comes, as long as no version is the current one. */
  buildId?: string;
}

/**
 * Sends Temporal's own log lines into Signalbox's log, and has its SDK show its figures to this host alone. Once per
 * process, before the first connection.
 * @param metricsPort of the figures; left out: none are kept.
 */
export function installRuntime(log: Logger, metricsPort?: number): void {
  if (metricsPort !== undefined) collectDefaultMetrics();
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }) =>
      log[level === 'ERROR' ? 'error' : 'warn']({ temporal: meta }, message),
    ),
    telemetryOptions: {
      // What its native part says too: otherwise that is printed beside the log, and not as JSON.
      logging: { forward: {} },
      ...(metricsPort === undefined
        ? {}
        : {
            metrics: {
              prometheus: {
                bindAddress: `127.0.0.1:${metricsPort}`,
                countersTotalSuffix: true,
                unitSuffix: true,
                useSecondsForDurations: true,
              },
            },
          }),
    },
  });
}

/** The figures of the SDK, as Prometheus reads them. */
export const sdkMetricsAt = (port: number) => async (): Promise<string> =>
  (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();

export async function startWorker({
  temporal,
  deps,
  workflowBundle,
  graceMs,
  tracing,
  buildId,
}: WorkerSettings): Promise<SignalboxWorker> {
  const worker = await Worker.create({
    connection: temporal.connection,
    namespace: temporal.namespace,
    taskQueue: controlQueue,
    workflowBundle: { codePath: workflowBundle },
    dataConverter: { payloadConverterPath: require.resolve('../workflows/payload-converter') },
    activities: alive(createActivities(deps)),
    maxConcurrentActivityTaskExecutions: slotsOf(deps.slots),
    ...(buildId && { workerDeploymentOptions: versionOf(buildId) }),
    ...(tracing && {
      interceptors: {
        activity: [(ctx) => ({ inbound: new OpenTelemetryActivityInboundInterceptor(ctx) })],
      },
      sinks: { exporter: makeWorkflowExporter(tracing.spans, tracing.resource) },
    }),
    shutdownGraceTime: graceMs,
    shutdownForceTime: graceMs + 20_000,
    // A cancel is noticed with a heartbeat's answer, so heartbeats must not be held back.
    maxHeartbeatThrottleInterval: 1_000,
  });
  const done = worker.run();
  const broken = done.then(() => new Promise<never>(() => undefined));
  broken.catch(() => undefined);
  return {
    running: () => worker.getState() === 'RUNNING',
    broken,
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown();
      await done.catch(() => undefined);
    },
  };
}
