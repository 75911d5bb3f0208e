import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import pg from 'pg';
import { rememberedPorts } from '../../cli/embedded/ports';
import { startPostgres } from '../../cli/embedded/postgres-server';
import { createProcesses } from '../../cli/embedded/processes';
import { startTemporalServer } from '../../cli/embedded/temporal-server';
import { connect, connectOwner, type Db } from '../../db/connect';
import { movedBy } from '../../db/transition';
import { randomToken, sha256 } from '../../db/tokens';
import type { Grant } from '../../domain/permissions';
import type { Temporal } from '../../temporal-config/connection';
import { barriers } from '../helpers/barriers';
import { variable } from '../helpers/guardian.cjs';
import { darkProxy, type DarkProxy } from '../helpers/dark-proxy';
import { makeRepository } from '../helpers/repository';
import { slowRemote, type SlowRemote } from '../helpers/slow-remote';
import { startMember, type Member } from './member';
import { serveSite, startProber, type Prober, type Site } from './site';
import { until } from '../helpers/until';
import { createUsers, type Users } from './users';

/**
 * All of Signalbox on servers of its own, as separate processes: PostgreSQL and Temporal (started again when they die,
 * as `signalbox up` does), the API and a worker, a repository, and a target with a site that is watched.
 */
export interface Stack {
  folder: string;
  state: string;
  /** The target's folder, with its `current` link. */
  root: string;
  data: string;
  site: Site;
  prober: Prober;
  users: Users;
  barrier: ReturnType<typeof barriers>;
  temporal: Temporal;
  databaseUrl: string;
  /** The repository's server, where it has one. */
  remote?: SlowRemote;
  /** Between API, worker and PostgreSQL, where it is asked for. */
  proxy?: DarkProxy;
  worker: Member;
  api: Member;
  /** @param program of another version. @param more of its environment. */
  startWorker(program?: string, more?: Record<string, string>): Promise<Member>;
  /** The same, without waiting until it takes work. */
  beginWorker(program?: string, more?: Record<string, string>): Member;
  startApi(program?: string): Promise<Member>;
  /** Links that somebody made of `current`, past Signalbox. */
  byHand: string[];
  /** A database connection, while it is needed. */
  withDb<T>(work: (db: Db) => Promise<T>): Promise<T>;
  /** Commits a release under a tag. @param more further files of the commit. */
  commit(tag: string, release: 'well' | 'sick', more?: Record<string, string>): Promise<void>;
  /** Process numbers of a server: its own first, then its children. */
  pidsOf(server: 'temporal' | 'postgres'): number[];
  temporalAnswers(): Promise<void>;
  postgresAnswers(): Promise<void>;
  /** Ends everything. @param keep leaves its folder, to look into. */
  stop(keep?: boolean): Promise<void>;
}
export interface StackOptions {
  /** Folder of the compiled program. */
  program: string;
  /** How long a build may take. */
  buildSeconds?: number;
  /** How long an undo is tried before a person is asked. */
  undoAlarmSeconds?: number;
  /** Further targets beside `shop`, each a folder of its own. */
  targets?: number;
  /** The command that tells who serves a target that it was switched. */
  reload?: string[];
  /** Of each target, as lines of YAML indented by four. */
  target?: string;
  /** The repository is reached over the network, through a gate that can be shut. */
  remote?: true;
  /** How many steps a worker does at once. */
  slots?: number;
  /** PostgreSQL is reached through a proxy that can go dark. */
  proxied?: true;
  /** More of the environment of API and worker. */
  env?: Record<string, string>;
  /** Prepares the folder of the servers. @returns what undoes it, once they have stopped. */
  prepare?(servers: string): () => void;
}

const people: Record<string, Grant[]> = {
  carla: ['contributor'],
  amir: ['approver'],
  rosa: ['release-manager'],
  sven: ['sre'],
};
const graceSeconds = '1';

const build = `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true });
fs.copyFileSync('migrate.js', 'dist/migrate.js');
for (let n = 1; n <= 200; n++) console.log('compiled module ' + n + ' of 200');`;
const migrate = `const fs = require('node:fs');
fs.appendFileSync(process.argv[2], Date.now() + ' migrated to ' + fs.readFileSync('version.txt', 'utf8'));`;

