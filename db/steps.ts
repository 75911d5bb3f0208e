import { predecessorsOf, type DeploymentStatus } from '../domain/machines';
import { predecessors } from '../domain/predecessors';
import { believedOf, demandedOf, endsOf, NotDone, type Ends } from './believed';
import type { Db, Tx } from './connect';
import { deploymentById, rowKey, seen, type DeploymentRow } from './deployments';
import { bySignalbox } from './transition';
import { raiseFence, type Held } from './fences';
import { knownIncarnation, originOf } from './installation';
import type { Attempt } from './journal';
import type { Observed } from '../domain/observed';
import { isSignedBuilt, type Signer } from './signed';

/**
 * The journal of steps, and the lease on each. A try is (round, scheduled, attempt): the round counts how often the
 * workflow asked for the step, the others are Temporal's. Its count of attempts begins again when an operator resets the
 * activity or its workflow, so the time at which it asked for the try comes first. Only the newest try of the attempt's
 * owner may act, so a worker that was stopped and wakes up late is refused before it touches the target.
 *
 * What every step asks is prepared by the server under its name: planning took as long as running it.
 */
export interface Try {
  deployment: number;
  step: string;
  owner: string;
  round: number;
  attempt: number;
  /** When Temporal asked for this try, in ms since 1970 by its own clock; runners of the previous version do not say it. */
  scheduled?: number;
  /** In which states of the attempt the step may run. */
  during: readonly DeploymentStatus[];
}

const versionOf = (id: string) =>
  `(SELECT json_build_object('release', v.to_release, 'commit', vp.commit, 'revision', vp.revision)
      FROM deployments v JOIN promotions vp ON vp.id = v.promotion WHERE v.id = ${id} AND v.to_release IS NOT NULL)`;
/** The deployment whose release an undo returns to: by what was found live, else by what the record believed. */
const returnsTo = `CASE WHEN coalesce(d.drifted, d.observed) IS NULL THEN d.from_deployment
                        ELSE put_by(d.target, coalesce(d.drifted, d.observed)->>'release') END`;

type Found = Omit<Attempt, 'built'> &
  Ends & { opened: boolean; demanded: string[]; built: Parameters<typeof isSignedBuilt>[1] | null };

/**
 * Opens the step for this try.
 * @param recipe digest of how the target builds, where the step runs.
 * @returns what the step may know; undefined when the attempt has moved on; 'held' when a newer try has the step. Should
 * there be no newer one (a clock of Temporal's that went back), this one is asked for later, and then has it.
 * @throws NotDone when what it follows from is not in the record.
 */
