import { predecessorsOf, type DeploymentStatus } from '../domain/machines';
import type { Db, Tx } from './connect';
import { raiseFence, type DeploymentRow } from './deployments';

/**
 * The journal of steps, and the lease on each. A try is (round, attempt): the round counts how often the
 * workflow asked for the step, the attempt is Temporal's. Only the newest try of the attempt's owner may act,
 * so a worker that was stopped and wakes up late is refused before it touches the target.
 */
export interface Try {
  deployment: number;
  step: string;
  owner: string;
  round: number;
  attempt: number;
  /** In which states of the attempt the step may run. */
  during: readonly DeploymentStatus[];
}

/** Opens the step for this try. @returns the attempt; undefined when a newer try holds it or it has moved on. */
export async function beginStep(db: Db, t: Try): Promise<DeploymentRow | undefined> {
  const { rows } = await db.raw(
    `WITH ours AS (SELECT * FROM deployments WHERE id = ? AND owner = ? AND status = ANY (?) FOR NO KEY UPDATE),
          opened AS (
            INSERT INTO deployment_steps (deployment, name, status, round, attempt)
            SELECT id, ?, 'running', ?::integer, ?::integer FROM ours
            ON CONFLICT (deployment, name) DO UPDATE
              SET status = 'running', round = EXCLUDED.round, attempt = EXCLUDED.attempt, finished_at = NULL,
                  started_at = CASE WHEN deployment_steps.status = 'running'
                                    THEN deployment_steps.started_at ELSE now() END
            WHERE (deployment_steps.round, deployment_steps.attempt) <= (EXCLUDED.round, EXCLUDED.attempt)
            RETURNING deployment)
     SELECT ours.* FROM ours JOIN opened ON opened.deployment = ours.id`,
    [t.deployment, t.owner, [...t.during], t.step, t.round, t.attempt],
  );
  return rows[0] as DeploymentRow | undefined;
}

/** A new, higher fencing number for this try's effect; undefined when the try no longer holds its step. */
export async function takeFence(db: Db, t: Try): Promise<number | undefined> {
  return db.transaction(async (tx) => {
    const row = await stillOurs(tx, t);
    if (!row) return undefined;
    const fence = await raiseFence(tx, row.target);
    const held = await tx('deployment_steps').where(lease(t)).update({ fence });
    if (held !== 1) throw new Error(`step ${t.step} of deployment ${t.deployment} is held by a newer try`);
    await tx('deployments').where({ id: t.deployment }).update({ fence });
    return fence;
  });
}

/**
 * Closes the step and writes its last log line, in one statement; belongs into the transaction that records what
 * the step did. @returns false when a newer try holds the step, or a recovery the attempt: nothing was written.
 */
export async function finishStep(tx: Tx, t: Try, to: 'done' | 'failed', detail: string): Promise<boolean> {
  const { rowCount } = await tx.raw(
    `WITH closed AS (
            UPDATE deployment_steps s SET status = ?, detail = ?, finished_at = now()
              FROM deployments d
             WHERE s.deployment = ? AND s.name = ? AND s.round = ? AND s.attempt = ? AND s.status = ANY (?)
               AND d.id = s.deployment AND d.owner = ?
            RETURNING s.deployment),
          counted AS (
            UPDATE deployments SET log_seq = log_seq + 1 FROM closed WHERE id = closed.deployment
            RETURNING id, log_seq)
     INSERT INTO deployment_log (deployment, seq, at, step, stream, text)
     SELECT id, log_seq, now(), ?, 'note', ? FROM counted`,
    [
      to,
      detail,
      t.deployment,
      t.step,
      t.round,
      t.attempt,
      predecessorsOf('step', to),
      t.owner,
      t.step,
      `${t.step}: ${detail}`,
    ],
  );
  return rowCount === 1;
}

const lease = (t: Try) => ({ deployment: t.deployment, name: t.step, round: t.round, attempt: t.attempt });

async function stillOurs(tx: Tx, t: Try): Promise<DeploymentRow | undefined> {
  const row = (await tx('deployments').where({ id: t.deployment }).forNoKeyUpdate().first()) as DeploymentRow;
  return row.owner === t.owner && t.during.includes(row.status) ? row : undefined;
}
