import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { trace } from '@opentelemetry/api';
import pino, { type Logger } from 'pino';
import { createApp } from '../api/app';
import type { ApiDeps, OidcSignIn } from '../api/deps';
import { createSource } from '../activities/git';
import { findSandbox } from '../activities/find-sandbox';
import type { Config, Targets } from '../domain/config';
import { sentences } from '../domain/sentences';
import { spoken } from '../domain/sandbox';
import type { OidcConfig } from '../domain/service-config';
import { followChanges } from '../db/changes';
import { connect, type Db } from '../db/connect';
import { noteWorker } from '../db/sandboxes';
import { noteRoots, noteTargets, registerTargets } from '../db/targets';
import type { Temporal } from '../temporal-config/connection';
import type { Keyring } from '../temporal-config/signing';
import type { Tracing } from '../temporal-config/tracing';
import { createJournal } from '../db/journal';
import { createWindows } from '../db/windows';
import { rebindAll } from '../db/change-content';
import { keepAudit } from '../worker/audit-keeper';
import { keepWorkflowHistories } from '../worker/history-keeper';
import { startNotifier } from '../worker/notifier';
import { repeat } from '../worker/repeat';
import { createStocktaking, type Stocktaking } from '../worker/stocktaking';
import { keepSchedules } from '../worker/schedules';
import { startWorker, type SignalboxWorker } from '../worker/worker';
import { migrateAsOwner, operator } from './database';
import { headsFileIn } from './state-dir';
import { createTargetChecks, type TargetChecks } from './target-checks';
import { pageDir, readReference, tracedWorkflowBundle, workflowBundle } from './settings';

/** What `up`, `signalbox api` and `signalbox worker` are put together from. */
const verdictMs = 5_000;

