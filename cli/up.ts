import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { closeInherited } from '../activities/inherited';
import type { Role } from '../domain/machines';
import { parseConfig, type Targets } from '../domain/config';
import { findPerson, setGrants } from '../db/people';
import { rootOf } from '../db/targets';
import type { Db } from '../db/connect';
import { mintToken } from '../db/tokens';
import { connectTemporal, isConfigured, type Temporal } from '../temporal-config/connection';
import { setUpTemporal } from '../temporal-config/setup';
import { installRuntime, sdkMetricsAt } from '../worker/worker';
import { startTracing } from './tracing';
import { createClient } from './client';
import { isFree, rememberedPorts } from './embedded/ports';
import { startPostgres } from './embedded/postgres-server';
import { localSignIn } from './local-sign-in';
import { createProcesses } from './embedded/processes';
import { startTemporalServer } from './embedded/temporal-server';
import { isSampleRoot, makeSample } from './sample/sample';
import { deploySample } from './sample/first-deployment';
import {
  openDatabase,
  openLog,
  portTaken,
  rereadOnHangup,
  serveApi,
  serveWorker,
  takeStock,
  takeTargets,
} from './serve';
import { demandOwnRoots, demandRelated } from './own-roots';
import { configFileOr, readConfig, readTargets } from './settings';
import { people, signingKeys, takeStateDir, type Endpoints } from './state-dir';
import { secretFilesOf } from './secret-files';
import { sentences } from '../domain/sentences';

/**
 * `signalbox up`: everything on one machine. Each part is found or fetched, started and waited for; whatever was
 * started is stopped in reverse order, on Ctrl-C and on any error alike.
 */
export interface UpOptions {
  state: string;
  port?: number;
  sample: boolean;
  config?: string;
}
const defaultPort = 4600;
/** How long a running step may go on after Ctrl-C; then it is interrupted and goes on at the next start. */
const graceMs = 1_000;
const namespace = 'default';

