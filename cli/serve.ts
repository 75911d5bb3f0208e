import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { createApp } from '../api/app';
import type { ApiDeps } from '../api/deps';
import { createSource } from '../activities/git';
import type { Targets } from '../domain/config';
import { followChanges } from '../db/changes';
import { connect, migrate, type Db } from '../db/connect';
import { registerTargets } from '../db/targets';
import type { Temporal } from '../temporal-config/connection';
import { registerSchedules } from '../worker/schedules';
import { startWorker, type SignalboxWorker } from '../worker/worker';
import { pageDir, workflowBundle } from './settings';

/** What `up`, `signalbox api` and `signalbox worker` are put together from. */
const verdictMs = 5_000;

export const openLog = (destination?: string): Logger =>
  pino(
    {
      level: process.env.SIGNALBOX_LOG_LEVEL ?? 'info',
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    destination ? pino.destination({ dest: destination, sync: true, mkdir: true }) : pino.destination(1),
  );

/** Opens the database and brings its schema up to date. @throws naming DATABASE_URL when it is not reached. */
export async function openDatabase(url: string, targets: Targets): Promise<Db> {
  const db = connect(url);
  try {
    await migrate(db);
    await registerTargets(db, [...targets.keys()]);
    return db;
  } catch (thrown) {
    await db.destroy();
    const shown = url.replace(/:\/\/[^@]*@/, '://...@');
    throw new Error(`The database ${shown} could not be opened; correct DATABASE_URL or start the server.`, {
      cause: thrown,
    });
  }
}

export interface ApiServer {
  port: number;
  stop(): Promise<void>;
}
/** Serves API and page on loopback. @throws when the port is taken. */
export async function serveApi(options: {
  databaseUrl: string;
  db: Db;
  temporal: Temporal;
  targets(): Targets;
  stateDir: string;
  temporalUi: string | null;
  log: Logger;
  port: number;
  signIn?: ApiDeps['signIn'];
}): Promise<ApiServer> {
  const { temporal, temporalUi } = options;
  const source = createSource(join(options.stateDir, 'mirrors', 'api'));
  const changes = followChanges(options.databaseUrl);
  const app = createApp({
    db: options.db,
    changes,
    temporal: temporal.client,
    targets: options.targets,
    resolveRevision: (...args) => source.resolve(...args),
    runUrl: (workflowId, runId) =>
      temporalUi &&
      [temporalUi, 'namespaces', temporal.namespace, 'workflows', encodeURIComponent(workflowId), runId]
        .filter(Boolean)
        .join('/'),
    webDir: pageDir,
    log: options.log,
    verdictMs,
    signIn: options.signIn,
  });
  const server = createServer(app);
  try {
    const port = await listen(server, options.port);
    return {
      port,
      async stop() {
        const closed = new Promise((resolve) => server.close(resolve));
        // Ends the event streams; what waits for a verdict gets the time it was promised.
        await changes.close();
        // A kept-alive connection is closed as soon as its answer is out, not when its client lets go.
        const idle = setInterval(() => server.closeIdleConnections(), 50);
        const late = setTimeout(() => server.closeAllConnections(), verdictMs + 1_000);
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

const listen = (server: Server, port: number) =>
  new Promise<number>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'EADDRINUSE' ? portTaken(port) : new Error(`cannot listen on port ${port}`, { cause }),
      ),
    );
    server.listen(port, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });

export const portTaken = (port: number) =>
  new Error(
    `Port ${port} is taken by another program; end that one, or choose another with --port N (0: any free one).`,
  );

export async function serveWorker(options: {
  db: Db;
  temporal: Temporal;
  targets(): Targets;
  stateDir: string;
  log: Logger;
  graceMs: number;
}): Promise<SignalboxWorker> {
  const { temporal, stateDir } = options;
  const worker = await startWorker({
    temporal,
    workflowBundle,
    graceMs: options.graceMs,
    deps: {
      db: options.db,
      targets: options.targets,
      source: createSource(join(stateDir, 'mirrors', 'worker')),
      stateDir,
      temporal: temporal.client,
      log: options.log,
    },
  });
  await registerSchedules(temporal.client);
  return worker;
}

/** Rereads the targets file on SIGHUP; one that is not valid is refused and the old one stays. */
export function rereadOnHangup(
  read: () => Targets,
  use: (targets: Targets) => Promise<void>,
  say: (line: string) => void,
): () => void {
  const reread = () => {
    Promise.resolve()
      .then(read)
      .then(use)
      .then(() => say('Targets file read again.'))
      .catch((thrown: unknown) =>
        say(`The targets file was not taken over; the old one stays. ${String(thrown)}`),
      );
  };
  process.on('SIGHUP', reread);
  return () => process.off('SIGHUP', reread);
}
