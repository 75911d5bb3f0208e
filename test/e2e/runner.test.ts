import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { DeploymentView, HistoryView, TargetView } from '../../domain/schemas';
import { git } from '../../activities/git';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  cli,
  newFolder,
  runAlone,
  runProgram,
  startUp,
  stopUp,
  until,
  type Up,
} from '../helpers/up';

/** Runners as processes, users and state directories of their own: they do a target's steps, and nothing else is theirs. */
let up: Up;
let site: Server;
let host: string;
let token: string;
const asRoot = process.getuid?.() === 0;
const nobody = asRoot ? { uid: 65_534, gid: 65_534 } : {};
const root = () => join(host, 'live');
/** The control plane's own targets file, and the host's. */
const control = () => join(host, 'control.config.yaml');
const config = () => join(host, 'signalbox.config.yaml');
const flag = (name: string) => join(host, 'flags', name);

beforeAll(async () => {
  host = newFolder();
  chmodSync(host, 0o755);
  for (const name of ['live', 'data', 'flags']) mkdirSync(join(host, name));
  writeFileSync(join(host, 'data', 'orders.txt'), 'one\n');
  const { write, commit } = await makeRepository(join(host, 'repository'));
  // A build that waits where it is told to, and needs a secret that only the host has.
  write(
    'build.sh',
    `test "$HOST_SECRET" = of-the-host-alone || exit 1
while [ "$(cat version.txt)" = slow ] && [ ! -e ${flag('go')} ]; do touch ${flag('building')}; sleep 0.1; done
mkdir -p dist && cp version.txt dist/\n`,
  );
  for (const revision of ['v1', 'v2', 'slow', 'stuck']) {
    write('version.txt', revision);
    await commit(revision, revision);
  }
  writeFileSync(
    join(host, 'reload.sh'),
    `while [ "$(cat ${root()}/current/version.txt)" = stuck ]; do touch ${flag('swapping')}; sleep 0.1; done\n`,
  );
  site = createServer((_request, answer) => {
    const file = join(root(), 'current', 'version.txt');
    if (existsSync(file)) answer.end(readFileSync(file, 'utf8'));
    else answer.writeHead(503).end();
  });
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const targetsFile = (repository: string) =>
    JSON.stringify({
      targets: {
        shop: {
          repository,
          runner: { lostAfterSeconds: 2 },
          build: { argv: ['sh', 'build.sh'] },
          sandbox: { write: ['./flags'] },
          driver: {
            kind: 'directory',
            root: './live',
            reload: { argv: ['sh', join(host, 'reload.sh')], timeoutSeconds: 120 },
          },
          backup: { kind: 'files', paths: ['./data'] },
          secrets: { HOST_SECRET: { env: 'HOST_SECRET' } },
          health: {
            kind: 'http',
            url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/`,
            version: 'revision',
            intervalMs: 50,
            requestTimeoutMs: 30_000,
            deadlineSeconds: 5,
          },
        },
      },
    });
  writeFileSync(control(), targetsFile('./repository'));
  writeFileSync(config(), targetsFile('./mirror'));
  await git(['clone', '--quiet', '--bare', join(host, 'repository'), join(host, 'mirror')]);
  if (asRoot) {
    // Its data too: what belongs to others could not be given back to them by a restore.
    for (const name of ['live', 'data', 'flags', 'mirror'])
      spawnSync('chown', ['-R', '65534:65534', join(host, name)]);
  }
  up = await startUp({ args: ['--no-sample', '--config', control()] });
  const made = await cli(
    up,
    ...['token', 'create', '--person', 'runner-of-shop', '--role', 'runner:shop', '--json'],
  );
  ({ token } = JSON.parse(made.out) as { token: string });
});
afterAll(async () => {
  await cleanUp();
  await new Promise((done) => site.close(done));
});

const states: Record<string, string> = {};
const envOf = (more: Record<string, string | undefined> = {}) => ({
  ...more,
  HOME: states.A!,
  SIGNALBOX_API: up.endpoints().api,
  SIGNALBOX_TOKEN: token,
  TEMPORAL_ADDRESS: up.endpoints().temporalAddress,
  TEMPORAL_NAMESPACE: 'default',
  HOST_SECRET: 'of-the-host-alone',
});
async function runner(name: string) {
  if (!states[name]) {
    states[name] = newFolder();
    if (asRoot) chownSync(states[name], 65_534, 65_534);
  }
  const started = runAlone(envOf() as Record<string, string>, {
    args: ['worker', '--runner', 'shop', '--config', config(), '--state', states[name]!],
    ...nobody,
  });
  await started.says(/runner of shop is polling/);
  return started;
}
async function deploy(revision: string): Promise<string> {
  const { key } = answerOf(await cli(up, 'ship', 'shop', revision, '--json')) as { key: string };
  await cli(up, 'approve', key);
  await cli(up, 'deploy', key);
  return `${key}.1`;
}
const ask = async <T>(path: string): Promise<T> =>
  (
    await fetch(`${up.endpoints().api}${path}`, {
      headers: { authorization: `Bearer ${up.endpoints().tokens.contributor}` },
    })
  ).json() as Promise<T>;
const ended = (key: string) =>
  until(`${key} to end`, async () => {
    const found = await ask<DeploymentView>(`/deployments/${key}`);
    return found.finishedAt ? found : undefined;
  });
const live = () => readFileSync(join(root(), 'current', 'version.txt'), 'utf8');

it('says what it lacks, and is let in by a token for its own target alone', async () => {
  states.A = newFolder();
  if (asRoot) chownSync(states.A, 65_534, 65_534);
  const start = (env: object, ...args: string[]) =>
    runProgram(['worker', '--runner', 'shop', '--config', config(), '--state', states.A!, ...args], {
      env: { ...envOf(), ...env },
      ...nobody,
    });
  expect(await start({ SIGNALBOX_TOKEN: '' })).toMatchObject({
    code: 1,
    err: expect.stringContaining('set it to a token made with "signalbox token create --role runner:shop"'),
  });
  expect(await start({ SIGNALBOX_TOKEN: 'nonsense' })).toMatchObject({
    code: 1,
    err: expect.stringMatching(/The API refused hello of this runner: .*not known/),
  });
  expect(await start({ SIGNALBOX_TOKEN: up.endpoints().tokens.admin })).toMatchObject({
    code: 1,
    err: expect.stringMatching(/this needs runner/),
  });
  expect(await start({}, '--runner', 'other')).toMatchObject({
    code: 2,
    err: expect.stringContaining('has no target other'),
  });
  // What it is good for: not even reading.
  const read = await fetch(`${up.endpoints().api}/promotions`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(read.status).toBe(403);
});

it('does every step on its host, and records them by the API', async () => {
  const a = await runner('A');
  const key = await deploy('v1');
  expect(await ended(key)).toMatchObject({
    status: 'succeeded',
    runner: expect.stringMatching(/-[0-9a-f]{8}$/),
    steps: ['build', 'backup', 'swap', 'health-check'].map((name) => ({ name, status: 'done' })),
  });
  expect(live()).toBe('v1');
  const target = await ask<TargetView>('/targets/shop');
  expect(target.runners).toMatchObject([{ id: readFileSync(join(states.A!, 'runner-id'), 'utf8') }]);
  expect(Date.now() - Date.parse(target.runners![0]!.seenAt)).toBeLessThan(30_000);
  const builds = { host: hostname(), said: expect.stringMatching(/^Builds run (in|WITHOUT) a sandbox/) };
  expect(target.sandboxes).toMatchObject([builds]);
  const doctor = await cli(up, 'doctor', '--config', control(), '--json');
  expect(JSON.parse(doctor.out)).toMatchObject({ sandboxes: [builds, { ...builds, runner: 'shop' }] });
  // What was built and backed up lies with the runner; the control plane has none of it, nor the host's secret.
  expect(readdirSync(join(states.A!, 'artifacts', 'shop')).some((name) => name.endsWith('.tar'))).toBe(true);
  for (const kind of ['artifacts', 'backups', 'work'])
    expect(existsSync(join(up.state, kind, 'shop'))).toBe(false);
  expect((await cli(up, 'watch', key)).out).toContain('build: running');
  const { runs } = await ask<HistoryView>(`/deployments/${key}/history`);
  expect(runs[0]!.events.map(({ text }) => text)).toContain('Find a runner of shop: done');

  // Killed in mid-build and started again, it goes on with what it had taken.
  const slow = await deploy('slow');
  await until('the build', () => existsSync(flag('building')));
  a.child.kill('SIGKILL');
  await a.ended;
  writeFileSync(flag('go'), '');
  const again = await runner('A');
  expect(await ended(slow)).toMatchObject({ status: 'succeeded' });
  expect(live()).toBe('slow');
  again.child.kill('SIGTERM');
  expect(await again.ended).toBe(0);
});

it('a deployment whose runner is lost is undone', async () => {
  const key = await deploy('v1');
  expect(await ended(key)).toMatchObject({
    status: 'rolled-back',
    outcome: 'No runner of the target took the step up in time: it is lost. Nothing was touched.',
  });
  expect(live()).toBe('slow');
});

it('of two runners the one that was late is refused by its fencing number', async () => {
  const a = await runner('A');
  const key = await deploy('stuck');
  await until('the swap', () => existsSync(flag('swapping')));
  // It stands still in the middle of its swap, as a host that hangs; its command goes on.
  a.child.kill('SIGSTOP');
  const b = await runner('B');
  const undone = await ended(key);
  expect(undone.status).toBe('rolled-back');
  expect(undone.runner).toBe(readFileSync(join(states.B!, 'runner-id'), 'utf8'));
  expect(live()).toBe('slow');
  a.child.kill('SIGCONT');
  await a.says(/swap: .*(taken over|refused|interrupted)/);
  const next = await deploy('v2');
  expect(await ended(next)).toMatchObject({ status: 'succeeded' });
  expect(live()).toBe('v2');
  for (const one of [a, b]) one.child.kill('SIGTERM');
  await Promise.all([a.ended, b.ended]);
  await stopUp(up);
});