export const openLog = (destination?: string): Logger =>
  pino(
    {
      level: process.env.SIGNALBOX_LOG_LEVEL ?? 'info',
      base: undefined,
      // Leads from a line to its trace, where traces are kept.
      mixin: () => {
        const span = trace.getActiveSpan()?.spanContext();
        return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
      },
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    destination ? pino.destination({ dest: destination, sync: true, mkdir: true }) : pino.destination(1),
  );

/** A host that is busy, or a server that is just starting, answers late: that is waited for, once it was found. */
const answersWithinMs = 60_000;
const isLate = (thrown: unknown): boolean =>
  (thrown as { code?: string }).code === '57P03' || /timeout expired/.test((thrown as Error).message);

/** Opens the database and brings its schema up to date. @throws naming DATABASE_URL when it is not reached. */
export async function openDatabase(url: string, log: Logger, ownerUrl?: string): Promise<Db> {
  const db = connect(url, 10, (message) => log.warn(`PostgreSQL: ${message.split('\n', 1)[0]}`));
  const shown = url.replace(/:\/\/[^@]*@/, '://...@');
  const deadline = performance.now() + answersWithinMs;
  try {
    for (;;)
      try {
        await migrateAsOwner(url, ownerUrl);
        return db;
      } catch (thrown) {
        if (!isLate(thrown) || performance.now() > deadline) throw thrown;
        log.warn(`The database ${shown} does not answer yet; it is asked again.`);
        await sleep(1_000);
      }
  } catch (thrown) {
    await db.destroy();
    throw new Error(`The database ${shown} could not be opened; correct DATABASE_URL or start the server.`, {
      cause: thrown,
    });
  }
}

/** Takes over what the targets file says. */
export async function takeTargets(db: Db, targets: Targets): Promise<void> {
  await registerTargets(db, [...targets.keys()]);
  await noteRoots(db, targets);
  await noteTargets(db, targets, operator());
  await rebindAll(db, targets);
}

/** Before this process does anything, because what follows depends on which database this is. */
export async function takeStock(options: {
  db: Db;
  temporal: Temporal;
  stateDir: string;
  log: Logger;
  keyring: Keyring;
  config: Pick<Config, 'audit'>;
}): Promise<Stocktaking> {
  const { db, temporal, stateDir, log, keyring, config } = options;
  const places = { stateDir, headsFile: headsFileOf(config, stateDir) };
  const stock = createStocktaking({ db, temporal: temporal.client, places, keyring, log });
  await stock.take();
  return stock;
}
const headsFileOf = ({ audit }: Pick<Config, 'audit'>, stateDir: string) =>
  audit.exportFile ?? headsFileIn(stateDir);

export interface ApiServer {
  port: number;
  /** How it calls itself, with a slash at the end. */
  address: string;
  stop(): Promise<void>;
}
/** A client that is slower than this with its request is let go. */
const headersMs = 10_000;
const requestMs = 15_000;
/** A connection on which nothing moves; the event stream says something every 15 s. */
const idleMs = 60_000;
/** How often the API looks whether the database is the one that it was; whoever starts something waits for that. */
const lookEveryMs = 1_000;

/** Serves API and page, on loopback unless the configuration says otherwise. @throws when the port is taken. */
export async function serveApi(options: {
  databaseUrl: string;
  db: Db;
  temporal: Temporal;
  targets(): Targets;
  stateDir: string;
  stock: Stocktaking;
  temporalUi: string | null;
  log: Logger;
  keyring: Keyring;
  config: Pick<Config, 'api' | 'identity'>;
  port: number;
  signIn?: ApiDeps['signIn'];
  sdkMetrics?: ApiDeps['sdkMetrics'];
}): Promise<ApiServer> {
  const { temporal, temporalUi, stock, log } = options;
  const source = createSource(join(options.stateDir, 'mirrors', 'api'));
  const changes = followChanges(options.databaseUrl);
  const { listen: host, tls, publicUrl } = options.config.api;
  const { identity } = options.config;
  const scheme = tls ? 'https' : 'http';
  let origins: string[] = [];
  const app = createApp({
    db: options.db,
    changes,
    temporal: temporal.client,
    targets: options.targets,
    windows: createWindows(options.db),
    mirror: (...args) => source.mirror(...args),
    resolveRevision: (...args) => source.resolve(...args),
    compare: (...args) => source.compare(...args),
    runUrl: (workflowId, runId) =>
      temporalUi &&
      [temporalUi, 'namespaces', temporal.namespace, 'workflows', encodeURIComponent(workflowId), runId]
        .filter(Boolean)
        .join('/'),
    webDir: pageDir,
    log: options.log,
    sdkMetrics: options.sdkMetrics,
    verdictMs,
    signIn: identity && publicUrl ? oidcSignIn(identity.oidc, publicUrl) : options.signIn,
    keyring: options.keyring,
    origins: () => origins,
  });
  const limits = { headersTimeout: headersMs, requestTimeout: requestMs, connectionsCheckingInterval: 2_000 };
  const server = tls
    ? createTlsServer({ ...limits, cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, app)
    : createServer(limits, app);
  server.setTimeout(idleMs);
  try {
    const port = await listen(server, options.port, host);
    const failed = 'it could not be seen whether the database is the one that it was; trying again';
    const looking = repeat({
      everyMs: lookEveryMs,
      log,
      failed,
      pass: async () => void (await stock.take()),
    });
    const local = ['127.0.0.1', 'localhost', '[::1]'].map((name) => `${scheme}://${name}:${port}`);
    origins = [...(publicUrl ? [new URL(publicUrl).origin] : []), ...local];
    return {
      port,
      address: `${origins[0]}/`,
      async stop() {
        await looking.stop();
        const closed = new Promise((resolve) => server.close(resolve));
        // Ends the event streams; what waits for a verdict gets the time it was promised.
        await changes.close();
        // A kept-alive connection is closed as soon as its answer is out, not when its client lets go.
        const idle = setInterval(() => server.closeIdleConnections(), 50);
        const late = setTimeout(() => server.closeAllConnections(), verdictMs + 1_000);
        await source.close();
        await closed;
        clearTimeout(late);
        clearInterval(idle);
      },
    };
  } catch (thrown) {
    await changes.close();
    throw thrown;
  }
}

const oidcSignIn = (oidc: OidcConfig, publicUrl: string): OidcSignIn => ({
  kind: 'oidc',
  oidc,
  publicUrl,
  clientSecret: () => oidc.clientSecret && readReference(oidc.clientSecret),
});

export const listen = (server: Server, port: number, host: string) =>
  new Promise<number>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE' ? portTaken(port) : new Error(`cannot listen on port ${port}`, { cause }),
      ),
    );
    server.listen(port, host, () => resolve((server.address() as { port: number }).port));
  });

export const portTaken = (port: number) =>
  new Error(
    `Port ${port} is taken by another program; end that one, or choose another with --port N (0: any free one).`,
  );

const presentEveryMs = 30_000;

/** The worker, which also looks at the targets that the file names when it is read again. */
export interface ServedWorker extends SignalboxWorker {
  demand: TargetChecks['demand'];
}

