import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { sandboxOf } from '../activities/sandbox';
import { createActivities } from '../activities';
import { alive } from '../activities/alive';
import { createSource } from '../activities/git';
import { createStepRunner, type StepInput } from '../activities/step';
import { createApp } from '../api/app';
import { pageDir, workflowBundle } from '../cli/settings';
import { openLog } from '../cli/serve';
import { signingKeys } from '../cli/state-dir';
import { followChanges } from '../db/changes';
import { registerTargets } from '../db/targets';
import { setGrants } from '../db/people';
import { createJournal } from '../db/journal';
import { createWindows } from '../db/windows';
import { mintToken } from '../db/tokens';
import { parseConfig } from '../domain/config';
import type { DeploymentStatus } from '../domain/machines';
import { controlQueue } from '../temporal-config/names';
import { deployWorkflowId } from '../workflows/messages';
import type { Servers } from './servers';

/**
 * Signalbox with steps that do nothing: the real workflow, admission, lane, journal, log and API, so that what is
 * measured is what Signalbox itself costs.
 */
export const token = 'bench-token';

export interface Bench {
  /** Called as each step begins. */
  began?: (step: string) => void;
  /** Lines that a build of a target puts out; left out: none. */
  lines?: (target: string) => number;
  /** Left out: one, in this process. */
  workers?: 'elsewhere';
}

/** What a worker of it is made of; `worker-process.ts` makes the same in a process of its own. */
export async function startWorker(
  { db, temporal, folder }: Pick<Servers, 'db' | 'temporal' | 'folder'>,
  names: string[],
  { began = () => undefined, lines = () => 0 }: Bench,
) {
  const deps = depsOf({ db, temporal, folder }, names);
  const runStep = createStepRunner(deps);
  const nothing = (name: string, during: DeploymentStatus[]) => (input: StepInput) => {
    began(name);
    return runStep(name, during, input, async ({ log }) => {
      for (let n = 0; name === 'build' && n < lines(input.target); n++) {
        log.write('out', `line ${n}: compiling src/catalogue/page-${n}.ts`.padEnd(100, '.'));
        await log.ready();
      }
      return { value: undefined, detail: 'nothing to do' };
    });
  };
  const worker = await Worker.create({
    connection: temporal.connection,
    namespace: temporal.namespace,
    taskQueue: controlQueue,
    workflowBundle: { codePath: workflowBundle },
    dataConverter: { payloadConverterPath: require.resolve('../workflows/payload-converter') },
    activities: {
      ...alive(createActivities(deps)),
      build: nothing('build', ['running']),
      backup: nothing('backup', ['running']),
      swap: nothing('swap', ['running']),
      healthCheck: nothing('health-check', ['running']),
    },
  });
  const done = worker.run();
  return {
    async stop() {
      worker.shutdown();
      await done;
    },
  };
}

function depsOf({ db, temporal, folder }: Pick<Servers, 'db' | 'temporal' | 'folder'>, names: string[]) {
  const config = names.map(
    (name) => `  ${name}:
    repository: ${folder}
    build: { argv: ["true"] }
    driver: { kind: directory, root: "${join(folder, name)}" }
    backup: { kind: files, paths: ["${folder}"] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
`,
  );
  const { targets, notifications: noNotifications } = parseConfig(`targets:\n${config.join('')}`, 'bench');
  const stateDir = join(folder, 'state');
  mkdirSync(stateDir, { recursive: true });
  const windows = createWindows(db);
  const keyring = signingKeys(stateDir);
  return {
    db,
    targets: () => targets,
    journal: createJournal({ db, windows, targets: () => targets, keyring }),
    // It runs no command.
    sandbox: sandboxOf('none', { stateDir, targets: () => targets, secretFiles: [] }),
    windows,
    retention: {},
    notifications: { config: noNotifications, secretOf: () => '' },
    source: createSource(join(stateDir, 'mirrors')),
    stateDir,
    temporal: temporal.client,
    keyring,
    log: openLog(join(folder, 'signalbox.log')),
  };
}

export async function startSignalbox(servers: Servers, names: string[], bench: Bench = {}) {
  const { db, temporal } = servers;
  await registerTargets(db, names);
  const move = { by: 'bench', why: 'measuring' };
  await mintToken(db, { person: 'rosa', grants: ['release-manager'] }, move, token);
  await setGrants(db, 'amir', ['approver'], move);
  const { source, windows, keyring, log, targets } = depsOf(servers, names);
  const worker = bench.workers === 'elsewhere' ? undefined : await startWorker(servers, names, bench);

  const changes = followChanges(servers.databaseUrl);
  const app = createApp({
    db,
    changes,
    temporal: temporal.client,
    targets,
    windows,
    mirror: (...args) => source.mirror(...args),
    resolveRevision: (...args) => source.resolve(...args),
    compare: (...args) => source.compare(...args),
    runUrl: () => null,
    webDir: pageDir,
    log,
    verdictMs: 10_000,
    keyring,
    origins: () => [address()],
  });
  const server = createServer(app);
  const address = () => `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    api: `${address()}/api`,
    keyring,
    /** Deploy Now of a promotion's first attempt. @returns its workflow. */
    start(promotion: number, more: { whenOpen?: true } = {}) {
      const workflowId = deployWorkflowId(promotion, 1, '');
      const asked = { promotion, attempt: 1, trigger: 'deploy', startedBy: 'rosa', ...more };
      return temporal.client.workflow.start('deployPromotion', {
        taskQueue: controlQueue,
        workflowId,
        args: [keyring.sign('start', workflowId, asked)],
      });
    },
    /** Promotions that wait for Deploy Now, written in one statement. @returns their numbers. */
    async approved(target: string, count: number): Promise<number[]> {
      const { rows } = await db.raw(
        `WITH made AS (
           INSERT INTO promotions (target, title, revision, commit, shipped_by, status)
           SELECT ?, 'a change', 'v1', repeat('0', 40), 'carla', 'approved' FROM generate_series(1, ?) RETURNING id),
         requested AS (
           INSERT INTO change_requests (id, type, risk, description, requester, status, submission)
           SELECT id, 'normal', 'low', '', 'carla', 'approved', 1 FROM made RETURNING id)
         INSERT INTO decisions (id, change_request, submission, approver, decision, counted)
         SELECT gen_random_uuid(), id, 1, 'amir', 'approve', true FROM requested RETURNING change_request AS id`,
        [target, count],
      );
      return (rows as { id: number }[]).map(({ id }) => id);
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await changes.close();
      await worker?.stop();
    },
  };
}
export type Signalbox = Awaited<ReturnType<typeof startSignalbox>>;
