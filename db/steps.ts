import { predecessorsOf, type DeploymentStatus } from '../domain/machines';
import type { Db, Tx } from './connect';
import type { DeploymentRow } from './deployments';
import { raiseFence, type Held } from './fences';
import type { Attempt } from './journal';

/**
 * The journal of steps, and the lease on each. A try is (round, attempt): the round counts how often the
 * workflow asked for the step, the attempt is Temporal's. Only the newest try of the attempt's owner may act,
 * so a worker that was stopped and wakes up late is refused before it touches the target.
 *
 * What every step asks is prepared by the server under its name: planning took as long as running it.
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

const versionOf = (id: string) =>
  `(SELECT json_build_object('release', v.to_release, 'commit', vp.commit, 'revision', vp.revision)
      FROM deployments v JOIN promotions vp ON vp.id = v.promotion WHERE v.id = ${id} AND v.to_release IS NOT NULL)`;

/**
 * Opens the step for this try.
 * @param recipe digest of how the target builds, where the step runs.
 * @returns what the step may know; undefined when a newer try holds it or the attempt has moved on.
 */
export async function beginStep(db: Db, t: Try, recipe: string): Promise<Attempt | undefined> {
  const { rows } = await db
    .raw(
      `WITH d AS (SELECT * FROM deployments WHERE id = ? AND owner = ? AND status = ANY (?) FOR NO KEY UPDATE),
            opened AS (
              INSERT INTO deployment_steps (deployment, name, status, round, attempt)
              SELECT id, ?, 'running', ?::integer, ?::integer FROM d
              ON CONFLICT (deployment, name) DO UPDATE
                SET status = 'running', round = EXCLUDED.round, attempt = EXCLUDED.attempt, finished_at = NULL,
                    started_at = CASE WHEN deployment_steps.status = 'running'
                                      THEN deployment_steps.started_at ELSE now() END
              WHERE (deployment_steps.round, deployment_steps.attempt) <= (EXCLUDED.round, EXCLUDED.attempt)
              RETURNING deployment)
       SELECT d.trigger, p.commit, d.to_release AS release, d.from_release AS before, d.migration_began AS "migrationBegan",
              (SELECT digest FROM builds WHERE target = d.target AND commit = p.commit AND recipe = ?) AS built,
              (SELECT json_build_object('reference', reference, 'sha256', sha256, 'bytes', bytes, 'entries', entries)
                 FROM backups WHERE deployment = d.id) AS backup,
              ${versionOf('coalesce(d.restores, d.id)')} AS version, ${versionOf('d.from_deployment')} AS "versionBefore"
         FROM d JOIN opened ON opened.deployment = d.id JOIN promotions p ON p.id = d.promotion`,
      [t.deployment, t.owner, [...t.during], t.step, t.round, t.attempt, recipe],
    )
    .options({ name: 'begin-step' });
  return rows[0] as Attempt | undefined;
}

/**
 * A new, higher fencing number for this try's effect; undefined when the try no longer holds its step.
 * @param held what the target itself holds: the new number is above that, too.
 */
export async function takeFence(db: Db, t: Try, held?: Held): Promise<number | undefined> {
  return db
    .transaction(async (tx) => {
      const row = await stillOurs(tx, t);
      if (!row) throw new NotHeld();
      const fence = await raiseFence(tx, row.target, held);
      // Nothing of it stands when a newer try has the step.
      if ((await tx('deployment_steps').where(lease(t)).update({ fence })) !== 1) throw new NotHeld();
      await tx('deployments').where({ id: t.deployment }).update({ fence });
      return fence;
    })
    .catch((thrown: unknown) => {
      if (thrown instanceof NotHeld) return undefined;
      throw thrown;
    });
}
class NotHeld extends Error {}

/**
 * Closes the step and writes its last log line, in one statement; belongs into the transaction that records what
 * the step did. @returns false when a newer try holds the step, or a recovery the attempt: nothing was written.
 */
export async function finishStep(tx: Tx, t: Try, to: 'done' | 'failed', detail: string): Promise<boolean> {
  const { rowCount } = await tx
    .raw(
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
    )
    .options({ name: 'finish-step' });
  return rowCount === 1;
}

const lease = (t: Try) => ({ deployment: t.deployment, name: t.step, round: t.round, attempt: t.attempt });

async function stillOurs(tx: Tx, t: Try): Promise<DeploymentRow | undefined> {
  const row = (await tx('deployments').where({ id: t.deployment }).forNoKeyUpdate().first()) as
    DeploymentRow | undefined;
  return row?.owner === t.owner && t.during.includes(row.status) ? row : undefined;
}