export async function up(options: UpOptions): Promise<number> {
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  // Wrong configuration is told before anything is started.
  const configFile = configFileOr(options.config);
  const ownTargets = () => (configFile ? readTargets(configFile) : (new Map() as Targets));
  const config = configFile ? readConfig(configFile) : parseConfig('targets: {}', 'the defaults');
  if (options.port && !(await isFree(options.port))) throw portTaken(options.port);
  const state = takeStateDir(options.state);

  // A reader that goes away (`up | head`) must not take the processes' keeper with it.
  process.stdout.on('error', () => undefined);
  let interrupted!: (why: string) => void;
  const interruption = new Promise<string>((resolve) => (interrupted = resolve));
  let stopping = false;
  // Under npm one Ctrl-C arrives twice; only the first one counts, and none is ever read as "force".
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (!stopping)
        say(
          `\nStopping (${signal}): API, worker, then the embedded parts. Deployments in flight go on at the next start.`,
        );
      stopping = true;
      interrupted(signal);
    });

  const undo: (() => Promise<unknown> | void)[] = [() => state.release()];
  const part = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (stopping) throw new Interrupted();
    // A Ctrl-C does not wait for a download; what the part started is on the list of what is stopped.
    const stop = interruption.then(() => Promise.reject(new Interrupted()));
    return Promise.race([progress(what, work, say), stop]);
  };
  try {
    await start();
    const broken = await interruption;
    return broken === 'worker' ? 1 : 0;
  } catch (thrown) {
    if (thrown instanceof Interrupted) return 0;
    throw thrown;
  } finally {
    stopping = true;
    for (const stop of undo.reverse())
      await Promise.resolve()
        .then(stop)
        .catch((thrown: unknown) => say(`While stopping: ${String(thrown)}`));
    say('Stopped; nothing is left running.');
  }

  async function start(): Promise<void> {
    // Before the servers are started, which stay.
    closeInherited();
    const keyring = signingKeys(state.path);
    const log = openLog(join(state.path, 'logs', 'signalbox.log'));
    const ports = rememberedPorts(state.path);
    const sdkPort = await ports.take('sdkMetrics');
    installRuntime(log, sdkPort);
    const tracing = startTracing('signalbox');
    undo.push(() => tracing?.stop());
    const processes = createProcesses(state.path, say);
    const embed = (name: string) => void undo.push(() => processes.stop(name));
    const left = await processes.reclaim();
    if (left.length > 0) say(`Ended what an earlier start left running: ${left.join(', ')}.`);

    const sitePort = await ports.take('site');
    const sample = await part('Making the sample repository', () => makeSample(state.path, sitePort));
    embed('site');
    const site = `http://127.0.0.1:${sitePort}`;
    const server = {
      name: 'site',
      program: process.execPath,
      args: [join(__dirname, 'sample', 'site.js'), sample.root, sample.orders, String(sitePort)],
      cwd: state.path,
      env: { PATH: process.env.PATH },
      stopSignal: 'SIGTERM' as const,
    };
    await part('Starting the sample site', () => processes.start(server, () => untilAnswers(site)));
    // Your own file wins where it names a target of the sample; and what was deployed under its name elsewhere is not the
    // sample's, also when your file does not name it any more.
    const read = async (db: Db): Promise<Targets> => {
      const own = ownTargets();
      const root = await rootOf(db, 'shop');
      const taken = root !== undefined && !isSampleRoot(root);
      if (taken && !own.has('shop'))
        say(
          `The sample does not take the name shop: by your targets file that target is deployed to ${root}. Name it in the file again to go on with it.`,
        );
      const all: Targets = new Map([...(taken ? [] : readTargets(sample.configFile)), ...own]);
      demandOwnRoots(all, configFile ?? sample.configFile);
      demandRelated(all, configFile ?? sample.configFile);
      return all;
    };

    const [{ databaseUrl, databaseOwnerUrl }, { temporal, temporalUi }] = await allStarted([
      part(
        process.env.DATABASE_URL ? 'Using PostgreSQL at DATABASE_URL' : 'Starting PostgreSQL',
        async () => {
          if (process.env.DATABASE_URL)
            return { databaseUrl: process.env.DATABASE_URL, databaseOwnerUrl: undefined };
          embed('postgres');
          return startPostgres(state.path, await ports.take('postgres'), processes);
        },
      ),
      part(isConfigured() ? 'Using Temporal as the environment says' : 'Starting Temporal', startTemporal),
    ]);
    undo.push(() => temporal.connection.close());

    const db = await part('Bringing the database up to date', () =>
      openDatabase(databaseUrl, log, databaseOwnerUrl),
    );
    undo.push(() => db.destroy());
    let targets = await read(db);
    await takeTargets(db, targets);
    const hasSample = () => isSampleRoot(targets.get('shop')?.driver.root ?? '');
    const made = { by: 'signalbox', why: 'a sample person of the embedded mode' };
    for (const [role, token] of Object.entries(state.tokens) as [Role, string][]) {
      const person = people[role];
      await db.transaction(async (tx) => {
        const known = await findPerson(tx, person);
        if (!known?.grants.length) await setGrants(tx, person, [role], made);
        await mintToken(tx, { person, grants: [role], label: 'embedded mode' }, made, token);
      });
    }
    await part('Registering search attributes', () => setUpTemporal(temporal));
    const place = { db, temporal, stateDir: state.path, log, config, keyring };
    const shared = { ...place, targets: () => targets, stock: await takeStock(place) };
    const worker = await part('Starting the worker', () =>
      serveWorker({
        ...shared,
        tracing,
        graceMs,
        secretFiles: secretFilesOf({ stateDir: state.path, configFile, config }),
        warn: say,
      }),
    );
    undo.push(() => worker.stop());
    worker.broken.catch((thrown: unknown) => {
      say(sentences(`The worker broke: ${String(thrown)}`, 'Stopping; start again to go on'));
      interrupted('worker');
    });
    let endpoints: Endpoints | undefined;
    undo.push(
      rereadOnHangup(
        config,
        async () => ({ ...(configFile ? readConfig(configFile) : config), targets: await read(db) }),
        async (next) => {
          await worker.demand(next);
          await takeTargets(db, next);
          targets = next;
          if (endpoints) state.publish((endpoints = { ...endpoints, sample: hasSample() }));
        },
        say,
      ),
    );

    const signIn = localSignIn(Object.values(people), (code) => {
      if (endpoints) state.publish((endpoints = { ...endpoints, signIn: signInLink(endpoints.page, code) }));
      say('Somebody signed in on the page by the link above; "npx signalbox sign-in" prints the next one.');
    });
    const port = await chosenPort();
    const api = await serveApi({
      ...shared,
      databaseUrl,
      temporalUi,
      port,
      signIn,
      sdkMetrics: sdkMetricsAt(sdkPort),
    });
    undo.push(() => api.stop());

    const page = api.address;
    endpoints = {
      api: `${page}api`,
      page,
      // With an OpenID provider the page itself leads there.
      signIn: config.identity ? page : signInLink(page, signIn.code()),
      docs: `${page}api/docs/`,
      temporalAddress: temporal.address,
      temporalUi,
      databaseUrl,
      databaseOwnerUrl,
      site,
      sample: hasSample(),
      config: configFile ? resolve(configFile) : null,
      tokens: state.tokens,
    };
    state.publish(endpoints);
    say('');
    say('Signalbox is ready.');
    say(`  Operations page  ${endpoints.signIn}`);
    say(`  Temporal UI      ${temporalUi ?? '(the UI of your own Temporal server)'}`);
    say(`  API docs         ${endpoints.docs}`);
    say(`  Sample site      ${site}/`);
    say(`  State            ${state.path} (tokens and addresses: endpoints.json)`);
    say('');
    // A `shop` of your own is yours: nobody asked for a deployment there.
    if (options.sample && hasSample())
      await Promise.race([deploySample(createClient(endpoints), state.path, site, say), interruption]);
    if (!stopping) say('Running. Ctrl-C stops everything in order.');

    async function startTemporal(): Promise<{ temporal: Temporal; temporalUi: string | null }> {
      if (isConfigured())
        return { temporal: await connectTemporal(), temporalUi: process.env.TEMPORAL_UI_URL ?? null };
      embed('temporal');
      const wanted = process.env.TEMPORAL_NAMESPACE ?? namespace;
      return startTemporalServer(state.path, ports, processes, wanted);
    }
    /** The port asked for; without one the usual port, or when that is taken a free one, kept from then on. */
    async function chosenPort(): Promise<number> {
      if (options.port !== undefined) return options.port;
      const port = await ports.take('api', defaultPort);
      if (port !== defaultPort) say(`Port ${defaultPort} is taken; using ${port}. Choose one with --port N.`);
      return port;
    }
  }
}

const signInLink = (page: string, code: string) => `${page}#sign-in=${code}`;

class Interrupted extends Error {}

/** Waits for all before it fails, so that nothing is still being started while the rest is stopped. */
async function allStarted<A, B>(parts: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  await Promise.allSettled(parts);
  return Promise.all(parts);
}

async function untilAnswers(url: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    if (await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined)) return;
    await sleep(20);
  }
  throw new Error(`${url} does not answer`);
}

/** Says what is being done once it takes over a second, and how long it took. */
async function progress<T>(what: string, work: () => Promise<T>, say: (line: string) => void): Promise<T> {
  const started = performance.now();
  const seconds = () => ((performance.now() - started) / 1000).toFixed(1);
  const timer = setInterval(() => say(`  ${what} ... ${seconds()} s`), 1_000);
  try {
    const result = await work();
    say(`  ${what}: done (${seconds()} s)`);
    return result;
  } finally {
    clearInterval(timer);
  }
}
