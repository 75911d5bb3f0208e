import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { failpoint } from '../domain/failpoint';
import { removeTree } from './archive';
import type { TargetDeps } from './deps';
import { createDriver } from './drivers/driver';
import { targetOf } from './step';

/** What an ended deployment leaves on the target's host, and what of it is kept. */
export interface Left {
  key: string;
  /** By which its files are called; not told by the previous version. */
  name?: string;
  target: string;
  /** Releases that stay, besides the newest ones: what is live, and what it would be rolled back to. */
  keep: string[];
  /** Its last fencing number; null when it acted under none, left out by workers of the previous version. */
  fence?: number | null;
  /** The file of its backup that counts. */
  backup: string | null;
  /** The database was restored since it began: the record may lack the one that counts, so that all that are whole stay. */
  restored?: boolean;
}

/** Being written, or unpacked to be proven. */
const unfinished = /\.(new|proof)$/;

/** Removes workspaces, what tries left that did not come to their end, and old releases. */
export async function tidyTarget(
  deps: Pick<TargetDeps, 'stateDir' | 'targets' | 'log'>,
  left: Left,
): Promise<void> {
  const { stateDir, log } = deps;
  const { name: mine = left.key } = left;
  const clear = async (folder: string, isLeft: (name: string) => boolean) => {
    const names = existsSync(folder) ? await readdir(folder) : [];
    for (const name of names.filter((name) => name.startsWith(`${mine}.`) && isLeft(name)))
      await removeTree(join(folder, name));
  };
  await removeTree(join(stateDir, 'work', left.key));
  await clear(join(stateDir, 'artifacts', left.target), (name) => name.endsWith('.new.tar'));
  await clear(join(stateDir, 'backups', left.target), (name) =>
    left.restored ? unfinished.test(name) : name !== basename(left.backup ?? ''),
  );
  // Only now: the target may be gone from its file.
  const { driver: config } = targetOf(deps, left.target);
  const driver = createDriver(config);
  await clear(driver.room, (name) => name.endsWith('.unpack'));
  // Nothing is live yet: nothing is known to be old. One that never acted made nothing old.
  if (left.keep.length === 0 || typeof left.fence !== 'number') return;
  await failpoint('tidy/prune');
  const removed = await driver.prune(config.keepReleases, left.keep, left.fence);
  if (removed.length > 0) log.info({ target: left.target, removed }, 'removed old releases');
}
