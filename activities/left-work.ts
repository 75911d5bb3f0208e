import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { databaseNow } from '../db/clock';
import { findDeployment } from '../db/deployments';
import { messageOf } from '../domain/errors';
import { parseDeploymentKey } from '../domain/keys';
import { removeTree } from './archive';
import type { Deps } from './deps';
import { tidyingMs } from './left-runs';
import { reap } from './process';

/**
 * Ends and removes what attempts left on this host that nobody will tidy up after: the record does not know them, since the
 * database was restored, or their end is long past. @returns what was done, in plain words.
 */
export async function removeLeftWork({
  db,
  stateDir,
  log,
}: Pick<Deps, 'db' | 'stateDir' | 'log'>): Promise<string[]> {
  const folder = join(stateDir, 'work');
  const names = existsSync(folder) ? await readdir(folder) : [];
  const now = await databaseNow(db);
  const done: string[] = [];
  for (const key of names.filter((name) => /^CP-[1-9]\d{0,8}\.[1-9]\d{0,8}$/.test(name))) {
    Context.current().heartbeat();
    const { promotion, attempt } = parseDeploymentKey(key);
    const row = await findDeployment(db, promotion, attempt);
    if (row && !(row.finished_at && now - row.finished_at.getTime() > tidyingMs)) continue;
    await reap(join(folder, key));
    // One that cannot be removed keeps nothing else from being mended.
    const whyNot = await removeTree(join(folder, key)).catch(messageOf);
    if (whyNot !== undefined) {
      log.error({ folder: join(folder, key), why: whyNot }, 'a workspace that was left could not be removed');
      continue;
    }
    done.push(
      `The workspace that ${key} left was removed: ${row ? `it ended as ${row.status}` : 'the record does not have it'}.`,
    );
  }
  return done;
}
