import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../cli/embedded/ports';
import { makeRepository } from '../helpers/repository';
import { cleanUp, cli, newFolder, startUp, stopUp, until, type Up } from '../helpers/up';

/** examples/two-ports as it is shipped: a service behind a real proxy, switched under load. */
const example = resolve('examples/two-ports');
let up: Up;
let folder: string;
let port: number;
let proxy: ChildProcess;
const agent = new Agent({ keepAlive: false });
const services = () =>
  Object.values(
    JSON.parse(readFileSync(join(folder, 'live', 'running.json'), 'utf8')) as Record<string, { pid: number }>,
  ).map(({ pid }) => pid);

beforeAll(async () => {
  folder = newFolder();
  cpSync(example, folder, { recursive: true });
  for (const name of ['live', 'data']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'data', 'orders.txt'), 'one\n');
  const { write, commit } = await makeRepository(join(folder, 'repository'));
  for (const name of ['service.js', 'build.js'])
    copyFileSync(join(example, name), join(folder, 'repository', name));
  for (const tag of ['v1', 'v2', 'broken']) {
    write('version.txt', tag);
    await commit(tag, tag);
  }
  port = await freePort();
  const config = join(folder, 'signalbox.config.yaml');
  const text = readFileSync(config, 'utf8').replace('127.0.0.1:8080', `127.0.0.1:${port}`);
  const ports = `PORTS=${await freePort()},${await freePort()}`;
  // The example's two ports may be taken on this machine.
  writeFileSync(config, text.replaceAll('[node, ../switch.js]', `[env, "${ports}", node, ../switch.js]`));
  proxy = spawn(process.execPath, [join(example, 'proxy.js'), join(folder, 'live'), String(port)], {
    stdio: 'ignore',
  });
  up = await startUp({ args: ['--config', config] });
  await up.says('Running. Ctrl-C');
});
afterAll(async () => {
  proxy.kill('SIGKILL');
  for (const pid of services())
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // The one that was switched away from has ended.
    }
  await cleanUp();
});

const ask = () =>
  new Promise<string>((done) => {
    get({ port, host: '127.0.0.1', path: '/', agent }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => done(answer.statusCode === 200 ? text : `${answer.statusCode}: ${text}`));
    }).on('error', (thrown) => done(`failed: ${thrown.message}`));
  });
async function deploy(revision: string): Promise<number | null> {
  const { out } = await cli(up, 'ship', 'shop', revision, '--json');
  const { key } = JSON.parse(out) as { key: string };
  await cli(up, 'approve', key);
  return (await cli(up, 'deploy', key, '--wait')).code;
}

it('no request fails while releases are swapped, and swapped back', async () => {
  // The sample keeps its hands off a `shop` that is somebody's own.
  expect((await cli(up, 'status', 'CP-1')).err).toContain('CP-1');
  expect(await ask()).toMatch(/^503/);
  expect(await deploy('v1')).toBe(0);
  const seen: string[] = [];
  let stop = false;
  const load = Promise.all(
    [1, 2, 3, 4].map(async () => {
      while (!stop) {
        seen.push(await ask());
        await sleep(5);
      }
    }),
  );
  await until('some answers', () => seen.length > 20);
  expect(await deploy('v2')).toBe(0);
  // Starts and answers, but is not well: it is switched back to v2.
  expect(await deploy('broken')).toBe(3);
  expect(await ask()).toBe('v2');
  expect((await cli(up, 'rollback', 'CP-2', '--wait')).code).toBe(0);
  await until('v1 again', () => seen.slice(-8).every((version) => version === 'v1'));
  // The number of a service that has ended may be given to anybody, who is not to be ended for it.
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
    stdio: 'ignore',
  });
  const file = join(folder, 'live', 'running.json');
  const list = JSON.parse(readFileSync(file, 'utf8')) as Record<string, { pid: number; release: string }>;
  const live = JSON.parse(readFileSync(join(folder, 'live', 'live.json'), 'utf8')) as { port: number };
  const ended = Object.keys(list).find((one) => Number(one) !== live.port)!;
  list[ended]!.pid = bystander.pid!;
  writeFileSync(file, JSON.stringify(list));
  expect(await deploy('v2')).toBe(0);
  await until('v2 again', () => seen.slice(-8).every((version) => version === 'v2'));
  expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
  bystander.kill('SIGKILL');
  stop = true;
  await load;
  const failed = seen.filter((answer) => !['v1', 'v2', 'broken'].includes(answer));
  expect(failed).toEqual([]);
  expect(new Set(seen)).toEqual(new Set(['v1', 'v2', 'broken']));
  expect(seen.length).toBeGreaterThan(200);
  await stopUp(up);
  // What serves the site has nothing to do with Signalbox being there.
  expect(await ask()).toBe('v2');
});
