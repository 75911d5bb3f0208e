import type { DeploymentFact } from '../domain/delivery-metrics';
import { deploymentKey } from '../domain/keys';
import type { ChangeType, DeploymentStatus, Trigger } from '../domain/machines';
import type { Db } from './connect';

interface Row {
  promotion: number;
  attempt: number;
  title: string;
  target: string;
  trigger: Trigger;
  status: DeploymentStatus;
  type: ChangeType;
  ended_at: Date;
  swapped_at: Date | null;
  lead_ms: number | null;
  undone_at: Date | null;
}

/** The deployments that ended in [from, to), the newest first. @param target left out: on any. */
export async function deploymentFacts(
  db: Db,
  from: Date,
  to: Date,
  target?: string,
): Promise<DeploymentFact[]> {
  const { rows } = await db.raw(
    `SELECT d.promotion, d.attempt, p.title, d.target, d.trigger, d.status, c.type, d.ended_at,
            (SELECT s.started_at FROM deployment_steps s WHERE s.deployment = d.id AND s.name = 'swap') AS swapped_at,
            -- A version before did not note when its commits were made; then it is since they were shipped.
            (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM
                      d.ended_at - coalesce((made.by_commit ->> 'committedAt')::timestamptz, p.shipped_at)) * 1000)
               FROM jsonb_array_elements(CASE WHEN c.commits = '[]' THEN '[{}]' ELSE c.commits END) AS made (by_commit)) AS lead_ms,
            (SELECT min(u.finished_at) FROM deployments u
              WHERE u.promotion = d.promotion AND u.trigger = 'rollback' AND u.status = 'succeeded' AND u.id > d.id
                AND d.trigger <> 'rollback' AND d.status = 'succeeded') AS undone_at
       FROM (SELECT *, coalesce(finished_at, updated_at) AS ended_at FROM deployments
              WHERE (finished_at >= ? AND finished_at < ?) OR
                    (status = 'rollback-failed' AND updated_at >= ? AND updated_at < ?)) AS d
       JOIN promotions p ON p.id = d.promotion JOIN change_requests c ON c.id = p.id
      WHERE d.started_at IS NOT NULL AND ? IN (d.target, '')
      ORDER BY d.ended_at DESC, d.id DESC`,
    [from, to, from, to, target ?? ''],
  );
  return (rows as Row[]).map((row) => ({
    key: deploymentKey(row.promotion, row.attempt),
    title: row.title,
    target: row.target,
    trigger: row.trigger,
    status: row.status,
    type: row.type,
    endedAt: row.ended_at.getTime(),
    swappedAt: row.swapped_at?.getTime() ?? null,
    leadMs: row.lead_ms === null ? null : Math.max(0, Math.round(row.lead_ms)),
    undoneAt: row.undone_at?.getTime() ?? null,
  }));
}
