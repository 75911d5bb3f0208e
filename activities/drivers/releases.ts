import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, lstat, lutimes, mkdir, readdir, realpath, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../../domain/failpoint';
import { runShort } from './short-process';
import { contentsOf, isRelease, removeTree, settle, unpack } from '../archive';

const pruner = join(__dirname, 'prune-releases.js');

/**
 * Unpacked releases, `releases/<digest>` below a target's root.
 * @param live says which one is current.
 */
export function releasesIn(root: string, live: () => Promise<string | null>) {
  const releases = join(root, 'releases');
  const folderOf = (release: string) => join(releases, release);

  async function install(
    release: string,
    archive: () => Promise<string>,
    name: string,
    say: (text: string) => void = () => undefined,
  ): Promise<string> {
    const folder = folderOf(release);
    const there = existsSync(folder);
    if (there && (await isRelease(folder, release))) {
      await renew(release);
      return folder;
    }
    // Shared with another try, it could be moved into place while that one still writes.
    const fresh = join(root, '.signalbox', `${name}.${randomUUID()}.unpack`);
    await mkdir(fresh, { recursive: true });
    try {
      await unpack(await archive(), fresh);
      await setTimes(fresh, await newSecond());
      await failpoint('unpack/middle');
      if (!there) await settle(fresh, folder);
      else {
        say(`release ${release.slice(0, 12)} was changed on disk since it was unpacked; unpacked it again`);
        await exchange(fresh, folder);
        await removeTree(fresh);
      }
    } catch (thrown) {
      await removeTree(fresh);
      // Another try was faster; equal digests mean equal content.
      if (there || !existsSync(folder)) throw thrown;
    }
    return folder;
  }

  /**
   * Web servers tell clients what they have by size and time, in seconds. So each release has a second of its own, newer
   * than what it takes the place of; also one that comes back, for those that ask by time alone.
   */
  async function renew(release: string): Promise<void> {
    const mine = await secondOf(folderOf(release));
    const others = (await seconds()).filter(({ name }) => name !== release);
    if (mine !== undefined && others.every(({ second }) => second < mine)) return;
    // What is live is left alone. One that cannot be asked now is asked again by the switch that follows.
    if ((await live().catch(() => null)) === release) return;
    await setTimes(folderOf(release), await newSecond());
  }
  async function seconds(): Promise<{ name: string; second: number }[]> {
    const names = await readdir(releases).catch(() => [] as string[]);
    return Promise.all(
      names.map(async (name) => ({ name, second: inSeconds((await lstat(join(releases, name))).mtimeMs) })),
    );
  }
  /** This second, or the next, when a release has this one. */
  async function newSecond(): Promise<number> {
    for (;;) {
      // eslint-disable-next-line no-restricted-properties -- the file system's clock
      const now = Date.now();
      const taken = await seconds();
      if (taken.every(({ second }) => second !== inSeconds(now))) return inSeconds(now);
      await sleep(1000 - (now % 1000));
    }
  }

  return {
    folderOf,
    install,
    async prune(keep: number, always: string[], fence: number): Promise<string[]> {
      const moved = await runShort<string[]>(
        pruner,
        { root, keep, always, fence },
        'moving old releases away',
      );
      await failpoint('prune/middle');
      // What a process that was killed here has moved, too: nobody uses it any more.
      const room = join(root, '.signalbox');
      for (const name of await readdir(room).catch(() => [] as string[]))
        if (name.endsWith('.pruned')) await removeTree(join(room, name));
      return moved;
    },
  };
}

const inSeconds = (ms: number) => Math.floor(ms / 1000);

const allIn = async (folder: string) =>
  (await contentsOf(await realpath(folder))).map((name) => join(folder, name));

/** Of all that a release holds; its own folder last, because it says for all that they have it. */
async function setTimes(folder: string, second: number): Promise<void> {
  for (const path of [...(await allIn(folder)).reverse(), folder]) await lutimes(path, second, second);
}
/** undefined: not all have the same. */
async function secondOf(folder: string): Promise<number | undefined> {
  const second = inSeconds((await lstat(folder)).mtimeMs);
  for (const path of await allIn(folder))
    if (inSeconds((await lstat(path)).mtimeMs) !== second) return undefined;
  return second;
}

/**
 * Makes a folder what a fresh one is, file by file, each replaced by a rename: who reads meanwhile finds each whole. Needs
 * no lock, because a release is named by its content: whoever does this, and however late, only puts it right.
 */
async function exchange(fresh: string, folder: string): Promise<void> {
  const wanted = await readdir(fresh);
  for (const name of await readdir(folder)) if (!wanted.includes(name)) await removeTree(join(folder, name));
  const { mode, mtimeMs } = await lstat(fresh);
  for (const name of wanted) {
    const [from, to] = [join(fresh, name), join(folder, name)] as const;
    const isFolder = (await lstat(from)).isDirectory();
    const found = await lstat(to).catch(() => undefined);
    if (found && found.isDirectory() !== isFolder) await removeTree(to);
    if (isFolder && found?.isDirectory()) await exchange(from, to);
    else await rename(from, to);
  }
  await chmod(folder, mode & 0o7777);
  await lutimes(folder, inSeconds(mtimeMs), inSeconds(mtimeMs));
}
