import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Context } from '@temporalio/activity';
import { Client } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import pino from 'pino';
import { findSandbox } from '../../activities/find-sandbox';
import { createActivities, type Activities } from '../../activities';
import { alive } from '../../activities/alive';
import { slotsOf } from '../../activities/places';
import { createSource } from '../../activities/git';
import { run } from '../../cli/embedded/fetch-part';
import { parseConfig, type Targets } from '../../domain/config';
import type { Deps } from '../../activities/deps';
import { createJournal, type Journal } from '../../db/journal';
import { createWindows } from '../../db/windows';
import { isTerminal } from '../../domain/machines';
import { decide } from '../../db/change-requests';
import { standingOf } from '../../db/standing';
import { findDeployment, type DeploymentRow } from '../../db/deployments';
import { readInstallation } from '../../db/installation';
import { readLog } from '../../db/log';
import { ship } from '../../db/promotions';
import { submit } from '../../db/change-requests';
import { registerTargets } from '../../db/targets';
import { controlQueue } from '../../temporal-config/names';
import { setUpTemporal } from '../../temporal-config/setup';
import { deployWorkflowId } from '../../workflows/messages';
import type { Trigger } from '../../domain/machines';
import { introducePeople, keyring } from './people';
import { testDatabase } from './postgres';
import { makeRepository } from './repository';
import { until } from './until';

/**
 * A small world with real parts: a Temporal server, a database, a git repository, a site that serves what
 * `current` points to. Only `faults` is made up: what it holds for an activity runs around the real one.
 */
export type Fault = (run: () => Promise<unknown>, name: string) => Promise<unknown>;
export type World = Awaited<ReturnType<typeof makeWorld>>;