export async function startStack(options: StackOptions): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-faults-'));
  // Builds are somebody else there.
  chmodSync(folder, 0o777);
  const at = (name: string) => join(folder, name);
  const state = at('state');
  const logs = at('logs');
  for (const name of [state, logs, at('data'), at('barriers')]) mkdirSync(name);
  writeFileSync(join(at('data'), 'orders.txt'), 'one order\n');

  const undoPreparation = options.prepare?.(at('servers'));
  const processes = createProcesses(at('servers'), (line) =>
    writeFileSync(join(logs, 'servers.log'), `${line}\n`, { flag: 'a' }),
  );
  const ports = rememberedPorts(at('servers'));
  const [{ databaseOwnerUrl: databaseUrl }, { temporal }] = await Promise.all([
    ports.take('postgres').then((port) => startPostgres(at('servers'), port, processes)),
    startTemporalServer(at('servers'), ports, processes, 'default'),
  ]);
  const repository = await makeRepository(at('repository'));
  repository.write('build.js', build);
  repository.write('migrate.js', migrate);
  const remote = options.remote && (await slowRemote(at('repository')));
  const proxy = options.proxied && (await darkProxy(databaseUrl));
  const site = await serveSite(at('target'));
  const targetOf = (name: string, root: string) => `  ${name}:
    repository: ${remote?.url ?? 'repository'}
    build: { argv: ["${process.execPath}", build.js], timeoutSeconds: ${options.buildSeconds ?? 120} }
    driver: { kind: directory, root: "${root}"${options.reload ? `, reload: { argv: ${JSON.stringify(options.reload)} }` : ''} }
    backup: { kind: files, paths: [data] }
    migrate: { argv: ["${process.execPath}", migrate.js, "${join(at('data'), 'orders.txt')}"], restoreDataOnRollback: true }
    health: { kind: http, url: "http://127.0.0.1:${site.port}/health?${root}", successes: 2, intervalMs: 20, requestTimeoutMs: 10000, deadlineSeconds: 3 }
    sandbox: { write: ["${folder}"] }
    undoAlarmSeconds: ${options.undoAlarmSeconds ?? 300}
${options.target ?? ''}`;
  const others = Array.from({ length: options.targets ?? 0 }, (_, n) =>
    targetOf(`shop-${n + 1}`, at(`target-${n + 1}`)),
  );
  writeFileSync(at('config.yaml'), ['targets:', targetOf('shop', at('target')), ...others].join('\n'));

  const barrier = barriers(at('barriers'));
  const env = {
    DATABASE_URL: proxy?.url ?? databaseUrl,
    TEMPORAL_ADDRESS: temporal.address,
    TEMPORAL_NAMESPACE: 'default',
    ...barrier.env,
    ...options.env,
  };
  const places = ['--config', at('config.yaml'), '--state', state];
  const start = (name: string, args: string[], program = options.program, more = {}) =>
    startMember({
      program,
      args: [name, ...args, ...places],
      env: { ...env, ...more },
      logFile: join(logs, `${name}.log`),
    });
  const apiPort = await ports.take('api');

  const stack: Stack = {
    folder,
    state,
    root: at('target'),
    data: at('data'),
    site,
    barrier,
    temporal,
    databaseUrl,
    remote,
    proxy,
    byHand: [] as string[],
    beginWorker(program, more) {
      const slots = options.slots === undefined ? [] : ['--slots', String(options.slots)];
      return start('worker', ['--grace-seconds', graceSeconds, ...slots], program, more);
    },
    async startWorker(program, more) {
      const worker = stack.beginWorker(program, more);
      await worker.says(/polling/);
      return worker;
    },
    async startApi(program) {
      const api = start('api', ['--port', String(apiPort)], program);
      await api.says(/API and page on/);
      return api;
    },
    async withDb(work) {
      const db = connect(databaseUrl, 3);
      try {
        return await work(db);
      } finally {
        await db.destroy();
      }
    },
    async commit(tag, release, more = {}) {
      rmSync(join(repository.folder, 'src'), { recursive: true, force: true });
      repository.write('build.js', build);
      repository.write('src/version.txt', `${tag}\n`);
      if (release === 'sick') repository.write('src/sick', '');
      for (const [name, text] of Object.entries(more)) repository.write(name, text);
      await repository.commit(tag, tag);
    },
    pidsOf(server) {
      const list = JSON.parse(readFileSync(join(at('servers'), 'children.json'), 'utf8')) as {
        name: string;
        pid: number;
      }[];
      const own = list.find(({ name }) => name === server)?.pid;
      return own === undefined ? [] : [own, ...childrenOf(own)];
    },
    async temporalAnswers() {
      await until('Temporal to answer', () =>
        temporal.connection.workflowService.describeNamespace({ namespace: 'default' }).then(
          () => true,
          () => false,
        ),
      );
    },
    async postgresAnswers() {
      await until('PostgreSQL to answer', async () => {
        const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
        client.on('error', () => undefined);
        return client
          .connect()
          .then(() => client.end())
          .then(
            () => true,
            () => false,
          );
      });
    },
    async stop(keep = false) {
      await stack.prober?.stop();
      for (const member of [stack.worker, stack.api]) {
        member?.signal('SIGCONT');
        member?.signal('SIGKILL');
        await member?.ended;
      }
      await remote?.stop();
      await proxy?.close();
      await temporal.connection.close().catch(() => undefined);
      await Promise.all([processes.stop('temporal'), processes.stop('postgres')]);
      await site.close();
      undoPreparation?.();
      if (!keep) return rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      // Beside the folder of the run, which goes when the run ends.
      stack.folder = join(process.env[variable]!, '..', basename(folder));
      renameSync(folder, stack.folder);
    },
  } as Stack;

  try {
    stack.api = await stack.startApi();
    const tokens = await introduce(databaseUrl);
    stack.users = createUsers(() => `http://127.0.0.1:${apiPort}/`, tokens);
    stack.worker = await stack.startWorker();
    await stack.commit('first', 'well');
    const first = await stack.users.ended(await stack.users.deploy(await stack.users.approved('first')));
    if (first.status !== 'succeeded') throw new Error(`the first deployment: ${first.outcome}`);
    stack.prober = startProber(stack.root, site.port);
    return stack;
  } catch (thrown) {
    await stack.stop(true);
    throw thrown;
  }
}

/** @returns their tokens. */
async function introduce(databaseUrl: string): Promise<Record<string, string>> {
  const db = connectOwner(databaseUrl);
  try {
    const tokens: Record<string, string> = {};
    const move = { by: 'signalbox', why: 'a person of the fault harness' };
    for (const [person, grants] of Object.entries(people)) {
      // By no more of the schema than each version has: the program may be an earlier one.
      await db('people')
        .insert({ name: person, grants, ...movedBy(move) })
        .onConflict('name')
        .merge();
      const value = (tokens[person] = randomToken('sb'));
      await db('tokens').insert({ token_sha256: sha256(value), person, roles: grants, ...movedBy(move) });
    }
    return tokens;
  } finally {
    await db.destroy();
  }
}

const childrenOf = (parent: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return new RegExp(`^PPid:\\s+${parent}$`, 'm').test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    })
    .map(Number);

/** The compiled program with its failpoints left in. */
export const shipped = resolve('dist-failpoints');
