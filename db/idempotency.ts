import type { Db, Tx } from './connect';

/**
 * Remembered writes. `resource` is what a write was about to make (an attempt's number, a decision's id),
 * noted before it is sent, so that a retry after a lost answer looks for that and makes no second one.
 *
 * One request at a time works under a key. It says every now and then that it still does, so that a repeat waits for
 * its answer, and takes over soon after its process died.
 */
export interface Remembered {
  request: string;
  resource: string | null;
  status: number | null;
  response: unknown;
  /** Who works on it: a request's id. */
  holder: string | null;
  /** Milliseconds since the key was first used, by the database's clock. */
  age: number;
}
const heldSeconds = 6;
export const renewEveryMs = 2_000;
const keptDays = 7;
const atOnce = 5_000;

/** Claims a key for a request. @returns what is remembered of it, and who works on it: this request or another one. */
export async function claim(
  db: Db,
  person: string,
  key: string,
  request: string,
  holder: string,
): Promise<Remembered> {
  const { rows } = await db.raw(
    `INSERT INTO idempotency_keys AS k (person, key, request, holder, held_until)
     VALUES (:person, :key, :request, :holder, clock_timestamp() + make_interval(secs => :held))
     ON CONFLICT (person, key) DO UPDATE SET
       holder = CASE WHEN k.status IS NULL AND coalesce(k.held_until, '-infinity') < clock_timestamp()
                     THEN EXCLUDED.holder ELSE k.holder END,
       held_until = CASE WHEN k.status IS NULL AND coalesce(k.held_until, '-infinity') < clock_timestamp()
                         THEN EXCLUDED.held_until ELSE k.held_until END
     RETURNING *, (extract(epoch FROM clock_timestamp() - created_at) * 1000)::float AS age`,
    { person, key, request, holder, held: heldSeconds },
  );
  return rows[0] as Remembered;
}

/** Says that a request still works on it. */
export const renew = (db: Db, person: string, key: string, holder: string) =>
  db('idempotency_keys')
    .where({ person, key, holder })
    .update({ held_until: db.raw('clock_timestamp() + make_interval(secs => ?)', [heldSeconds]) });

export const remember = (tx: Tx, person: string, key: string, status: number, response: unknown) =>
  tx('idempotency_keys')
    .where({ person, key })
    .update({ status, response: JSON.stringify(response), holder: null, held_until: null });

/** Lets another request have it: it made nothing, or what it made is noted and its answer is made again from that. */
export async function release(
  db: Db,
  person: string,
  key: string,
  holder: string,
  forget: boolean,
): Promise<void> {
  const mine = { person, key, holder };
  const forgotten = forget
    ? await db('idempotency_keys').where(mine).whereNull('resource').whereNull('status').delete()
    : 0;
  if (forgotten === 0) await db('idempotency_keys').where(mine).update({ holder: null, held_until: null });
}

/** Drops answers that nobody asks for again. @returns how many. */
export async function dropAnswers(db: Db): Promise<number> {
  let dropped = 0;
  for (;;) {
    const { rowCount } = await db.raw(
      `DELETE FROM idempotency_keys WHERE (person, key) IN (
         SELECT person, key FROM idempotency_keys WHERE created_at < now() - make_interval(days => ?) LIMIT ?)`,
      [keptDays, atOnce],
    );
    dropped += rowCount as number;
    if (rowCount < atOnce) return dropped;
  }
}
