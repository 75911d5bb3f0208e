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

/** Opens the step for this try. @returns false when a newer try holds it or the attempt has moved on. */
export async function beginStep(db: Db, t: Try): Promise<boolean> {
  return db.transaction(async (tx) => {
    if (!(await stillOurs(tx, t))) return false;
    const opened = await tx.raw(
      `INSERT INTO deployment_steps (deployment, name, status, round, attempt) VALUES (?, ?, 'running', ?, ?)
       ON CONFLICT (deployment, name) DO UPDATE
         SET status = 'running', round = EXCLUDED.round, attempt = EXCLUDED.attempt, finished_at = NULL,
             started_at = CASE WHEN deployment_steps.status = 'running' THEN deployment_steps.started_at ELSE now() END
       WHERE (deployment_steps.round, deployment_steps.attempt) <= (EXCLUDED.round, EXCLUDED.attempt)`,
      [t.deployment, t.step, t.round, t.attempt],
    );
    return opened.rowCount === 1;
  });
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

/** Closes the step; belongs into the transaction that records what it did. */
export async function finishStep(tx: Tx, t: Try, to: 'done' | 'failed', detail: string): Promise<boolean> {
  const closed = await tx('deployment_steps')
    .where(lease(t))
    .whereIn('status', predecessorsOf('step', to))
    .update({ status: to, detail, finished_at: tx.fn.now() });
  return closed === 1;
}

const lease = (t: Try) => ({ deployment: t.deployment, name: t.step, round: t.round, attempt: t.attempt });

async function stillOurs(tx: Tx, t: Try): Promise<DeploymentRow | undefined> {
  const row = (await tx('deployments').where({ id: t.deployment }).forUpdate().first()) as DeploymentRow;
  return row.owner === t.owner && t.during.includes(row.status) ? row : undefined;
}
