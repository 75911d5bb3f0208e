import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { failpoint } from '../../domain/failpoint';
import { removeTree, settle, unpack } from '../archive';

/** Unpacked releases, `releases/<digest>` below a target's root. */
export function releasesIn(root: string) {
  const releases = join(root, 'releases');
  return {
    folderOf: (release: string) => join(releases, release),
    async install(release: string, archive: () => Promise<string>, key: string): Promise<string> {
      const folder = join(releases, release);
      if (existsSync(folder)) return folder;
      // Shared with another try, it could be moved into place while that one still writes.
      const fresh = join(root, '.signalbox', `${key}.${randomUUID()}.unpack`);
      await mkdir(fresh, { recursive: true });
      try {
        await unpack(await archive(), fresh);
        await failpoint('unpack/middle');
        await settle(fresh, folder);
      } catch (thrown) {
        await removeTree(fresh);
        // Another try was faster; equal digests mean equal content.
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
