import { open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ScheduleNotFoundError, type Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Db } from '../db/connect';
import { failpoint } from '../domain/failpoint';
import { incarnationNumber } from '../domain/incarnation';
import { whyNotFrom } from '../db/audit';
import { markNow, takeStock, type Mark } from '../db/installation';
import type { Keyring } from '../temporal-config/signing';
import { reconcileSchedule } from './schedules';

/**
 * Remembers outside of the database how far its audit trail had come: in the state directory, as it goes; with the heads
 * that are exported; and in Temporal, as the note of the schedule that reconciles. A database that lacks what one of them
 * knows was restored. API and workers look by this alone, at their start, then every second, whoever is there first.
 */
export interface Stocktaking {
  /** Looks whether the database is the one that it was; to be asked before anything is sealed. @returns whether it is. */
  take(): Promise<boolean>;
  /** Remembers in the state directory how far it has come; to be asked after anything is sealed. */
  remember(): Promise<Mark | undefined>;
  /** Remembers in Temporal how far it has come. @returns that, to be exported; undefined before the first seal, and for a trail that was written again. */
  mark(): Promise<Mark | undefined>;
}
/** Where that is remembered, and where heads are exported to. */
export interface Places {
  stateDir: string;
  headsFile: string;
}

export function createStocktaking(options: {
  db: Db;
  temporal: Client;
  places: Places;
  keyring: Pick<Keyring, 'sign' | 'whyForged'>;
  log: Logger;
}): Stocktaking {
  const { db, temporal, places, keyring, log } = options;
  let known: Mark | undefined;
  let looked = false;
  const schedule = temporal.schedule.getHandle(reconcileSchedule);

  const whyForged = (said: unknown) => keyring.whyForged('restored', 'audit', said);

  /**
   * A trail that was cut or written again while its server ran does not make it forget how far that had come.
   * @returns undefined before the first seal, and for one that contradicts what is known.
   */
  async function remember(): Promise<Mark | undefined> {
    const now = await markNow(db);
    const further = now && (known?.incarnation !== now.incarnation || now.seq >= known.seq);
    if (now && known && now.hash !== known.hash && (await whyNotFrom(db, known, whyForged))) return undefined;
    if (further && (now.hash !== known?.hash || now.started !== known.started)) {
      known = now;
      const file = markFileIn(places.stateDir);
      await writeFile(`${file}.new`, JSON.stringify(now), { mode: 0o600 });
      await rename(`${file}.new`, file);
    }
    return now;
  }

  return {
    remember,
    async take() {
      if (!looked) known = await knownMark(temporal, places);
      looked = true;
      const why = await takeStock(db, known, (what) => keyring.sign('restored', 'audit', what));
      if (why === undefined) {
        await remember();
        return true;
      }
      await failpoint('restored/noted');
      // What was known before belongs to a database that is gone.
      known = undefined;
      log.error(
        { why },
        'the database was restored or failed over; another incarnation of it began, see the audit trail',
      );
      // What Temporal began since ends, and what the record has goes on, now and not at the next turn.
      await schedule
        .trigger()
        .catch((thrown: unknown) => log.debug({ err: thrown }, 'reconcile comes later'));
      return false;
    },
    async mark() {
      const mark = await remember();
      if (!mark) return undefined;
      const note = JSON.stringify(mark);
      await schedule
        .update((old) => ({ ...old, state: { ...old.state, note } }))
        .catch((thrown: unknown) => log.debug({ err: thrown }, 'Temporal could not note the audit head'));
      return mark;
    },
  };
}

/** What is known outside of the database of how far its audit trail had come. */
export const knownMark = async (
  temporal: Client,
  { stateDir, headsFile }: Places,
): Promise<Mark | undefined> =>
  [
    await lastExported(markFileIn(stateDir)),
    await lastExported(headsFile),
    await inTemporal(temporal),
  ].reduce(latest);

const markFileIn = (stateDir: string) => join(stateDir, 'database-mark.json');

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
export async function lastExported(file: string): Promise<Mark | undefined> {
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
    const { installation, incarnation, seq, hash, started } = JSON.parse(text) as Partial<Mark>;
    if (typeof installation === 'string' && typeof incarnation === 'string' && seq && hash)
      return { installation, incarnation, seq, hash, ...(started ? { started } : {}) };
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
