import type { DeploymentStatus } from '../domain/machines';
import type { Db } from './connect';

/** What monitoring asks of the record: counts and ages, read in one statement each time it is asked. */
export interface Figures {
  /** Attempts of each target by their status, ended ones included. */
  deployments: { target: string; status: DeploymentStatus; count: number }[];
  /** Of each target with attempts in its queue: seconds that the one which is next has waited. */
  queues: { target: string; seconds: number }[];
  /** Change requests that wait for approvers, and seconds that the oldest has. */
  approvals: { count: number; seconds: number };
  reviewsOverdue: number;
  /** Notifications that were given up. */
  undeliverable: number;
  /** Entries of the audit trail that have no seal yet: seconds since the oldest was written. */
  unsealedSeconds: number;
  /** Of the attempts that hold a lane: seconds since the one compared with Temporal longest ago was; 0 without any. */
  unsweptSeconds: number;
}

export async function readFigures(db: Db): Promise<Figures> {
  const { rows } = await db.raw(`
    SELECT (SELECT coalesce(json_agg(d), '[]') FROM
              (SELECT target, status, count(*)::int AS count FROM deployments GROUP BY 1, 2 ORDER BY 1, 2) d) AS deployments,
           (SELECT coalesce(json_agg(q), '[]') FROM
              (SELECT target, extract(epoch FROM now() - min(created_at))::float8 AS seconds
                 FROM deployments WHERE status = 'queued' GROUP BY 1 ORDER BY 1) q) AS queues,
           (SELECT json_build_object('count', count(*), 'seconds', coalesce(extract(epoch FROM now() - min(submitted_at)), 0))
              FROM change_requests WHERE status = 'submitted') AS approvals,
           (SELECT count(*)::int FROM change_requests WHERE status = 'in-progress' AND review_overdue_at IS NOT NULL) AS "reviewsOverdue",
           (SELECT count(*)::int FROM deliveries WHERE status = 'undeliverable') AS undeliverable,
           (SELECT coalesce(extract(epoch FROM now() - min(at::timestamptz)), 0)::float8 FROM audit WHERE seq IS NULL) AS "unsealedSeconds",
           (SELECT coalesce(extract(epoch FROM now() - min(greatest(swept_at, created_at))), 0)::float8
              FROM deployments WHERE status IN ('running', 'rolling-back', 'rollback-failed')) AS "unsweptSeconds"`);
  return rows[0] as Figures;
}