/** @param options.extra more of each target, as YAML. @param options.top more of the whole file. */
export async function makeWorld(
  options: {
    targets?: string[];
    extra?: string;
    top?: string;
    /** How many steps its worker does at once. */
    slots?: number;
    /** What lies between the steps and the record. */
    journal?: (real: Journal) => Journal;
  } = {},
) {
  const names = options.targets ?? ['shop'];
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-world-'));
  const database = await testDatabase();
  const { db } = database;
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  const env = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: process.env.TEST_TEMPORAL! },
      extraArgs: [
        '--dynamic-config-value',
        'history.transferProcessorMaxPollRPS=2000',
        // A quarter of what it is: a run that is full is reached in a quarter of the time.
        '--dynamic-config-value',
        'limit.historyCount.suggestContinueAsNew=1024',
        // Operators may pause a workflow.
        '--dynamic-config-value',
        'frontend.WorkflowPauseEnabled=true',
      ],
    },
  });
  // As in `up`: the API shares the worker's connection, which an eager start needs.
  const client = new Client({ connection: env.nativeConnection, namespace: env.namespace ?? 'default' });
  const temporal = {
    connection: env.nativeConnection,
    client,
    namespace: env.namespace ?? 'default',
    address: env.address,
  };
  await setUpTemporal(temporal);

  const repository = await makeShop(join(folder, 'repository'));
  const root = (target: string) => join(folder, target);
  const data = (target: string) => join(folder, `${target}-data`);
  const sites = await Promise.all(names.map((name) => serveSite(root(name))));
  for (const name of names) {
    mkdirSync(data(name), { recursive: true });
    writeFileSync(join(data(name), 'orders.txt'), 'one order\n');
  }
  const { targets, notifications } = parseConfig(
    `${options.top ?? ''}\ntargets:\n${names
      .map(
        (name, n) => `  ${name}:
    repository: ${repository}
    build: { argv: ["${process.execPath}", build.js] }
    driver: { kind: directory, root: "${root(name)}" }
    backup: { kind: files, paths: ["${data(name)}"] }
    migrate: { argv: ["${process.execPath}", migrate.js, "${join(data(name), 'orders.txt')}"], restoreDataOnRollback: true }
    health: { kind: http, url: "http://127.0.0.1:${portOf(sites[n]!)}/", successes: 2, intervalMs: 10, requestTimeoutMs: 30000, deadlineSeconds: 1 }
    ${options.extra ?? ''}
`,
      )
      .join('')}`,
    'test targets',
  );
  await registerTargets(db, names);
  await introducePeople(db);

  const stateDir = join(folder, 'state');
  const windows = createWindows(db);
  mkdirSync(stateDir);
  const named = { stateDir, targets: () => targets as Targets, secretFiles: [], usersFolder: stateDir };
  const sandbox = await findSandbox(named);
  const deps: Deps = {
    db,
    targets: (): Targets => world.targets,
    journal: (options.journal ?? ((real: Journal) => real))(
      createJournal({ db, windows, targets: (): Targets => world.targets, keyring }),
    ),
    windows,
    retention: {},
    notifications: {
      config: notifications,
      secretOf: () => `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    },
    source: createSource(join(stateDir, 'mirrors')),
    stateDir,
    temporal: client,
    keyring,
    log: pino({ level: 'silent' }),
    sandbox,
    slots: options.slots,
  };
  const activities = createActivities(deps);
  const faulty = <A extends object>(activities: A): A =>
    Object.fromEntries(
      Object.entries(activities).map(([name, run]) => [
        name,
        (...args: unknown[]) => {
          const fault = world.faults[name as keyof Activities];
          const real = () => (run as (...a: unknown[]) => Promise<unknown>)(...args);
          return fault ? fault(real, name) : real();
        },
      ]),
    ) as A;
  let workers: { worker: Worker; done: Promise<void> }[] = [];
  const startWorkers = async () => {
    const worker = await Worker.create({
      connection: env.nativeConnection,
      namespace: temporal.namespace,
      taskQueue: controlQueue,
      workflowBundle: { codePath: process.env.TEST_WORKFLOWS! },
      activities: alive(faulty(activities)),
      maxConcurrentActivityTaskExecutions: slotsOf(options.slots),
      dataConverter: { payloadConverterPath: require.resolve('../../workflows/payload-converter.ts') },
      maxHeartbeatThrottleInterval: 200,
      shutdownGraceTime: 100,
    });
    workers.push({ worker, done: worker.run() });
  };
  const stopWorkers = async () => {
    for (const { worker } of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await Promise.all(workers.map(({ done }) => done));
    workers = [];
  };
  await startWorkers();

  const world = {
    folder,
    db,
    databaseUrl: database.url,
    owner: database.owner,
    keyring,
    /** What the API says, signed. */
    cancelOf: (workflowId: string, by = 'rosa') =>
      keyring.sign('cancel', workflowId, { by, request: randomUUID() }),
    resolutionOf: (workflowId: string, action: 'retry' | 'accept', reason = 'again') =>
      keyring.sign('resolve', workflowId, { action, by: 'sven', reason, request: randomUUID() }),
    client,
    temporal,
    /** What an operator does with Temporal's own command line. */
    byHand: async (...args: string[]) =>
      (await run(process.env.TEST_TEMPORAL!, [...args, '--address', env.address])).stdout,
    targets: targets as Targets,
    deps,
    faults: {} as Partial<Record<keyof Activities, Fault>>,
    startWorkers,
    stopWorkers,
    /** Ships a revision. @returns the promotion's number. */
    async shipped(revision: string, target = names[0]!): Promise<number> {
      const commit = await deps.source.resolve(target, repository, revision);
      const change = { type: 'normal' as const, risk: 'medium' as const, description: '' };
      return ship(db, { target, title: revision, revision, commit, shippedBy: 'carla', change });
    },
    /** Ships and approves a revision. @returns the promotion's number. */
    async approved(revision: string, target = names[0]!): Promise<number> {
      const id = await world.shipped(revision, target);
      await submit(db, id, 1, { by: 'carla' });
      await decide(db, {
        id: randomUUID(),
        changeRequest: id,
        submission: 1,
        approver: 'amir',
        decision: 'approve',
      });
      return id;
    },
    async start(promotion: number, trigger: Trigger = 'deploy', more: { whenOpen?: boolean } = {}) {
      const attempt = (await standingOf(db, promotion))!.lastAttempt + 1;
      const workflowId = deployWorkflowId(promotion, attempt, (await readInstallation(db)).incarnation);
      const handle = await client.workflow.start('deployPromotion', {
        taskQueue: controlQueue,
        workflowId,
        args: [
          keyring.sign('start', workflowId, { promotion, attempt, trigger, startedBy: 'rosa', ...more }),
        ],
      });
      return { handle, attempt, row: () => findDeployment(db, promotion, attempt) as Promise<DeploymentRow> };
    },
    /** Deploys a fresh promotion of a revision to its end. */
    async deploy(revision: string, target = names[0]!) {
      const promotion = await world.approved(revision, target);
      const started = await world.start(promotion);
      await started.handle.result();
      return { promotion, ...started };
    },
    until,
    /** Holds the next backup until it is let go. @returns what lets it go. */
    holdNextBackup(): () => void {
      let go!: () => void;
      const gone = new Promise<void>((resolve) => (go = resolve));
      let first = true;
      world.faults.backup = async (run) => {
        if (!first) return run();
        first = false;
        const beat = setInterval(() => Context.current().heartbeat(), 100);
        await gone;
        clearInterval(beat);
        return run();
      };
      return go;
    },
    current(target = names[0]!): string | null {
      return existsSync(join(root(target), 'current'))
        ? basename(readlinkSync(join(root(target), 'current')))
        : null;
    },
    version(target = names[0]!): string | null {
      const file = join(root(target), 'current', 'version.txt');
      return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
    },
    root,
    orders: (target = names[0]!) => readFileSync(join(data(target), 'orders.txt'), 'utf8'),
    addOrder: (line: string, target = names[0]!) =>
      writeFileSync(join(data(target), 'orders.txt'), line, { flag: 'a' }),
    async log(row: DeploymentRow) {
      return readLog(db, row.id, { limit: 10_000 });
    },
    /** What must hold for an attempt that ended, however it ended: in the record, on the target, on the disk. */
    async checkEnded(row: DeploymentRow): Promise<void> {
      expect(isTerminal('deployment', row.status)).toBe(true);
      expect(row.waiting_for).toBeNull();
      const steps = await db('deployment_steps').where({ deployment: row.id });
      expect(steps.filter((step) => step.status === 'running')).toEqual([]);
      const lines = await world.log(row);
      expect(lines.map((line) => line.seq)).toEqual(lines.map((_, n) => n + 1));
      expect(
        await db('deployments').where({ target: row.target }).whereIn('status', ['running', 'rolling-back']),
      ).toEqual([]);
      const live = await db('targets')
        .leftJoin('deployments', 'deployments.id', 'targets.current_deployment')
        .where('targets.name', row.target)
        .first('to_release');
      expect(world.current(row.target)).toBe(live.to_release);
      const journal = join(root(row.target), '.signalbox', 'journal.jsonl');
      const fences = existsSync(journal)
        ? readFileSync(journal, 'utf8')
            .trim()
            .split('\n')
            .map((line) => (JSON.parse(line) as { fence: number }).fence)
        : [];
      expect(fences).toEqual([...fences].sort((a, b) => a - b));
      const work = join(stateDir, 'work');
      await world.until(
        'the workspace to be gone',
        () => !existsSync(work) || readdirSync(work).length === 0,
      );
    },
    async stop() {
      await stopWorkers();
      await deps.source.close();
      await env.teardown();
      for (const site of sites) await new Promise((resolve) => site.close(resolve));
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  named.targets = () => world.targets;
  return world;
}

const portOf = (server: Server) => (server.address() as { port: number }).port;

function serveSite(root: string): Promise<Server> {
  const server = createServer((_request, response) => {
    response.setHeader('connection', 'close');
    try {
      const link = readlinkSync(join(root, 'current'));
      const sick = existsSync(join(root, link, 'sick'));
      response.writeHead(sick ? 500 : 200).end(JSON.stringify({ release: basename(link), sick }));
    } catch {
      response.writeHead(503).end('no release');
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function makeShop(folder: string): Promise<string> {
  const repository = await makeRepository(folder);
  const { write } = repository;
  const build = `const fs = require('node:fs');
if (fs.existsSync('escape')) { fs.symlinkSync('/etc', 'dist'); process.exit(0); }
fs.mkdirSync('dist', { recursive: true });
for (const name of fs.readdirSync('src')) fs.copyFileSync('src/' + name, 'dist/' + name);
fs.copyFileSync('migrate.js', 'dist/migrate.js');
if (fs.existsSync('fail')) { console.error('the build says no'); process.exit(7); }
if (fs.existsSync('hang')) { console.log('hanging'); setInterval(() => undefined, 1000); }
console.log('built');`;
  const migrate =
    "const fs = require('node:fs'); fs.appendFileSync(process.argv[2], 'migrated to ' + fs.readFileSync('version.txt', 'utf8'));";
  write('build.js', build);
  write('migrate.js', migrate);
  const commit = (tag: string) => {
    write('src/version.txt', `${tag}\n`);
    return repository.commit(tag, tag);
  };
  for (const tag of ['v1', 'v2', 'v3']) await commit(tag);
  write('src/sick', '');
  await commit('sick');
  rmSync(join(folder, 'src/sick'));
  write('fail', '');
  await commit('fails');
  rmSync(join(folder, 'fail'));
  write('hang', '');
  await commit('hangs');
  rmSync(join(folder, 'hang'));
  write('escape', '');
  await commit('escapes');
  return folder;
}