export async function beginStep(
  db: Db,
  keys: Signer,
  t: Try,
  recipe: string,
): Promise<Attempt | 'held' | undefined> {
  const { rows } = await db
    .raw(
      `WITH d AS (SELECT * FROM deployments WHERE id = ? AND owner = ? AND status = ANY (?) FOR NO KEY UPDATE),
            demanded AS (${demandedOf('?')}),
            missing AS (
              SELECT n FROM demanded, d WHERE NOT EXISTS (
                SELECT FROM deployment_steps s WHERE s.deployment = d.id AND s.name = n AND s.status = 'done')),
            opened AS (
              INSERT INTO deployment_steps (deployment, name, status, round, attempt, scheduled)
              SELECT id, ?, 'running', ?::integer, ?::integer, ?::bigint FROM d WHERE NOT EXISTS (SELECT FROM missing)
              ON CONFLICT (deployment, name) DO UPDATE
                SET status = 'running', round = EXCLUDED.round, attempt = EXCLUDED.attempt,
                    scheduled = EXCLUDED.scheduled, finished_at = NULL,
                    -- Asked for again it begins anew: what it met before is over.
                    fault_message = CASE WHEN EXCLUDED.attempt > 1 THEN deployment_steps.fault_message END,
                    fault_since = CASE WHEN EXCLUDED.attempt > 1 THEN deployment_steps.fault_since END,
                    started_at = CASE WHEN deployment_steps.status = 'running'
                                      THEN deployment_steps.started_at ELSE now() END
              -- Where one of them does not say when it was asked for, the count alone decides, as it did.
              WHERE (deployment_steps.round,
                     CASE WHEN EXCLUDED.scheduled IS NULL THEN 0 ELSE coalesce(deployment_steps.scheduled, 0) END,
                     deployment_steps.attempt)
                 <= (EXCLUDED.round,
                     CASE WHEN deployment_steps.scheduled IS NULL THEN 0 ELSE coalesce(EXCLUDED.scheduled, 0) END,
                     EXCLUDED.attempt)
              RETURNING deployment)
       SELECT to_jsonb(ARRAY(SELECT n FROM demanded)) AS demanded, ${endsOf}, ${originOf('d')} AS origin, 'CP-' || d.promotion || '.' || d.attempt AS key, d.target, opened.deployment IS NOT NULL AS opened, d.trigger, p.commit, d.from_release AS before, d.migration_began AS "migrationBegan",
              d.observed, d.drifted, EXISTS (SELECT 1 FROM deployment_steps WHERE deployment = d.id AND name = 'take-out') AS "tookOut",
              CASE WHEN d.owner LIKE 'recover/%' THEN (SELECT lost_fence FROM targets WHERE name = d.target) END AS "lostUpTo",
              (SELECT json_build_object('target', target, 'commit', commit, 'recipe', recipe, 'digest', digest, 'signature', signature)
                 FROM builds WHERE target = d.target AND commit = p.commit AND recipe = ?) AS built,
              ${versionOf("CASE WHEN d.trigger = 'rollback' THEN d.restores ELSE d.id END")} AS version, ${versionOf(returnsTo)} AS "versionBefore"
         FROM d LEFT JOIN opened ON opened.deployment = d.id JOIN promotions p ON p.id = d.promotion`,
      [
        t.deployment,
        t.owner,
        [...t.during],
        [...(predecessors[t.step] ?? [])],
        t.step,
        t.round,
        t.attempt,
        t.scheduled ?? null,
        recipe,
      ],
    )
    .options({ name: 'begin-step' });
  if (!rows[0]) return undefined;
  const { opened, demanded, id, incarnation, signed, ends, built, ...attempt } = rows[0] as Found;
  const { done, forged } = believedOf(keys, { ...attempt, id, incarnation, signed, ends });
  const missing = demanded.filter((name) => !done.includes(name));
  if (missing.length > 0) throw new NotDone(await deploymentById(db, t.deployment), missing, forged);
  // What nobody signed is built anew.
  return opened
    ? { ...attempt, done, built: built && isSignedBuilt(keys, built) ? built.digest : null }
    : 'held';
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
      await knownIncarnation(tx);
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

/** Notes that data may change from now on; false when the try no longer holds its step: then it must not. */
export const migrationBegins = async (db: Db, t: Try): Promise<boolean> =>
  (await db('deployments')
    .where({ id: t.deployment, owner: t.owner })
    .whereIn('status', [...t.during])
    .whereExists(db('deployment_steps').where(lease(t)).select(db.raw('1')))
    .update({ migration_began: true })) === 1;

/** Takes that back: the command of this try did not run, and there was none before it. */
export async function migrationDidNotBegin(db: Db, t: Try): Promise<void> {
  await db('deployments')
    .where({ id: t.deployment, owner: t.owner })
    .whereIn('status', [...t.during])
    .whereExists(db('deployment_steps').where(lease(t)).select(db.raw('1')))
    .update({ migration_began: false });
}

/**
 * Writes what was live before the attempt acted, once: a later try, an undo or a recovery finds what stands there. Or what
 * somebody else put there meanwhile: there the latest counts.
 * @returns what stands in the record; undefined when the try no longer holds its step.
 */
export async function noteObserved(
  db: Db,
  t: Try,
  when: 'before' | 'meanwhile',
  live: Observed,
): Promise<Observed | undefined> {
  return db.transaction(async (tx) => {
    const row = await stillOurs(tx, t);
    if (
      !row ||
      !(await tx('deployment_steps')
        .where({ ...lease(t), status: 'running' })
        .first('name'))
    )
      return undefined;
    await tx('targets')
      .where({ name: row.target })
      .update(
        seen(tx, live, bySignalbox(`${rowKey(row)} looked at it before its ${t.step}`, row.request_id)),
      );
    if (when === 'meanwhile') {
      await tx('deployments')
        .where({ id: t.deployment })
        .update({ drifted: JSON.stringify(live) });
      return live;
    }
    if (row.observed) return row.observed;
    const release = live.kind === 'release' ? live.release : null;
    await tx('deployments')
      .where({ id: t.deployment })
      .update({
        observed: JSON.stringify(live),
        from_release: release,
        from_deployment: release && tx.raw('put_by(?, ?)', [row.target, release]),
      });
    return live;
  });
}

/**
 * Closes the step and writes its last log line, in one statement; belongs into the transaction that records what
 * the step did.
 * @param signature of the end, where it is done. @returns false when a newer try holds the step, or a recovery the attempt: nothing was written.
 */
export async function finishStep(
  tx: Tx,
  t: Try,
  to: 'done' | 'failed',
  detail: string,
  signature?: object,
): Promise<boolean> {
  const { rowCount } = await tx
    .raw(
      `WITH closed AS (
            UPDATE deployment_steps s SET status = ?, detail = ?, signature = ?::jsonb, finished_at = now()
              FROM deployments d
             WHERE s.deployment = ? AND s.name = ? AND s.round = ? AND s.attempt = ? AND s.scheduled IS NOT DISTINCT FROM ?::bigint
               AND s.status = ANY (?)
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
        signature ? JSON.stringify(signature) : null,
        t.deployment,
        t.step,
        t.round,
        t.attempt,
        t.scheduled ?? null,
        predecessorsOf('step', to),
        t.owner,
        t.step,
        `${t.step}: ${detail}`,
      ],
    )
    .options({ name: 'finish-step' });
  return rowCount === 1;
}

export interface Trouble {
  /** What it met, by the table of causes. */
  cause: string;
  message: string;
  /** Milliseconds from now until the next try. */
  nextTryMs: number;
}

/**
 * Notes on a step that is open why this try did not succeed.
 * @returns how often, and for how many milliseconds, its tries have met this cause in a row; undefined when a newer try
 * holds the step: nothing was written.
 */
export async function noteTrouble(
  db: Db,
  t: Try,
  { cause, message, nextTryMs }: Trouble,
): Promise<{ tries: number; forMs: number } | undefined> {
  const same = 'fault_cause = :cause AND fault_round = round AND fault_since IS NOT NULL';
  const { rows } = await db.raw(
    `UPDATE deployment_steps
        SET fault_tries = CASE WHEN ${same} THEN fault_tries + 1 ELSE 1 END,
            fault_since = CASE WHEN ${same} THEN fault_since ELSE now() END,
            fault_cause = :cause, fault_round = round, fault_message = :message,
            fault_next_at = now() + :nextTryMs * interval '1 millisecond'
      WHERE deployment = :deployment AND name = :step AND round = :round AND attempt = :attempt
        AND scheduled IS NOT DISTINCT FROM :scheduled AND status = 'running'
      RETURNING fault_tries AS tries, (extract(epoch FROM now() - fault_since) * 1000)::float8 AS "forMs"`,
    { cause, message, nextTryMs, ...t, scheduled: t.scheduled ?? null },
  );
  return rows[0] as { tries: number; forMs: number } | undefined;
}

/**
 * Notes that a try has gone on beyond what stopped those before.
 * @param kept causes that a later try may still meet at the same place: they are counted on.
 */
export async function noteOvercome(db: Db, t: Try, kept: readonly string[]): Promise<void> {
  await db.raw(
    `UPDATE deployment_steps
        SET fault_message = NULL, fault_since = CASE WHEN fault_cause = ANY (:kept) THEN fault_since END
      WHERE deployment = :deployment AND name = :step AND round = :round AND attempt = :attempt
        AND scheduled IS NOT DISTINCT FROM :scheduled AND fault_message IS NOT NULL`,
    { kept: [...kept], ...t, scheduled: t.scheduled ?? null },
  );
}

const lease = (t: Try) => ({
  deployment: t.deployment,
  name: t.step,
  round: t.round,
  attempt: t.attempt,
  scheduled: t.scheduled ?? null,
});

/** Whether a try has its step open, in an attempt that is still its workflow's. */
export const hasOpen = async (db: Db, t: Try): Promise<boolean> =>
  (await db('deployment_steps')
    .join('deployments', 'deployments.id', 'deployment_steps.deployment')
    .where({
      'deployment_steps.deployment': t.deployment,
      'deployment_steps.name': t.step,
      'deployment_steps.round': t.round,
      'deployment_steps.attempt': t.attempt,
      'deployment_steps.status': 'running',
      'deployments.owner': t.owner,
    })
    .whereRaw('scheduled IS NOT DISTINCT FROM ?::bigint', [t.scheduled ?? null])
    .whereIn('deployments.status', [...t.during])
    .first('name')) !== undefined;

async function stillOurs(tx: Tx, t: Try): Promise<DeploymentRow | undefined> {
  const row = (await tx('deployments').where({ id: t.deployment }).forNoKeyUpdate().first()) as
    DeploymentRow | undefined;
  return row?.owner === t.owner && t.during.includes(row.status) ? row : undefined;
}
