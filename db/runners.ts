import type { TargetConfig } from '../domain/config';
import { openAttempt } from '../domain/machines';
import type { HostSandbox } from '../domain/sandbox';
import type { Db, Tx } from './connect';

/** Runners, as they tell of themselves by the API. */
export interface RunnerRow {
  target: string;
  id: string;
  host: string;
  version: string;
  started_at: Date;
  seen_at: Date;
  /** Digest of how it acts on its host; null: it does not say. */
  acts: string | null;
  /** What its host keeps builds in; null: it does not say. */
  sandbox: HostSandbox | null;
}

/** @returns whether it acts otherwise than when it was last heard of. */
export async function heardOf(db: Db, runner: Omit<RunnerRow, 'seen_at'>): Promise<boolean> {
  const before = (await db('runners').where({ target: runner.target, id: runner.id }).first('acts')) as
    Pick<RunnerRow, 'acts'> | undefined;
  await db('runners')
    .insert({ ...runner, seen_at: db.fn.now() })
    .onConflict(['target', 'id'])
    .merge();
  return before?.acts !== runner.acts;
}

/** How the runners of a target act that are there now, or were last: digests, the latest first. */
export async function actsOf(tx: Tx, { name, runner }: TargetConfig): Promise<string[]> {
  if (!runner) return [];
  const rows = (await tx('runners')
    .where({ target: name })
    .whereRaw("seen_at > (SELECT max(seen_at) FROM runners WHERE target = ?) - interval '1 minute'", [name])
    .orderBy('seen_at', 'desc')
    .select('acts')) as Pick<RunnerRow, 'acts'>[];
  return rows.map(({ acts }) => acts).filter((acts) => acts !== null);
}

/** Those heard of lately, the latest first. */
export const runnersOf = async (tx: Tx, target: string): Promise<RunnerRow[]> =>
  (await tx('runners')
    .where({ target })
    .whereRaw("seen_at > now() - interval '30 days'")
    .orderBy('seen_at', 'desc')
    .limit(10)) as RunnerRow[];

/** Records which runner does an attempt's steps from now on. @returns false when the attempt is not this workflow's. */
export const takenBy = async (db: Db, deployment: number, owner: string, runner: string): Promise<boolean> =>
  (await db('deployments')
    .where({ id: deployment, owner })
    .whereIn('status', [...openAttempt])
    .update({ runner })) === 1;
