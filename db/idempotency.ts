import type { Db, Tx } from './connect';

/**
 * Remembered writes. `resource` is what a write was about to make (an attempt's number, a decision's id),
 * noted before it is sent, so that a retry after a lost answer looks for that and makes no second one.
 */
export interface Remembered {
  request: string;
  resource: string | null;
  status: number | null;
  response: unknown;
  /** Milliseconds since the key was first used, by the database's clock. */
  age: number;
}

/** Claims a key for a request. @returns what is remembered of it: empty for a first use. */
export async function claim(db: Db, person: string, key: string, request: string): Promise<Remembered> {
  const { rows } = await db.raw(
    // The update changes nothing; it makes the statement answer the row that was there.
    `INSERT INTO idempotency_keys (person, key, request) VALUES (?, ?, ?)
     ON CONFLICT (person, key) DO UPDATE SET key = EXCLUDED.key
     RETURNING *, (extract(epoch FROM clock_timestamp() - created_at) * 1000)::float AS age`,
    [person, key, request],
  );
  return rows[0] as Remembered;
}

export const remember = (tx: Tx, person: string, key: string, status: number, response: unknown) =>
  tx('idempotency_keys')
    .where({ person, key })
    .update({ status, response: JSON.stringify(response) });

export const forget = (db: Db, person: string, key: string) =>
  db('idempotency_keys').where({ person, key }).whereNull('resource').whereNull('status').delete();
