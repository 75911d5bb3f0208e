import { chmodSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { connectTemporal, type Temporal } from '../../temporal-config/connection';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  elsewhere,
  newFolder,
  runAlone,
  runProgram,
  startUp,
  stopUp,
  twoPeople,
  until,
  type Up,
} from '../helpers/up';

/** An upgrade of the workers with deployments in flight, as docs/upgrading.md has it. */
let host: Up;
let folder: string;
let health: Server;
let temporal: Temporal;
const env: Record<string, string> = {};
let people: Awaited<ReturnType<typeof twoPeople>>;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = newFolder();
  // Builds look into it, as somebody else.
  chmodSync(folder, 0o755);
  // Temporal gives other stores than its file three minutes to show a version's last deployment.
  const soon = ['VisibilityGracePeriod', 'RefreshInterval'].map(
    (name) => `--dynamic-config-value 'matching.wv.VersionDrainageStatus${name}="3s"'`,
  );
  writeFileSync(
    at('temporal'),
    `#!/bin/sh
if [ "$2" = start-dev ]; then exec "${process.env.TEST_TEMPORAL}" "$@" ${soon.join(' ')}; fi
exec "${process.env.TEST_TEMPORAL}" "$@"
`,
    { mode: 0o755 },
  );
  host = await startUp({ args: ['--no-sample'], env: { TEMPORAL_CLI: at('temporal') } });
  mkdirSync(at('data'));
  const { write, commit } = await makeRepository(at('repo'));
  write(
    'build.sh',
    `mkdir dist; cp v dist/v
while [ "$(cat v)" = slow ] && [ ! -e ${at('go')} ]; do sleep 0.1; done`,
  );
  for (const tag of ['slow', 'v2', 'v3']) {
    write('v', tag);
    await commit(tag, tag);
  }
  health = createServer(({ url }, answer) =>
    answer.setHeader('connection', 'close').end(readlinkSync(at(`${url}/current`))),
  );
  await new Promise<void>((done) => health.listen(0, '127.0.0.1', done));
  const { port } = health.address() as { port: number };
  const target = (name: string) => `  ${name}:
    repository: repo
    build: { argv: [sh, build.sh] }
    sandbox: { read: ["${folder}"] }
    driver: { kind: directory, root: ${name} }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:${port}/${name}", successes: 1 }
`;
  writeFileSync(at('config.yaml'), `targets:\n${target('shop')}${target('depot')}`);
  const keys = at('signing-keys.json');
  await runProgram(['keys', 'create', keys]);
  Object.assign(env, await elsewhere(host, 'versions'), { SIGNALBOX_SIGNING_KEYS_FILE: keys });
  const api = runAlone(env, 'api', '--port', '0', '--config', at('config.yaml'), '--state', at('api'));
  const address = await api.says(/http:\/\/127\.0\.0\.1:\d+/);
  people = await twoPeople(env, address);
  temporal = await connectTemporal({ address: env.TEMPORAL_ADDRESS, namespace: env.TEMPORAL_NAMESPACE });
});
afterAll(async () => {
  await temporal.connection.close();
  await cleanUp();
  health.close();
});

async function worker(buildId: string) {
  const places = ['--config', at('config.yaml'), '--state', at(buildId)];
  const made = runAlone(env, 'worker', '--build-id', buildId, '--grace-seconds', '1', ...places);
  await made.says(new RegExp(`polling, as version ${buildId}`));
  return made;
}
const as = (person: 'carla' | 'amir', ...args: string[]) => runProgram(args, { env: people[person] });
const onTemporal = (...args: string[]) => runProgram(['temporal', ...args], { env });
const versions = async () =>
  JSON.parse((await onTemporal('versions', '--json')).out) as {
    buildId: string;
    status: string;
    deployments: number;
  }[];
async function deploy(target: string, revision: string): Promise<string> {
  const shipped = await as('carla', 'ship', target, revision, '--json');
  expect(shipped).toMatchObject({ code: 0, err: '' });
  const { key } = JSON.parse(shipped.out) as { key: string };
  expect(await as('amir', 'approve', key)).toMatchObject({ code: 0, err: '' });
  const started = await as('carla', 'deploy', key, '--json');
  expect(started.err).toBe('');
  return (JSON.parse(started.out) as { key: string }).key;
}
const seen = async (key: string) =>
  answerOf(await as('carla', 'status', key, '--json')) as {
    status: string;
    temporal: { workflowId: string };
  };
const status = async (key: string) => (await seen(key)).status;
/** The version that a deployment's workflow is on, in its latest run. */
async function versionOf(key: string): Promise<string | null | undefined> {
  const { workflowId } = (await seen(key)).temporal;
  const { raw } = await temporal.client.workflow.getHandle(workflowId).describe();
  return raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion?.buildId;
}

it('deployments in flight end on the version where they began; what waits goes on on the new one', async () => {
  expect((await onTemporal('versions')).out).toContain('No worker has a version');
  expect(await onTemporal('use', 'one')).toMatchObject({
    code: 1,
    err: expect.stringContaining('start one first: signalbox worker --build-id one'),
  });
  const one = await worker('one');
  expect((await onTemporal('use', 'one')).out).toContain('begins on one');
  const building = await deploy('shop', 'slow');
  await until('it builds', async () => (await status(building)) === 'running');
  const queued = await deploy('shop', 'v2');
  await until('it waits for the lane', async () => (await status(queued)) === 'queued');
  expect(await versionOf(queued)).toBe('one');

  const two = await worker('two');
  expect(await versions()).toMatchObject([
    { buildId: 'two', status: 'inactive', deployments: 0 },
    { buildId: 'one', status: 'current', deployments: 2 },
  ]);
  const use = runAlone(env, 'temporal', 'use', 'two', '--wait');
  await use.says(/One deployment that waits was told/);
  await use.says(/Draining: one has 1 of them left/);
  await until('it waits on the new version', async () => (await versionOf(queued)) === 'two');

  const other = await deploy('depot', 'v3');
  await until('another target', async () => (await status(other)) === 'succeeded');
  expect(await versionOf(other)).toBe('two');
  expect(await status(building)).toBe('running');
  expect(await versionOf(building)).toBe('one');

  writeFileSync(at('go'), '');
  await until('it ends', async () => (await status(building)) === 'succeeded');
  expect(await versionOf(building)).toBe('one');
  await until('the one that waited', async () => (await status(queued)) === 'succeeded');
  expect(await versionOf(queued)).toBe('two');
  expect(await use.ended).toBe(0);
  expect(await versions()).toMatchObject([
    { buildId: 'two', status: 'current', deployments: 0 },
    { buildId: 'one', status: 'drained', deployments: 0 },
  ]);
  expect((await onTemporal('use', 'one', '--percent', '25')).out).toContain('25 % begins on one');
  expect(await versions()).toMatchObject([
    { buildId: 'two', status: 'current' },
    { buildId: 'one', status: 'ramping', percent: 25 },
  ]);
  expect((await onTemporal('use', 'one', '--percent', '100')).err).toContain('from 1 to 99');
  one.child.kill('SIGTERM');
  expect(await one.ended).toBe(0);
  two.child.kill('SIGTERM');
  await two.ended;
  await stopUp(host);
});
