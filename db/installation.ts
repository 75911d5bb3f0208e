import { randomBytes } from 'node:crypto';
import { failpoint } from '../domain/failpoint';
import { incarnationNumber, nextIncarnation, whyMoved, type Place } from '../domain/incarnation';
import {
  auditHead,
  hashAt,
  recordAudit,
  restoredAction,
  restoresSaid,
  type Head,
  type Restored,
} from './audit';
import type { Db, Tx } from './connect';
import { highestFence, leap } from './fences';
import { sentences } from '../domain/sentences';

/**
 * Whether the database is still the one that it was. Signalbox also keeps outside of it how far the audit trail had
 * come (in the state directory and in Temporal); a database that is behind that was restored, whatever it says itself.
 */
export interface Installation {
  id: string;
  incarnation: string;
  place: Place | null;
  since: Date;
  /** Where its rows are now. */
  now: Place;
}

/** How far the trail had come: its head, in which incarnation of which installation. */
export interface Mark extends Head {
  installation: string;
  incarnation: string;
  /** When the server was started that had it; versions before did not say it. */
  started?: string;
}

export type SignRestored = (what: Restored) => object;

/** Nobody has looked yet whether the database is the one that it was: nothing begins until then. */
export class DatabaseMoved extends Error {
  constructor(why: string | undefined) {
    super(
      why === undefined
        ? 'PostgreSQL was started again; API or worker look within seconds whether it is the database that it was.'
        : `PostgreSQL was restored or failed over (${why}); API or worker take note of it within seconds.`,
    );
  }
}

export async function readInstallation(tx: Tx): Promise<Installation> {
  const { rows } = await tx.raw(
    'SELECT id, incarnation, place, since, place_of_rows() AS now FROM installation',
  );
  return rows[0] as Installation;
}

/** Which Signalbox an attempt belongs to, in which incarnation of its database: the target's journal says it. */
export const originOf = (deployment: string) =>
  `(SELECT left(id::text, 8) || CASE ${deployment}.incarnation WHEN '' THEN '' ELSE '~' || ${deployment}.incarnation END FROM installation)`;

/** The incarnation under which something begins now. @throws DatabaseMoved */
export async function knownIncarnation(tx: Tx): Promise<string> {
  const { incarnation, place, now } = await readInstallation(tx);
  // A copy of the disk lies where the database lay; that it was put back shows only to who looks.
  if (place && (whyMoved(place, now) || place.started !== now.started))
    throw new DatabaseMoved(whyMoved(place, now));
  return incarnation;
}

interface Compared {
  found: Installation;
  /** Whether the audit trail lacks what was exported, as it does after a restore. */
  behind: boolean;
  /** Whether its server was started since somebody last looked. */
  restarted: boolean;
  /** Why the database is another one, in plain words, which no incarnation accounts for yet. */
  why?: string;
}
/** Compares the database with what is known of it. @param mark what is known to have been exported. */
export async function compare(tx: Tx, mark: Mark | undefined): Promise<Compared> {
  const found = await readInstallation(tx);
  const moved = found.place && whyMoved(found.place, found.now);
  const noted =
    mark !== undefined && incarnationNumber(mark.incarnation) < incarnationNumber(found.incarnation);
  const restarted = found.place?.started !== found.now.started;
  // Somebody looked since it was started, but knew of less.
  const overlooked =
    mark?.started !== undefined &&
    mark.started !== found.now.started &&
    mark.seq > (found.place?.head ?? Infinity);
  // A copy of the disk is put back while the server is stopped. What goes missing while it runs was deleted: no restore
  // explains that, and `audit verify` says that the tail was cut off.
  const behind = (moved || noted || restarted || overlooked) && (await isBehind(tx, mark));
  const known = { found, behind: Boolean(behind), restarted };
  if (!moved && (!behind || noted)) return known;
  const lost = behind ? `it lacks entry ${mark!.seq} of the audit trail, which was exported` : undefined;
  return { ...known, why: [moved, lost].filter(Boolean).join('; ') };
}

