import type { Tx } from './connect';

/**
 * The one clock that judges windows, overrides and deadlines of the record: the database's. Processes and Temporal have
 * clocks of their own, which may be wrong by any amount and differ from each other.
 * @returns milliseconds since 1970, now and not when the transaction began.
 */
export async function databaseNow(tx: Tx): Promise<number> {
  const { rows } = await tx.raw('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS now');
  return Math.floor(Number(rows[0].now));
}
