import { basename } from 'node:path';
import type { Db } from '../db/connect';
import { readInstallation } from '../db/installation';
import type { Targets } from '../domain/config';
import { messageOf } from '../domain/errors';
import { idIn, incarnationOf, nameOfAttempt } from '../domain/incarnation';
import { sentences } from '../domain/sentences';
import { unrecordedBackups } from './backups/unrecorded';
import { createDriver } from './drivers/driver';
import { actsIn, isAct } from './drivers/numbers';

/**
 * What an attempt did that the record has lost: only the targets' own journals say it, and its backups lie where they were
 * made. Both stay as they are; whoever decides what becomes of the target has to hear of them.
 */
interface Where {
  db: Db;
  targets(): Targets;
  stateDir: string;
}

/** @param key of the attempt, CP-7.1. @returns in plain words, empty when this host shows nothing of it. */
export async function leftBehind(where: Where, workflowId: string, key: string): Promise<string> {
  if (!/^(deploy|recover)\//.test(workflowId)) return '';
  const { id } = await readInstallation(where.db);
  const origin = idIn(id.slice(0, 8), incarnationOf(workflowId));
  const said: string[] = [];
  for (const target of where.targets().values()) {
    if (target.runner) continue;
    const { name, driver } = target;
    try {
      const acts = actsIn(createDriver(driver).room, key, origin).filter(({ step }) => isAct(step));
      if (acts.length > 0)
        said.push(
          `It acted on ${name}: ${acts.map(({ step, at, fence }) => `${step} at ${at} (fence ${fence})`).join(', ')}`,
          `What it did there stays; look what ${name} runs and whether its data fits, then deploy again or "signalbox adopt ${name}"`,
        );
    } catch (thrown) {
      said.push(`Nobody can say what it did on ${name}: ${messageOf(thrown)}`);
    }
    const backups = await backupsOf(where, name, key, origin);
    if (backups.length > 0) said.push(`Its backup of ${name}, from before it acted: ${backups.join(', ')}`);
  }
  return sentences(...said);
}

/** Backups that an attempt made and the record does not name. @param origin as the target's journal has it. */
export async function backupsOf(
  { db, stateDir }: Pick<Where, 'db' | 'stateDir'>,
  target: string,
  key: string,
  origin: string,
): Promise<string[]> {
  const mine = `${nameOfAttempt(key, origin)}.`;
  const found = await unrecordedBackups(db, stateDir, target);
  return found.map(({ reference }) => reference).filter((file) => basename(file).startsWith(mine));
}
