import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packCanonical } from '../../activities/archive';
import { commandDriver } from '../../activities/drivers/command';
import { directoryDriver } from '../../activities/drivers/directory';
import type { Driver, Hook } from '../../activities/drivers/driver';
import { nothing, releaseOr, type Observed, type Restorable } from '../../domain/observed';
import { patienceMs } from '../helpers/until';

/** Runs a target's command as a step does: under its number, in a group of its own. */
const hookOf =
  (room: string, fence: number, by: string): Hook =>
  (what, { argv }, env, more, guard) =>
    new Promise((resolve, reject) => {
      const answer = join(room, `answer-${fence}.json`);
      const guarded = guard && { ...guard, cwd: join(room, '..'), answer };
      const number = JSON.stringify({ room, fence, by, ...more, guard: guarded });
      const fenced = require.resolve('../../activities/drivers/run-fenced.js');
      const child = spawn(process.execPath, [fenced, number, ...argv], {
        env: { PATH: process.env.PATH, ...env },
        detached: true,
        stdio: 'ignore',
      });
      child.once('close', (code) => {
        if (code === 0) return resolve();
        if (code !== 78) return reject(new Error(`${what}: ${code}`));
        resolve(JSON.parse(readFileSync(answer, 'utf8')) as { drifted: string });
      });
    });
/** @param over what may be replaced; left out: whatever is live. */
const switchTo = async (
  driver: Driver,
  release: string | null,
  fence: number,
  by: string,
  over?: Observed[],
) =>
  driver.switchTo(
    releaseOr(release),
    { fence, by, undo: release === null, over: over ?? anything },
    hookOf(driver.room, fence, by),
  );

/** A command of the operator's: what is live stands in a file, replaced in one step; it wants the release installed. */
const commandOf = (root: string) => {
  const script = `const fs = require('node:fs'); const { SIGNALBOX_RELEASE: release, SIGNALBOX_RELEASE_DIR: folder } = process.env;
    if (folder && !fs.existsSync(folder)) { console.error('not installed'); process.exit(1); }
    fs.writeFileSync('${root}/live.' + process.pid, release); fs.renameSync('${root}/live.' + process.pid, '${root}/live');`;
  const command = (...argv: string[]) => ({
    argv: [process.execPath, '-e', ...argv],
    timeoutSeconds: patienceMs / 1000,
  });
  return commandDriver({
    kind: 'command',
    root,
    keepReleases: 5,
    swap: command(script),
    restore: command(script),
    observe: command(`try { console.log(require('node:fs').readFileSync('${root}/live', 'utf8')) } catch {}`),
  });
};

it('reads what is live from a script that opens its output by name', async () => {
  const root = mkdtempSync(join(tmpdir(), 'signalbox-driver-'));
  const { kind, swap } = { kind: 'command' as const, swap: { argv: ['true'], timeoutSeconds: 60 } };
  const live = (script: string) =>
    commandDriver({
      ...{ kind, root, swap, restore: swap, keepReleases: 5 },
      observe: { argv: ['sh', '-c', script], timeoutSeconds: 60 },
    }).observe();
  expect(
    await live(`set -e; echo looking >>/dev/stderr; echo it >/dev/stdout; echo ${r1} | tee /dev/stderr`),
  ).toEqual(releaseOr(r1));
  // And it is said why one cannot.
  const failed = await live('echo gone for good >&2; exit 3').catch((thrown: Error) => thrown.cause);
  expect(String(failed)).toContain('sh exited with 3: gone for good');
  rmSync(root, { recursive: true });
});

const [r1, r2] = ['1'.repeat(64), '2'.repeat(64)];
const anything: Observed[] = [nothing, releaseOr(r1), releaseOr(r2)];

/** What every driver has to do; a new kind of target passes the same list. */
const kinds: [string, (root: string) => Driver][] = [
  ['directory', (root) => directoryDriver({ root })],
  ['command', commandOf],
];