/** @param options.warn hears what targets lack on this host. */
export async function serveWorker(options: {
  db: Db;
  temporal: Temporal;
  targets(): Targets;
  stateDir: string;
  stock: Stocktaking;
  log: Logger;
  keyring: Keyring;
  config: Pick<Config, 'audit' | 'notifications' | 'retention'>;
  graceMs: number;
  /** What holds Signalbox's own secrets besides the state directory. */
  secretFiles: string[];
  /** How many steps it does at once. */
  slots?: number;
  tracing?: Tracing;
  buildId?: string;
  warn(line: string): void;
}): Promise<ServedWorker> {
  const { temporal, stateDir, stock } = options;
  const sandbox = await findSandbox({ stateDir, targets: options.targets, secretFiles: options.secretFiles });
  if (sandbox.kind === 'none') options.warn(sandbox.said);
  else options.log.info({ sandbox: sandbox.kind }, sandbox.said);
  const checks = createTargetChecks(options.warn, sandbox);
  await checks.demand(options.targets());
  const windows = createWindows(options.db);
  const source = createSource(join(stateDir, 'mirrors', 'worker'));
  const worker = await startWorker({
    temporal,
    workflowBundle: options.tracing ? tracedWorkflowBundle : workflowBundle,
    tracing: options.tracing,
    graceMs: options.graceMs,
    buildId: options.buildId,
    deps: {
      db: options.db,
      targets: options.targets,
      journal: createJournal({ ...options, windows }),
      windows,
      notifications: { config: options.config.notifications, secretOf: readReference },
      retention: options.config.retention,
      source,
      stateDir,
      temporal: temporal.client,
      keyring: options.keyring,
      log: options.log,
      sandbox,
      slots: options.slots,
    },
  });
  const schedules = await keepSchedules(temporal, options.log);
  const notifier = await startNotifier({
    db: options.db,
    temporal: temporal.client,
    config: options.config.notifications,
    log: options.log,
  });
  const histories = keepWorkflowHistories({ db: options.db, temporal: temporal.client, log: options.log });
  const present = repeat({
    everyMs: presentEveryMs,
    log: options.log,
    failed: 'the record could not be told what this host keeps builds in; trying again',
    pass: () => noteWorker(options.db, { host: hostname(), sandbox: spoken(sandbox) }),
  });
  const keeper = keepAudit({
    db: options.db,
    file: headsFileOf(options.config, stateDir),
    stock,
    whyForged: (said) => options.keyring.whyForged('restored', 'audit', said),
    config: options.config.audit,
    log: options.log,
  });
  return {
    running: worker.running,
    broken: worker.broken,
    demand: checks.demand,
    async stop() {
      checks.stop();
      await schedules.stop();
      await notifier.stop();
      await histories.stop();
      await present.stop();
      await worker.stop();
      await source.close();
      await keeper.stop();
    },
  };
}

/**
 * Rereads the targets file on SIGHUP; one that is not valid is refused and the old one stays. Targets and groups are taken
 * over; what else has changed since the start is named, because it only counts from the next start on.
 * @param begun the file at the start.
 */
export function rereadOnHangup<C extends { targets: Targets }>(
  begun: C,
  read: () => C | Promise<C>,
  use: (targets: Targets) => Promise<void>,
  say: (line: string) => void,
): () => void {
  let known = new Set(begun.targets.keys());
  const reread = () => {
    Promise.resolve()
      .then(read)
      .then(async (next) => {
        await use(next.targets);
        const changed = changedSections(begun, next);
        const gone = [...known].filter((name) => !next.targets.has(name));
        known = new Set(next.targets.keys());
        say(
          sentences(
            'Targets file read again',
            gone.length > 0 &&
              `No longer in it: ${gone.join(', ')}; what is under way there waits until it is back ("signalbox doctor" names it)`,
            changed.length > 0 && `Restart to use what else was changed: ${changed.join(', ')}`,
          ),
        );
      })
      .catch((thrown: unknown) =>
        say(`The targets file was not taken over; the old one stays. ${String(thrown)}`),
      );
  };
  process.on('SIGHUP', reread);
  return () => process.off('SIGHUP', reread);
}

/** Sections besides targets, and groups, which each target carries. */
const changedSections = (before: object, after: object): string[] => {
  const [was, is] = [before, after].map((one) => ({ ...one }) as Record<string, unknown>);
  return [...new Set([...Object.keys(was!), ...Object.keys(is!)])].filter(
    (name) =>
      !['targets', 'groups'].includes(name) && JSON.stringify(was![name]) !== JSON.stringify(is![name]),
  );
};
