import type { HostSandbox } from '../domain/sandbox';
import type { Db, Tx } from './connect';

/** What the hosts that do the steps of targets keep builds in, as workers and runners say it of their own. */
export interface HostRow {
  host: string;
  sandbox: HostSandbox;
}

/** A worker says what its host has. */
export async function noteWorker(db: Db, row: HostRow): Promise<void> {
  await db('workers')
    .insert({ ...row, seen_at: db.fn.now() })
    .onConflict('host')
    .merge();
}

const said = ['host', 'sandbox'];

/** Of workers: those that are there now, or were last. */
export const ofWorkers = async (tx: Tx): Promise<HostRow[]> =>
  (await tx('workers')
    .whereRaw("seen_at > (SELECT max(seen_at) FROM workers) - interval '2 minutes'")
    .orderBy('host')
    .select(said)) as HostRow[];

/** The same of a target's runners; one of an earlier version does not say it. */
export const ofRunners = async (tx: Tx, target: string): Promise<HostRow[]> =>
  (await tx('runners')
    .where({ target })
    .whereNotNull('sandbox')
    .whereRaw("seen_at > (SELECT max(seen_at) FROM runners WHERE target = ?) - interval '2 minutes'", [
      target,
    ])
    .orderBy('host')
    .select(said)) as HostRow[];
