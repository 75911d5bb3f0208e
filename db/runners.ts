import type { Db, Tx } from './connect';

/** Runners, as they tell of themselves by the API. */
export interface RunnerRow {
  target: string;
  id: string;
  host: string;
  version: string;
  started_at: Date;
  seen_at: Date;
}

export const heardOf = (db: Db, runner: Omit<RunnerRow, 'seen_at'>) =>
  db('runners')
    .insert({ ...runner, seen_at: db.fn.now() })
    .onConflict(['target', 'id'])
    .merge();

/** Those heard of lately, the latest first. */
export const runnersOf = async (tx: Tx, target: string): Promise<RunnerRow[]> =>
  (await tx('runners')
    .where({ target })
    .whereRaw("seen_at > now() - interval '30 days'")
    .orderBy('seen_at', 'desc')
    .limit(10)) as RunnerRow[];

/** Records which runner does an attempt's steps from now on. @returns false when the attempt is not this workflow's. */
export const takenBy = async (db: Db, deployment: number, owner: string, runner: string): Promise<boolean> =>
  (await db('deployments').where({ id: deployment, owner }).update({ runner })) === 1;
