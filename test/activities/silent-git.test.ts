import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSource, git, type Source } from '../../activities/git';
import { makeRepository } from '../helpers/repository';
import { until } from '../helpers/until';

/** Remotes that take the connection and say nothing, or stop in the middle. */
let folder: string;
let repository: string;
let commit: string;
let silent: Server;
let sockets: Socket[];
let remote: string;
let source: Source;
const stallMs = 3_000;
/** For hangs only: what is tested takes a second or two. */
const hangMs = 60_000;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-silent-'));
  repository = join(folder, 'repo');
  const made = await makeRepository(repository);
  made.write('a.txt', 'one');
  await made.commit('one', 'v1');
  commit = (await git(['-C', repository, 'rev-parse', 'v1'])).trim();
  sockets = [];
  silent = createServer((socket) => void sockets.push(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  remote = `git://127.0.0.1:${(silent.address() as AddressInfo).port}/x`;
});
beforeEach(() => {
  source = createSource(mkdtempSync(join(folder, 'mirrors-')), { stallMs });
});
afterEach(async () => {
  await source.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  expect(running(remote)).toEqual([]);
});
afterAll(() => {
  silent.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Processes whose command line names this text. */
const running = (text: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(text));

const fetches = () => running(remote).filter((line) => / fetch /.test(line));
const fetching = () => until('a fetch to run', () => fetches().length > 0);

const within = <T>(work: Promise<T>) =>
  Promise.race([
    work,
    sleep(hangMs, undefined, { ref: false }).then(() => {
      throw new Error(`still pending after ${hangMs} ms`);
    }),
  ]);

it('a silent remote is given up with the reason, and its target goes on with a repository that answers', async () => {
  await expect(within(source.resolve('shop', remote, 'main'))).rejects.toMatchObject({
    code: 'repository-unreachable',
    message: expect.stringContaining('nothing moved for'),
  });
  expect(await within(source.resolve('shop', repository, 'v1'))).toBe(commit);
});

it('while a remote is silent, what the mirror has already can be used', async () => {
  const slow = createSource(mkdtempSync(join(folder, 'mirrors-')), { stallMs: 60_000 });
  await slow.resolve('shop', repository, 'v1');
  const hung = slow.resolve('shop', remote, 'main');
  hung.catch(() => undefined);
  await fetching();
  const into = join(folder, 'beside');
  await within(slow.checkout({ name: 'shop', repository: remote }, commit, into));
  expect(readFileSync(join(into, 'a.txt'), 'utf8')).toBe('one');
  expect((await within(slow.compare('shop', remote, null, commit))).commits).toHaveLength(1);
  // One target's silence is none of another's.
  expect(await within(slow.resolve('other', repository, 'v1'))).toBe(commit);
  await within(slow.close());
  await expect(within(hung)).rejects.toThrow();
});

it('a cancel is heard at once, also by one that waits for the mirror of another', async () => {
  const slow = createSource(mkdtempSync(join(folder, 'mirrors-')), { stallMs: 60_000 });
  const cancels = [new AbortController(), new AbortController()];
  const asked = cancels.map(({ signal }, n) =>
    slow.checkout({ name: 'shop', repository: remote }, commit, join(folder, `cancelled-${n}`), signal),
  );
  await fetching();
  const begun = Date.now();
  cancels[0]!.abort();
  await expect(within(asked[0]!)).rejects.toThrow();
  // The other one still wants it.
  expect(running(remote)).not.toEqual([]);
  cancels[1]!.abort();
  await expect(within(asked[1]!)).rejects.toThrow();
  expect(Date.now() - begun).toBeLessThan(hangMs / 2);
  await slow.close();
});

it('who asks while a mirror is made shares it, and learns how far it is', async () => {
  const slow = createSource(mkdtempSync(join(folder, 'mirrors-')), { stallMs: 60_000 });
  const since = performance.now();
  const first = await within(slow.mirror('shop', remote, { since, patienceMs: 300 }));
  expect(first).toMatchObject({ phase: expect.any(String) });
  const second = await within(slow.mirror('shop', remote, { since, patienceMs: 300 }));
  expect(second!.seconds).toBeGreaterThanOrEqual(first!.seconds);
  await fetching();
  expect(fetches()).toHaveLength(1);
  await slow.close();
});

it('what was pushed after a mirror was asked for is seen by who asks after it', async () => {
  const made = await makeRepository(join(folder, 'pushed'));
  await made.commit('one', 'v1');
  await source.resolve('pushed', made.folder, 'v1');
  await made.commit('two', 'v2');
  expect(await source.resolve('pushed', made.folder, 'v2')).toMatch(/^[0-9a-f]{40}$/);
});

it('what a killed fetch left does not stop the next one', async () => {
  const mirrors = mkdtempSync(join(folder, 'mirrors-'));
  const before = createSource(mirrors);
  await before.resolve('shop', repository, 'v1');
  await before.close();
  writeFileSync(join(mirrors, 'shop.git', 'packed-refs.lock'), '');
  mkdirSync(join(mirrors, 'shop.git', 'refs/heads'), { recursive: true });
  writeFileSync(join(mirrors, 'shop.git', 'refs/heads/main.lock'), '');
  writeFileSync(join(mirrors, 'shop.git', 'objects/pack/tmp_pack_abc'), 'x');
  await git([
    '-C',
    repository,
    '-c',
    'user.name=t',
    '-c',
    'user.email=t@t',
    'commit',
    '-q',
    '--allow-empty',
    '-m',
    'next',
  ]);
  const after = createSource(mirrors);
  expect(await after.resolve('shop', repository, 'main')).not.toBe(commit);
  expect(
    readdirSync(join(mirrors, 'shop.git', 'objects/pack')).filter((name) => name.startsWith('tmp_')),
  ).toEqual([]);
  await after.close();
});
