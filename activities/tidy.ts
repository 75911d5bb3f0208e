import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { failpoint } from '../domain/failpoint';
import { parseDeploymentKey } from '../domain/keys';
import type { Left } from '../db/left';
import { removeTree } from './archive';
import type { TargetDeps } from './deps';
import { driverOf, targetOf } from './step';

/** Being written, or unpacked to be proven. */
const unfinished = /\.(new|proof)$/;

/**
 * Removes workspaces, what tries left that did not come to their end, and old releases.
 * @param left as the record has it: it names what is removed.
 */
export async function tidyTarget(
  deps: Pick<TargetDeps, 'stateDir' | 'targets' | 'log' | 'sandbox'>,
  left: Left,
): Promise<void> {
  const { stateDir, log } = deps;
  const { name: mine = left.key } = left;
  const clear = async (folder: string, isLeft: (name: string) => boolean) => {
    const names = existsSync(folder) ? await readdir(folder) : [];
    for (const name of names.filter((name) => name.startsWith(`${mine}.`) && isLeft(name)))
      await removeTree(join(folder, name));
  };
  parseDeploymentKey(left.key);
  await removeTree(join(stateDir, 'work', left.key));
  await clear(join(stateDir, 'artifacts', left.target), (name) => name.endsWith('.new.tar'));
  await clear(join(stateDir, 'backups', left.target), (name) =>
    left.restored ? unfinished.test(name) : name !== basename(left.backup ?? ''),
  );
  // Only now: the target may be gone from its file.
  const target = targetOf(deps, left.target);
  const driver = driverOf(deps, target);
  await clear(driver.room, (name) => name.endsWith('.unpack'));
  // Nothing is live yet: nothing is known to be old. One that never acted made nothing old.
  if (left.keep.length === 0 || typeof left.fence !== 'number') return;
  await failpoint('tidy/prune');
  const removed = await driver.prune(target.driver.keepReleases, left.keep, left.fence);
  if (removed.length > 0) log.info({ target: left.target, removed }, 'removed old releases');
}
