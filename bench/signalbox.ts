import { mkdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Worker } from '@temporalio/worker';
import { createActivities } from '../activities';
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
import type { Servers } from './servers';

/**
 * Signalbox with steps that do nothing: the real workflow, admission, lane, journal, log and API, so that what is
 * measured is what Signalbox itself costs.
 */
export const token = 'bench-token';

export async function startSignalbox(servers: Servers, names: string[], began: (step: string) => void) {
  const { db, temporal, folder } = servers;
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
  await registerTargets(db, names);
  const move = { by: 'bench', why: 'measuring' };
  await mintToken(db, { person: 'rosa', grants: ['release-manager'] }, move, token);
  await setGrants(db, 'amir', ['approver'], move);
  const stateDir = join(folder, 'state');
  mkdirSync(stateDir, { recursive: true });
  const log = openLog(join(folder, 'signalbox.log'));
  const source = createSource(join(stateDir, 'mirrors'));
  const keyring = signingKeys(stateDir);
  const windows = createWindows(db);
  const deps = {
    db,
    targets: () => targets,
    journal: createJournal({ db, windows, targets: () => targets }),
    windows,
    retention: {},
    notifications: { config: noNotifications, secretOf: () => '' },
    source,
    stateDir,
    temporal: temporal.client,
    keyring,
    log,
  };

  const runStep = createStepRunner(deps);
  const nothing = (name: string, during: DeploymentStatus[]) => (input: StepInput) => {
    began(name);
    return runStep(name, during, input, () => Promise.resolve({ value: undefined, detail: 'nothing to do' }));
  };
  const worker = await Worker.create({
    connection: temporal.connection,
    namespace: temporal.namespace,
    taskQueue: controlQueue,
    workflowBundle: { codePath: workflowBundle },
    dataConverter: { payloadConverterPath: require.resolve('../workflows/payload-converter') },
    activities: {
      ...createActivities(deps),
      build: nothing('build', ['running']),
      backup: nothing('backup', ['running']),
      swap: nothing('swap', ['running']),
      healthCheck: nothing('health-check', ['running']),
    },
  });
  const done = worker.run();

  const changes = followChanges(servers.databaseUrl);
  const app = createApp({
    db,
    changes,
    temporal: temporal.client,
    targets: () => targets,
    windows: deps.windows,
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
      worker.shutdown();
      await done;
    },
  };
}
export type Signalbox = Awaited<ReturnType<typeof startSignalbox>>;
