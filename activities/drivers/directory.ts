import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { removeTree, settle, unpack } from '../archive';

/**
 * A target that is a folder: `releases/<digest>` beside a `current` link that is renamed into place. What it
 * keeps of its own (`.signalbox/`: highest fencing number, journal, lock) lies in the same folder.
 */
export interface Driver {
  /** Where its fencing numbers are kept. */
  room: string;
  /** What the target runs now; null: nothing. */
  observe(): Promise<string | null>;
  /** Puts a release beside the others; does nothing when it is there. @returns its folder. */
  install(release: string, archive: string): Promise<string>;
  /** Makes a release current, or none with null. @returns what happened; refused: a newer number acted. */
  switchTo(release: string | null, fence: number, by: string): Promise<Switched>;
  /** Removes all but the newest `keep` releases and those named. @returns the digests removed. */
  prune(keep: number, always: string[]): Promise<string[]>;
}
export interface Switched {
  result: 'switched' | 'already' | 'refused';
  from: string | null;
  fence: number;
}

const switcher = join(__dirname, 'switch-current.js');
const switchTimeoutMs = 40_000;

export function directoryDriver(root: string): Driver {
  const releases = join(root, 'releases');
  return {
    room: join(root, '.signalbox'),
    async observe() {
      try {
        return basename(await readlink(join(root, 'current')));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw new Error(`${join(root, 'current')} is not a link that can be read`, { cause: thrown });
      }
    },
    async install(release, archive) {
      const folder = join(releases, release);
      if (existsSync(folder)) return folder;
      const fresh = join(root, '.signalbox', `unpack-${release}-${process.pid}-${Date.now()}`);
      await mkdir(fresh, { recursive: true });
      await unpack(archive, fresh);
      try {
        await settle(fresh, folder);
      } catch (thrown) {
        // Another try was faster; equal digests mean equal content.
        await removeTree(fresh);
        if (!existsSync(folder)) throw thrown;
      }
      return folder;
    },
    switchTo: (release, fence, by) => runSwitcher(JSON.stringify({ root, release, fence, by })),
    async prune(keep, always) {
      const names = await readdir(releases).catch(() => [] as string[]);
      const dated = await Promise.all(
        names.map(async (name) => ({ name, at: (await lstat(join(releases, name))).ctimeMs })),
      );
      const old = dated
        .sort((a, b) => b.at - a.at)
        .slice(keep)
        .map(({ name }) => name)
        .filter((name) => !always.includes(name));
      for (const name of old) await removeTree(join(releases, name));
      return old;
    },
  };
}

async function runSwitcher(input: string): Promise<Switched> {
  const child = spawn(process.execPath, [switcher, input], {
    env: { PATH: process.env.PATH },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), switchTimeoutMs);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...end) => resolve(end));
  }).finally(() => clearTimeout(timer));
  if (code !== 0) {
    const why = /Error: (.*)/.exec(err)?.[1] ?? (signal ? `ended by ${signal}` : `exit ${code}`);
    throw new Error(`switching the current link failed: ${why}`);
  }
  return JSON.parse(out) as Switched;
}
