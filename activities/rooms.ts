import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { isInside, removeTree } from './archive';

/**
 * What a target has in the state directory lies in rooms of its own. No path that came with an order or stands in the record
 * is removed, or put back into a target, unless it lies in the room where it must, by where its folders really lead.
 */
export async function liesIn(room: string, path: string): Promise<boolean> {
  if (!existsSync(room) || !existsSync(dirname(path))) return false;
  return isInside(await realpath(room), join(await realpath(dirname(path)), basename(path)));
}

/** Removes a file of the room; one that is gone already is removed. @returns false for a path that leads elsewhere. */
export async function removeFrom(room: string, path: string, log: Logger): Promise<boolean> {
  const elsewhere = existsSync(path) && !(await liesIn(room, path));
  if (elsewhere) log.error({ path, room }, 'not removed: it is not in the room where it would have to be');
  else await removeTree(path);
  return !elsewhere;
}