/**
 * Looks whether the database is the one that it was, and begins another incarnation when it is not: numbers given out
 * before are passed, what was to be sent is handed over again, and the audit trail says from where it goes on.
 * @param mark what this process knows to have been exported.
 * @returns why it is another one, in plain words; undefined when it is the same.
 */
export async function takeStock(
  db: Db,
  mark: Mark | undefined,
  sign: SignRestored,
): Promise<string | undefined> {
  const before = await compare(db, mark);
  if (!before.restarted && !before.why && !before.behind) return undefined;
  return db.transaction(async (tx) => {
    await tx('installation').forUpdate().first('only_row');
    const { found, behind, why } = await compare(tx, mark);
    const head = (await auditHead(tx)) ?? null;
    const place = JSON.stringify({ ...found.now, head: head?.seq ?? 0 });
    if (!why) {
      await tx('installation').update({ place });
      if (behind) await noteLost(tx, mark!, sign);
      return undefined;
    }
    const incarnation = nextIncarnation(
      randomBytes(3).toString('hex'),
      found.incarnation,
      mark?.incarnation ?? found.incarnation,
    );
    await tx('installation').update({
      incarnation,
      place,
      since: tx.fn.now(),
    });
    // Who still acts under a number from before has lost, also if it has not shown itself at its target yet.
    const above = `least(greatest(fence, lost_fence) + ${leap}, ${highestFence})`;
    const passed = tx.raw(above);
    const moved = tx.raw(
      `jsonb_build_object('by', 'signalbox', 'why', format('The database was restored or failed over, and may have given out fencing numbers that it has lost. Those of %s go on above %s; what still acts there under one from before is refused once a higher one has acted.', name, ${above}))`,
    );
    await tx('targets').update({ fence: passed, lost_fence: passed, moved });
    await tx('deliveries').where({ status: 'pending' }).update({ handed_over: false, incarnation });
    await tx('window_revision').update({ stamp: tx.raw('gen_random_uuid()') });
    await say(
      tx,
      { installation: found.id, incarnation, head, lost: behind ? headOf(mark!) : null },
      sign,
      sentences(`The database is not what it was: ${why}`, `From here on it is incarnation ${incarnation}`),
      { incarnation: found.incarnation, place: found.place },
    );
    await failpoint('restored/middle');
    return why;
  });
}

const headOf = ({ seq, hash }: Head): Head => ({ seq, hash });

/** How far the database has come now; undefined before the first seal. */
export async function markNow(db: Db): Promise<Mark | undefined> {
  const head = await auditHead(db);
  const { id: installation, incarnation, now } = await readInstallation(db);
  return head && { installation, incarnation, started: now.started, ...headOf(head) };
}

/** Whether the trail lacks what was exported. */
async function isBehind(tx: Tx, mark: Mark | undefined): Promise<boolean> {
  return mark !== undefined && (await hashAt(tx, mark.seq)) !== mark.hash;
}

/** Another worker noted the restore, and knew of fewer entries that are gone than this one. */
async function noteLost(tx: Tx, mark: Mark, sign: SignRestored): Promise<void> {
  const noted = await restores(tx);
  const last = noted.at(-1);
  if (!last || noted.some(({ lost }) => lost && lost.seq >= mark.seq)) return;
  await say(
    tx,
    { ...last, lost: headOf(mark) },
    sign,
    `Of what the database lacks since incarnation ${last.incarnation}, entry ${mark.seq} had been exported too.`,
  );
}

const say = (tx: Tx, what: Restored, sign: SignRestored, why: string, before?: object) =>
  recordAudit(tx, {
    actor: 'signalbox',
    action: restoredAction,
    subject: 'database',
    before,
    after: sign(what),
    why,
  });

async function restores(tx: Tx): Promise<Restored[]> {
  return (await restoresSaid(tx)).map(({ entry }) => {
    const { installation, incarnation, head, lost } = (JSON.parse(entry) as { after: Restored }).after;
    return { installation, incarnation, head, lost };
  });
}