describe.each(kinds)('%s', (_kind, make) => {
  let folder: string;
  let root: string;
  let driver: Driver;
  const archives: { digest: string; file: string }[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'signalbox-driver-'));
    for (const name of ['one', 'two', 'three', 'four']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'version.txt'), name);
      mkdirSync(join(folder, name, 'about'));
      writeFileSync(join(folder, name, 'about', 'index.html'), `of equal size: ${name.padEnd(5)}`);
      symlinkSync('version.txt', join(folder, name, 'link'));
      const file = join(folder, `${name}.tar`);
      archives.push({ file, digest: (await packCanonical(join(folder, name), file)).sha256 });
      anything.push(releaseOr(archives.at(-1)!.digest));
    }
  });
  beforeEach(() => {
    root = mkdtempSync(join(folder, 'root '));
    driver = make(root);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const install = (n: number) =>
    driver.install(archives[n]!.digest, () => Promise.resolve(archives[n]!.file), 'CP-1.1');
  const digest = (n: number) => archives[n]!.digest;
  const unpacking = () => readdirSync(join(root, '.signalbox')).filter((name) => name.includes('unpack'));

  const releaseOf = (n: number) => join(root, 'releases', digest(n));
  /** Seconds, as web servers make validators of them. */
  const timesOf = (n: number) =>
    ['', ...readdirSync(releaseOf(n), { recursive: true, encoding: 'utf8' })].map((name) =>
      Math.floor(lstatSync(join(releaseOf(n), name)).mtimeMs / 1000),
    );

  it('what is served has a time of its own in each release, so that no cache takes one for the other', async () => {
    const began = Math.floor(Date.now() / 1000);
    for (const n of [0, 1]) {
      await install(n);
      await switchTo(driver, digest(n), n + 1, 'a');
    }
    const [first, second] = [timesOf(0), timesOf(1)];
    expect([new Set(first).size, new Set(second).size]).toEqual([1, 1]);
    expect(first[0]).toBeGreaterThanOrEqual(began);
    expect(second[0]).toBeGreaterThan(first[0]!);
    expect(second[0]).toBeLessThanOrEqual(Date.now() / 1000);
    // Back again it is newer than what it takes the place of: who asks by time alone gets it too.
    await install(0);
    expect(timesOf(0)[0]).toBeGreaterThan(second[0]!);
    expect(new Set(timesOf(0)).size).toBe(1);
    // What is live is left alone.
    await install(1);
    expect(timesOf(1)).toEqual(second);
  });

  const changes: [string, (place: string) => void][] = [
    [
      'a file, with its size and time kept',
      (place) => {
        const file = join(place, 'about', 'index.html');
        const { atime, mtime } = lstatSync(file);
        writeFileSync(file, readFileSync(file, 'utf8').replace('size', 'SIZE'));
        utimesSync(file, atime, mtime);
      },
    ],
    ['a file removed', (place) => rmSync(join(place, 'version.txt'))],
    ['a folder removed', (place) => rmSync(join(place, 'about'), { recursive: true })],
    ['a file added', (place) => writeFileSync(join(place, 'about', 'added.html'), 'x')],
    ['a mode', (place) => chmodSync(join(place, 'version.txt'), 0o666)],
    [
      'a link',
      (place) => {
        rmSync(join(place, 'link'));
        symlinkSync('about/index.html', join(place, 'link'));
      },
    ],
    [
      'a link to somewhere else',
      (place) => {
        rmSync(join(place, 'link'));
        symlinkSync('/etc/passwd', join(place, 'link'));
      },
    ],
    [
      'a folder where a file was',
      (place) => {
        rmSync(join(place, 'version.txt'));
        mkdirSync(join(place, 'version.txt', 'deep'), { recursive: true });
      },
    ],
  ];
  it.each(changes)('a release that was changed on disk is unpacked anew: %s', async (_what, change) => {
    await install(0);
    const whole = (await packCanonical(releaseOf(0), join(root, 'before.tar'))).sha256;
    change(releaseOf(0));
    const said: string[] = [];
    await driver.install(
      digest(0),
      () => Promise.resolve(archives[0]!.file),
      'CP-1.1',
      (text) => said.push(text),
    );
    expect(said.join()).toContain('was changed on disk');
    expect(lstatSync(join(releaseOf(0), 'version.txt')).mode & 0o777).toBe(0o644);
    expect((await packCanonical(releaseOf(0), join(root, 'after.tar'))).sha256).toBe(whole);
    expect(unpacking()).toEqual([]);
    // Its companion: one that was not changed is left as it is, and its archive is not asked for.
    const inode = lstatSync(join(releaseOf(0), 'version.txt')).ino;
    await driver.install(
      digest(0),
      () => Promise.reject(new Error('asked')),
      'CP-1.1',
      (text) => said.push(text),
    );
    expect([said.length, lstatSync(join(releaseOf(0), 'version.txt')).ino]).toEqual([1, inode]);
  });

  it('a changed release that is live is put right without a moment in which a reader finds less', async () => {
    await install(0);
    await switchTo(driver, digest(0), 1, 'a');
    const page = join(releaseOf(0), 'about', 'index.html');
    const right = readFileSync(page, 'utf8');
    writeFileSync(page, 'CHANGED');
    const reader = spawn(
      process.execPath,
      [
        '-e',
        `const fs = require('node:fs'); const seen = new Set(); process.on('SIGTERM', () => { console.log(JSON.stringify([...seen])); process.exit(0); });
         console.log('reads'); const look = () => { for (let n = 0; n < 200; n++) { try { seen.add(fs.readFileSync(process.argv[1], 'utf8')); } catch (e) { seen.add(e.code); } } setImmediate(look); }; look();`,
        page,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let out = '';
    reader.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    while (!out.includes('reads')) await sleep(10);
    await sleep(50);
    await install(0);
    await sleep(50);
    reader.kill('SIGTERM');
    await new Promise((resolve) => reader.once('close', resolve));
    expect((JSON.parse(out.trim().split('\n').at(-1)!) as string[]).sort()).toEqual(
      ['CHANGED', right].sort(),
    );
    expect(readFileSync(page, 'utf8')).toBe(right);
  });

  it('runs nothing at first', async () => expect(await driver.observe()).toEqual(nothing));

  it('installs a release once, also when asked side by side, and it changes nothing that runs', async () => {
    const first = install(0);
    // Begins beside it, and unpacks when it has ended.
    const later = first.then(() => archives[0]!.file);
    const second = driver.install(digest(0), () => later, 'CP-1.1');
    const places = await Promise.all([first, second, install(0), install(0)]);
    expect(new Set(places).size).toBe(1);
    expect(readFileSync(join(places[0]!, 'version.txt'), 'utf8')).toBe('one');
    expect(await driver.observe()).toEqual(nothing);
    expect(unpacking()).toEqual([]);
  });

  it('leaves nothing of an archive that can not be unpacked', async () => {
    const broken = join(root, 'broken.tar');
    writeFileSync(broken, readFileSync(archives[0]!.file).subarray(0, 1100));
    await expect(driver.install(digest(0), () => Promise.resolve(broken), 'CP-1.1')).rejects.toThrow();
    expect(unpacking()).toEqual([]);
    await install(0);
    expect(unpacking()).toEqual([]);
  });

  it('switches, says what was before, and does nothing when it is so already', async () => {
    await install(0);
    await install(1);
    expect(await switchTo(driver, digest(0), 1, 'a')).toMatchObject({ result: 'switched', from: nothing });
    expect(await switchTo(driver, digest(1), 2, 'a')).toMatchObject({
      result: 'switched',
      from: releaseOr(digest(0)),
    });
    expect(await switchTo(driver, digest(1), 3, 'a')).toMatchObject({ result: 'already' });
    expect(await driver.observe()).toEqual(releaseOr(digest(1)));
  });

  it('refuses a lower fencing number and changes nothing; the same number may repeat', async () => {
    await install(0);
    await install(1);
    await switchTo(driver, digest(0), 7, 'a');
    expect(await switchTo(driver, digest(1), 6, 'zombie')).toMatchObject({ result: 'refused', fence: 7 });
    expect(await driver.observe()).toEqual(releaseOr(digest(0)));
    expect(await switchTo(driver, digest(0), 7, 'a')).toMatchObject({ result: 'already' });
  });

  it('refuses when the number that acted last cannot be read, and says what to do', async () => {
    await install(0);
    await install(1);
    await switchTo(driver, digest(0), 7, 'a');
    writeFileSync(join(root, '.signalbox', 'fence.json'), '{"fence": ');
    await expect(switchTo(driver, digest(1), 8, 'b')).rejects.toThrow(/fence\.json holds no number.*Write/);
    expect(await driver.observe()).toEqual(releaseOr(digest(0)));
  });

  it('switches nothing when something else is live than was observed, and says what', async () => {
    for (const n of [0, 1, 2]) await install(n);
    await switchTo(driver, digest(0), 1, 'CP-1.1 swap');
    // Somebody else.
    await switchTo(driver, digest(2), 2, 'by hand');
    const over = [releaseOr(digest(0)), releaseOr(digest(1))];
    const drifted = { result: 'drifted', from: releaseOr(digest(2)) };
    expect(await switchTo(driver, digest(1), 3, 'CP-2.1 swap', over)).toMatchObject(drifted);
    expect(await switchTo(driver, null, 4, 'CP-2.1 undo-swap', over)).toMatchObject(drifted);
    expect(await driver.observe()).toEqual(releaseOr(digest(2)));
    expect(
      await switchTo(driver, digest(1), 5, 'CP-2.1 swap', [...over, releaseOr(digest(2))]),
    ).toMatchObject({
      result: 'switched',
      from: releaseOr(digest(2)),
    });
    // What is live is what it is to be: there is nothing to compare.
    expect(await switchTo(driver, digest(1), 6, 'CP-2.1 swap', [])).toMatchObject({ result: 'already' });
  });

  it('goes back to no release, twice without harm', async () => {
    await install(0);
    await switchTo(driver, digest(0), 1, 'a');
    expect(await switchTo(driver, null, 2, 'undo')).toMatchObject({
      result: 'switched',
      from: releaseOr(digest(0)),
    });
    expect(await switchTo(driver, null, 3, 'undo')).toMatchObject({ result: 'already' });
    expect(await driver.observe()).toEqual(nothing);
  });

  it('refuses a release that is not installed and leaves what runs', async () => {
    await install(0);
    await switchTo(driver, digest(0), 1, 'a');
    await expect(switchTo(driver, digest(1), 2, 'b')).rejects.toThrow(/not installed|swap: 1/);
    expect(await driver.observe()).toEqual(releaseOr(digest(0)));
  });

  it('of many that switch side by side, the highest number is what stays', async () => {
    await Promise.all([0, 1, 2].map(install));
    // A lower number is refused, or killed where it stands by a higher one that needs the lock.
    await Promise.allSettled(
      [3, 9, 5, 1, 7].map((fence) => switchTo(driver, digest(fence % 3), fence, `try ${fence}`)),
    );
    expect(await driver.observe()).toEqual(releaseOr(digest(9 % 3)));
    const fences = readFileSync(join(root, '.signalbox', 'journal.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { fence: number }).fence);
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
  });

  it('keeps the newest releases and those in use or to return to', async () => {
    for (const n of [0, 1, 2, 3]) {
      await install(n);
      await sleep(15);
    }
    const removed = await driver.prune(1, [digest(0)], 0);
    expect(removed.sort()).toEqual([digest(1), digest(2)].sort());
    expect(readdirSync(join(root, 'releases')).sort()).toEqual([digest(0), digest(3)].sort());
    expect(readdirSync(join(root, '.signalbox')).filter((name) => name.endsWith('.pruned'))).toEqual([]);
  });

  it('removes nothing once a higher number has acted', async () => {
    for (const n of [0, 1, 2]) await install(n);
    await switchTo(driver, digest(2), 5, 'the next');
    expect(await driver.prune(1, [], 4)).toEqual([]);
    expect(readdirSync(join(root, 'releases'))).toHaveLength(3);
    expect((await driver.prune(1, [digest(2)], 5)).length).toBeGreaterThan(0);
  });
});

describe('directory, beneath', () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'signalbox-driver-'))));
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('kills an older holder of the lock that was stopped, and goes on', async () => {
    mkdirSync(join(root, '.signalbox'), { recursive: true });
    mkdirSync(join(root, 'releases', r2), { recursive: true });
    const holder = spawn(
      process.execPath,
      [
        '-e',
        `const fs = require('node:fs'); const { tryLock } = require(${JSON.stringify(require.resolve('fs-native-extensions'))});
         const fd = fs.openSync(process.argv[1] + '/lock', 'a+'); tryLock(fd);
         const start = fs.readFileSync('/proc/self/stat', 'latin1').replace(/^.*\\) /s, '').split(' ')[19];
         fs.writeFileSync(process.argv[1] + '/holder.json', JSON.stringify({ pid: process.pid, start, fence: 1 }));
         process.kill(process.pid, 'SIGSTOP');`,
        join(root, '.signalbox'),
      ],
      { stdio: 'inherit' },
    );
    const ended = new Promise((resolve) => holder.once('exit', (_code, signal) => resolve(signal)));
    while (!existsSync(join(root, '.signalbox', 'holder.json'))) await sleep(10);
    expect(await switchTo(directoryDriver({ root }), r2, 2, 'newer')).toMatchObject({ result: 'switched' });
    expect(await ended).toBe('SIGKILL');
  });

  it('says so when something else stands where its link belongs, and leaves it', async () => {
    mkdirSync(join(root, 'releases', r1), { recursive: true });
    mkdirSync(join(root, 'current'));
    await expect(switchTo(directoryDriver({ root }), r1, 1, 'a', [nothing])).resolves.toMatchObject({
      result: 'drifted',
      from: { kind: 'unrestorable', what: expect.stringContaining('a folder and not a link') },
    });
    expect(existsSync(join(root, 'current'))).toBe(true);
  });

  it.each([
    ['an absolute', (place: string) => place],
    ['a relative', () => join('..', `${basename(root)}-elsewhere`, 'v3')],
    ['a folder of its own releases that is none of Signalbox', () => 'releases/20260101'],
  ])('puts %s link back as it was', async (_which, linkOf) => {
    const place = join(`${root}-elsewhere`, 'v3');
    mkdirSync(place, { recursive: true });
    for (const name of [r1, '20260101']) mkdirSync(join(root, 'releases', name), { recursive: true });
    const link = linkOf(place);
    symlinkSync(link, join(root, 'current'));
    const driver = directoryDriver({ root });
    const before = await driver.observe();
    expect(before).toEqual({ kind: 'foreign', link });
    await switchTo(driver, r1, 1, 'CP-1.1 swap', [before]);
    expect(await driver.observe()).toEqual(releaseOr(r1));
    const back = { fence: 2, by: 'CP-1.1 undo-swap', undo: true, over: [before, releaseOr(r1)] };
    await driver.switchTo(before as Restorable, back, hookOf(driver.room, 2, 'CP-1.1'));
    expect(readlinkSync(join(root, 'current'))).toBe(link);
    rmSync(`${root}-elsewhere`, { recursive: true });
  });

  it('knows its own release also by an absolute link', async () => {
    mkdirSync(join(root, 'releases', r1), { recursive: true });
    symlinkSync(join(root, 'releases', r1), join(root, 'current'));
    expect(await directoryDriver({ root }).observe()).toEqual(releaseOr(r1));
  });

  it.each([
    ['a folder', () => mkdirSync(join(root, 'current'))],
    ['a file', () => writeFileSync(join(root, 'current'), '')],
    ['a link into nowhere', () => symlinkSync('releases/gone', join(root, 'current'))],
    ['a link to a release that was removed', () => symlinkSync(`releases/${r1}`, join(root, 'current'))],
  ])('says of %s that it could not be put back, and what to do', async (_what, make) => {
    make();
    expect(await directoryDriver({ root }).observe()).toEqual({
      kind: 'unrestorable',
      what: expect.stringContaining(join(root, 'current')),
      remedy: expect.stringMatching(/Move it|Point it/),
    });
  });

  it('no step of a switch leaves it without a release', async () => {
    const driver = directoryDriver({ root });
    for (const name of [r1, r2]) mkdirSync(join(root, 'releases', name), { recursive: true });
    await switchTo(driver, r1, 1, 'first');
    // Looks at the link after each call into the file system.
    const watcher = join(root, 'watcher.cjs');
    writeFileSync(
      watcher,
      `const fs = require('node:fs'); const { lstatSync, writeFileSync } = fs; const seen = [];
       for (const [name, call] of Object.entries(fs)) {
         if (!/^(rename|unlink|rm|symlink|mkdir|open|close)Sync$/.test(name)) continue;
         fs[name] = (...args) => {
           const result = call(...args);
           try { lstatSync('${root}/current'); seen.push(name + ' there'); } catch { seen.push(name + ' GONE'); }
           return result;
         };
       }
       process.on('exit', () => writeFileSync('${root}/seen', seen.join('\\n')));`,
    );
    const { status, stderr } = spawnSync(process.execPath, [
      '--require',
      watcher,
      resolve('activities/drivers/switch-current.js'),
      JSON.stringify({ root, to: releaseOr(r2), over: [releaseOr(r1)], fence: 2, by: 'watched' }),
    ]);
    expect([status, String(stderr), await driver.observe()]).toEqual([0, '', releaseOr(r2)]);
    const seen = readFileSync(join(root, 'seen'), 'utf8').trim().split('\n');
    expect(seen).toContain('renameSync there');
    expect(seen.filter((line) => line.endsWith('GONE'))).toEqual([]);
  });

  it('never shows a moment without a release', async () => {
    const driver = directoryDriver({ root });
    for (const name of [r1, r2]) mkdirSync(join(root, 'releases', name), { recursive: true });
    await switchTo(driver, r1, 1, 'first');
    let looks = 0;
    let stop = false;
    const seen = new Set<string>();
    const prober = (async () => {
      while (!stop) {
        seen.add(readlinkSync(join(root, 'current')));
        looks += 1;
        if (looks % 200 === 0) await sleep(0);
      }
    })();
    for (let fence = 2; fence < 12; fence++) await switchTo(driver, fence % 2 ? r1 : r2, fence, 'flip');
    stop = true;
    await prober;
    expect(looks).toBeGreaterThan(1000);
    expect([...seen].sort()).toEqual([`releases/${r1}`, `releases/${r2}`]);
  });
});
