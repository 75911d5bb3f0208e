import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { attemptsUnderWay, referencesOf } from '../../db/backups';
import type { Db } from '../../db/connect';
import { nameOfAttempt } from '../../domain/incarnation';

/**
 * Backups on this host that the record does not have: it was restored to a time before them, or another Signalbox made
 * them. Nothing removes them, because one may be all that is left of what a migration changed.
 */
export interface Unrecorded {
  /** Of the attempt that made it, CP-7.1; another one may have that key by now. */
  key: string;
  target: string;
  reference: string;
  bytes: number;
  written: Date;
}

export async function unrecordedBackups(db: Db, stateDir: string, target: string): Promise<Unrecorded[]> {
  const room = join(stateDir, 'backups', target);
  // Before the record is asked: whoever is under way notes what it makes.
  const names = await readdir(room).catch(() => [] as string[]);
  if (names.length === 0) return [];
  const known = new Set((await referencesOf(db, target)).map((reference) => basename(reference)));
  const going = (await attemptsUnderWay(db, target)).map(({ key, origin }) => nameOfAttempt(key, origin));
  const found: Unrecorded[] = [];
  for (const name of names) {
    const [, attempt, key] = /^((CP-\d+\.\d+)[^.]*)\.backup-.*\.(?:tar\.gz|dump)$/.exec(name) ?? [];
    const reference = join(room, name);
    if (!attempt || known.has(name) || going.includes(attempt)) continue;
    const file = await stat(reference).catch(() => undefined);
    if (file) found.push({ key: key!, target, reference, bytes: file.size, written: file.mtime });
  }
  return found;
}
