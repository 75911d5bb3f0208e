import { open } from 'node:fs/promises';
import { ScheduleNotFoundError, type Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Db } from '../db/connect';
import { incarnationNumber } from '../domain/incarnation';
import { readInstallation, takeStock, type Mark } from '../db/installation';
import type { Head } from '../db/audit';
import type { Keyring } from '../temporal-config/signing';
import { reconcileSchedule } from './schedules';

/**
 * Remembers outside of the database how far its audit trail had come: in the state directory, with the heads that are
 * exported, and in Temporal, as the note of the schedule that reconciles. A database that lacks what either of them
 * knows was restored.
 */
export interface Stocktaking {
  /** Looks whether the database is the one that it was; to be asked before anything is sealed. @returns whether it is. */
  take(): Promise<boolean>;
  /** Remembers in Temporal what was exported. @returns what belongs to the head, in the file. */
  mark(head: Head): Promise<Mark>;
}

export function createStocktaking(options: {
  db: Db;
  temporal: Client;
  file: string;
  keyring: Pick<Keyring, 'sign'>;
  log: Logger;
}): Stocktaking {
  const { db, temporal, file, keyring, log } = options;
  let known: Mark | undefined;
  let looked = false;
  const schedule = temporal.schedule.getHandle(reconcileSchedule);

  return {
    async take() {
      if (!looked) known = await knownMark(temporal, file);
      looked = true;
      const why = await takeStock(db, known, (what) => keyring.sign('restored', 'audit', what));
      if (why === undefined) return true;
      // What was exported before belongs to a database that is gone.
      known = undefined;
      log.error(
        { why },
        'the database was restored or failed over; another incarnation of it began, see the audit trail',
      );
      return false;
    },
    async mark(head) {
      const { id, incarnation } = await readInstallation(db);
      known = { installation: id, incarnation, ...head };
      const note = JSON.stringify(known);
      await schedule
        .update((old) => ({ ...old, state: { ...old.state, note } }))
        .catch((thrown: unknown) => log.debug({ err: thrown }, 'Temporal could not note the audit head'));
      return known;
    },
  };
}

/** What is known outside of the database of how far its audit trail had come. */
export const knownMark = async (temporal: Client, file: string): Promise<Mark | undefined> =>
  latest(await inFile(file), await inTemporal(temporal));

async function inTemporal(temporal: Client): Promise<Mark | undefined> {
  try {
    return markOf((await temporal.schedule.getHandle(reconcileSchedule).describe()).state.note ?? '');
  } catch (thrown) {
    if (thrown instanceof ScheduleNotFoundError) return undefined;
    throw thrown;
  }
}

const tailBytes = 4_096;

/** The last mark that was exported into the file. */
async function inFile(file: string): Promise<Mark | undefined> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (!handle) return undefined;
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.alloc(tailBytes),
      position: Math.max(0, size - tailBytes),
    });
    const lines = buffer.toString('utf8', 0, bytesRead).trim().split('\n');
    return markOf(lines.at(-1)!);
  } finally {
    await handle.close();
  }
}

/** Undefined for what an earlier version or somebody else wrote. */
function markOf(text: string): Mark | undefined {
  try {
    const { installation, incarnation, seq, hash } = JSON.parse(text) as Partial<Mark>;
    if (typeof installation === 'string' && typeof incarnation === 'string' && seq && hash)
      return { installation, incarnation, seq, hash };
  } catch {
    // No mark.
  }
  return undefined;
}

/** The one of the later incarnation, and of those the one that had come further. */
function latest(one: Mark | undefined, other: Mark | undefined): Mark | undefined {
  if (!one || !other) return one ?? other;
  const [a, b] = [one, other].map(({ incarnation }) => incarnationNumber(incarnation));
  return a! > b! || (a === b && one.seq >= other.seq) ? one : other;
}
