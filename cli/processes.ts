import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { connectTemporal } from '../temporal-config/connection';
import { setUpTemporal } from '../temporal-config/setup';
import { installRuntime, sdkMetricsAt } from '../worker/worker';
import { freePort } from './embedded/ports';
import { startTracing } from './tracing';
import { serveHealth } from './worker-health';
import type { Targets } from '../domain/config';
import {
  openDatabase,
  openLog,
  rereadOnHangup,
  serveApi,
  serveWorker,
  takeStock,
  takeTargets,
} from './serve';
import { demandRelated } from './own-roots';
import { readConfig, required } from './settings';
import { secretFilesOf } from './secret-files';
import { signingKeys } from './state-dir';

/** `signalbox api` and `signalbox worker`: the two processes alone, against servers that run elsewhere. */
interface Alone {
  state: string;
  config: string;
}

async function open(service: string, { state, config }: Alone) {
  const readWhole = () => {
    const whole = readConfig(config);
    demandRelated(whole.targets, config);
    return whole;
  };
  const configured = readWhole();
  let { targets } = configured;
  const databaseUrl = required('DATABASE_URL', 'the PostgreSQL database, postgres://user:password@host/name');
  const stateDir = resolve(state);
  mkdirSync(stateDir, { recursive: true });
  const log = openLog();
  const keyring = signingKeys(stateDir);
  const sdkPort = await freePort();
  installRuntime(log, sdkPort);
  const tracing = startTracing(service);
  const temporal = await connectTemporal();
  const db = await openDatabase(databaseUrl, log);
  await takeTargets(db, targets);
  await setUpTemporal(temporal);
  const place = { db, temporal, stateDir, log, keyring, config: configured };
  const stock = await takeStock(place);
  const say = (line: string) => log.info(line);
  /** @param demand what has to hold for a file that was read again. */
  const reread = (demand?: (targets: Targets) => Promise<void>) =>
    rereadOnHangup(
      configured,
      readWhole,
      async (next) => {
        await demand?.(next);
        await takeTargets(db, next);
        targets = next;
      },
      say,
    );
  const close = async () => {
    await db.destroy();
    await temporal.connection.close();
    await tracing?.stop();
  };
  return {
    databaseUrl,
    sdkMetrics: sdkMetricsAt(sdkPort),
    tracing,
    shared: { ...place, stock, targets: () => targets },
    say,
    reread,
    close,
  };
}

export const stopped = () =>
  new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
  });

export async function runApi(options: Alone & { port: number }): Promise<number> {
  const { databaseUrl, sdkMetrics, shared, say, reread, close } = await open('signalbox-api', options);
  const temporalUi = process.env.TEMPORAL_UI_URL ?? null;
  const api = await serveApi({ ...shared, databaseUrl, temporalUi, sdkMetrics, port: options.port });
  reread();
  say(`API and page on ${api.address}`);
  await stopped();
  await api.stop();
  await close();
  return 0;
}

export async function runWorker(
  options: Alone & { graceSeconds: number; slots?: number; healthPort?: number; buildId?: string },
): Promise<number> {
  const { shared, sdkMetrics, tracing, say, reread, close } = await open('signalbox-worker', options);
  const { buildId, slots } = options;
  const graceMs = options.graceSeconds * 1000;
  const worker = await serveWorker({
    ...shared,
    tracing,
    graceMs,
    secretFiles: secretFilesOf({ ...shared, configFile: options.config }),
    slots,
    buildId,
    warn: (line) => shared.log.warn(line),
  });
  const health =
    options.healthPort === undefined
      ? undefined
      : await serveHealth({ ...shared, port: options.healthPort, worker, sdkMetrics });
  if (health) say(`health and figures on port ${health.port}`);
  reread(worker.demand);
  say(buildId ? `worker is polling, as version ${buildId}` : 'worker is polling');
  await Promise.race([stopped(), worker.broken]);
  say('worker is stopping: running steps may finish');
  await worker.stop();
  health?.stop();
  await close();
  return 0;
}
