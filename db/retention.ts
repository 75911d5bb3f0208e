import type { Db } from './connect';
import { recordAudit } from './audit';
import type { DeploymentRow } from './deployments';

/** What is kept of a deployment after it ended: the histories of its workflows, and its log, as long as policy says. */
export interface HistoryRow {
  workflow_id: string;
  run_id: string;
  /** JSON as Temporal's own tools read it, compressed with gzip; null: `why_none` says why not. */
  history: Buffer | null;
  why_none: string | null;
  kept_at: Date;
}

/** Attempts that have ended and whose workflows' histories are not kept yet, those that ended first before others. */
export const historiesToKeep = async (db: Db, limit: number): Promise<DeploymentRow[]> =>
  (await db('deployments')
    .whereNull('history_kept_at')
    .whereNotNull('finished_at')
    .orderBy('finished_at')
    .limit(limit)) as DeploymentRow[];

/** Keeps the histories of an attempt's workflows, all together. Two that do so side by side keep the same. */
export async function keepHistories(
  db: Db,
  deployment: number,
  histories: Pick<HistoryRow, 'workflow_id' | 'run_id' | 'history' | 'why_none'>[],
): Promise<void> {
  await db.transaction(async (tx) => {
    for (const history of histories)
      await tx('workflow_histories')
        .insert({ deployment, ...history })
        .onConflict(['deployment', 'workflow_id', 'run_id'])
        .ignore();
    await tx('deployments').where({ id: deployment }).update({ history_kept_at: tx.fn.now() });
  });
}

export const historiesOf = async (db: Db, deployment: number): Promise<HistoryRow[]> =>
  (await db('workflow_histories').where({ deployment }).orderBy('kept_at').orderBy('run_id')) as HistoryRow[];

/**
 * Drops logs of deployments that all ended so many days ago; the audit trail says so. @returns ids of the first and last of
 * each part.
 */
export async function dropLogs(db: Db, days: number): Promise<{ first: number; last: number }[]> {
  const { rows } = await db.raw('SELECT * FROM drop_logs(now() - make_interval(days => ?))', [days]);
  return rows as { first: number; last: number }[];
}

/** Removes histories that were kept for so many days. @returns how many. */
export async function dropHistories(db: Db, days: number): Promise<number> {
  return db.transaction(async (tx) => {
    const removed = await tx('workflow_histories')
      .whereNotNull('history')
      .whereRaw('kept_at < now() - make_interval(days => ?)', [days])
      .update({ history: null, why_none: `removed after ${days} days (retention.historyDays)` });
    if (removed > 0)
      await recordAudit(tx, {
        actor: 'signalbox',
        action: 'history.removed',
        subject: 'deployments',
        why: `${removed} histories of workflows that were kept for more than ${days} days (retention.historyDays).`,
      });
    return removed;
  });
}
