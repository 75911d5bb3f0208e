import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree, settle, unpack } from '../archive';

/** Unpacked releases, `releases/<digest>` below a target's root. */
export function releasesIn(root: string) {
  const releases = join(root, 'releases');
  return {
    folderOf: (release: string) => join(releases, release),
    async install(release: string, archive: () => Promise<string>): Promise<string> {
      const folder = join(releases, release);
      if (existsSync(folder)) return folder;
      const fresh = join(root, '.signalbox', `unpack-${release}-${process.pid}-${Date.now()}`);
      await mkdir(fresh, { recursive: true });
      await unpack(await archive(), fresh);
      try {
        await settle(fresh, folder);
      } catch (thrown) {
        // Another try was faster; equal digests mean equal content.
        await removeTree(fresh);
        if (!existsSync(folder)) throw thrown;
      }
      return folder;
    },
    async prune(keep: number, always: string[]): Promise<string[]> {
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
