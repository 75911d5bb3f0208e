import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { darkProxy, type DarkProxy } from '../helpers/dark-proxy';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  elsewhere,
  newFolder,
  runAlone,
  runProgram,
  startUp,
  twoPeople,
  until,
} from '../helpers/up';

/** A worker that is told to stop while its database is away, with something to record that it cannot. */
const env: Record<string, string> = {};
let folder: string;
let proxy: DarkProxy;
let people: Awaited<ReturnType<typeof twoPeople>>;
const at = (name: string) => join(folder, name);
const places = () => ['--config', at('config.yaml'), '--state', at('state')];
const as = (person: 'carla' | 'amir', ...args: string[]) => runProgram(args, { env: people[person] });
const statusOf = async (key: string) =>
  (answerOf(await as('carla', 'status', key, '--json')) as { status: string }).status;
async function startWorker(url = env.DATABASE_URL!) {
  const worker = runAlone({ ...env, DATABASE_URL: url }, 'worker', '--grace-seconds', '1', ...places());
  await worker.says(/polling/);
  return worker;
}

beforeAll(async () => {
  const host = await startUp({ args: ['--no-sample'] });
  folder = newFolder();
  mkdirSync(at('data'));
  const { write, commit } = await makeRepository(at('repo'));
  write('v', 'v1');
  await commit('v1', 'v1');
  writeFileSync(
    at('config.yaml'),
    `targets:
  shop:
    repository: repo
    build: { argv: ["true"] }
    driver: { kind: directory, root: site }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:9/", successes: 1 }
`,
  );
  Object.assign(env, await elsewhere(host, 'stopping'));
  const api = runAlone(env, 'api', '--port', '0', ...places());
  people = await twoPeople(env, await api.says(/http:\/\/127\.0\.0\.1:\d+/));
});
afterAll(cleanUp);
afterEach(() => proxy.close());

it.each([
  ['refuses connections', () => proxy.close()],
  ['says nothing any more', () => Promise.resolve(proxy.goDark('all'))],
])(
  'a worker whose database %s stops soon; what it had to record is recorded by the next',
  async (_, lose) => {
    proxy = await darkProxy(env.DATABASE_URL!);
    const worker = await startWorker(proxy.url);
    const { key } = answerOf(await as('carla', 'ship', 'shop', 'v1', '--json')) as { key: string };
    const request = key.replace('CP', 'RFC');
    await until('it to be submitted', async () => (await statusOf(request)) === 'submitted');
    await lose();
    expect((await as('amir', 'approve', key)).out).toContain('no worker has recorded it yet');
    // It has tried, and waits to try again.
    await sleep(8_000);
    const told = Date.now();
    worker.child.kill('SIGTERM');
    const code = await Promise.race([worker.ended, sleep(60_000, 'it still runs')]);
    const seconds = (Date.now() - told) / 1000;
    expect(code).toBe(0);
    // More than 20 s while it tried again and again; the rest is room for a busy machine.
    expect(seconds).toBeLessThan(15);
    const next = await startWorker();
    await until('it to be approved', async () => (await statusOf(request)) === 'approved');
    next.child.kill('SIGTERM');
    expect(await next.ended).toBe(0);
  },
);
