import { recoverWorkflowId } from '../domain/keys';
import { openAttempt } from '../domain/machines';
import { predecessorsOfEnd } from '../domain/predecessors';
import type { Observed } from '../domain/observed';
import type { Traces } from './amend';
import type { Db, Tx } from './connect';
import { NotOwner, rowKey, takeOver, type DeploymentRow } from './deployments';
import { knownIncarnation } from './installation';

/**
 * What is believed of an attempt is what stands in its rows, and nothing that Temporal says a step has answered: whoever
 * reaches Temporal can answer for a worker.
 */

/** Notes what was planned, as its workflow is told it. */
export const planned = (
  db: Db,
  deployment: number,
  plan: NonNullable<DeploymentRow['plan']>,
  resumes?: boolean,
) =>
  db('deployments')
    .where({ id: deployment })
    .update({ plan: JSON.stringify(plan), ...(resumes === undefined ? {} : { resumes }) });

/**
 * In SQL, the names of those that are missing. `d` is the attempt. What is not planned, or did not act, is not missed; nor is
 * anything of an attempt from before the database was restored: its record may have lost it.
 */
export const missingOf = (names: string) => `
  SELECT n FROM d, unnest(${names}::text[]) n
   WHERE d.incarnation = current_incarnation()
     AND NOT EXISTS (SELECT FROM deployment_steps s WHERE s.deployment = d.id AND s.name = n AND s.status = 'done')
     AND CASE
       WHEN n = 'build' THEN d.trigger <> 'rollback'
       WHEN n = 'migrate' THEN coalesce((d.plan ->> 'migrates')::boolean, false)
       WHEN n IN ('take-out', 'undo-migrate') THEN d.migration_began AND coalesce((d.plan ->> 'restoresData')::boolean, false)
       WHEN n IN ('undo-swap', 'verify-rollback') THEN EXISTS (
         SELECT FROM deployment_steps s WHERE s.deployment = d.id AND s.name = 'swap' AND s.fence IS NOT NULL)
       ELSE true END`;

/** What an end follows from is not in the record. */
export class NotDone extends NotOwner {
  constructor(
    readonly row: DeploymentRow,
    readonly missing: readonly string[],
  ) {
    super(`${rowKey(row)}: the record does not have ${missing.join(', ')} as done`);
  }
}

/** @throws NotDone. The attempt's row is locked by then. */
export async function demandDone(tx: Tx, row: DeploymentRow, end: string): Promise<void> {
  const { rows } = await tx.raw(`WITH d AS (SELECT * FROM deployments WHERE id = ?) ${missingOf('?')}`, [
    row.id,
    [...predecessorsOfEnd[end]!],
  ]);
  if (rows.length > 0)
    throw new NotDone(
      row,
      (rows as { n: string }[]).map(({ n }) => n),
    );
}

/**
 * A workflow believes done what the record does not have: somebody answered for a worker, or the record lost it. The attempt is
 * taken from it; reconcile begins its recovery, which looks at the target and finishes or undoes. One that is being recovered
 * already is left to that: it fails, and is begun again.
 */
export async function takeAway(db: Db, { row, missing }: NotDone): Promise<void> {
  const recovery = recoverWorkflowId(row.promotion, row.attempt, await knownIncarnation(db));
  if (row.owner === recovery) return;
  await takeOver(
    db,
    row.id,
    recovery,
    row.run_id,
    `${row.owner} went on as if ${missing.join(', ')} were done, which no worker has recorded; the answer did not come from one. Its recovery looks at the target.`,
    row.owner,
  );
}

/** Notes what was seen on a target for the workflow that has the attempt. @returns false when it has not. */
export async function sighted(
  db: Db,
  seen: { deployment: number; owner: string; what: 'traces' | 'live'; found: object },
): Promise<boolean> {
  const { deployment, owner, what, found } = seen;
  const { rowCount } = await db.raw(
    `INSERT INTO sightings (deployment, what, owner, found)
     SELECT id, ?, owner, ? FROM deployments WHERE id = ? AND owner = ? AND status = ANY (?)
     ON CONFLICT (deployment, what) DO UPDATE SET owner = EXCLUDED.owner, found = EXCLUDED.found, at = now()`,
    [what, JSON.stringify(found), deployment, owner, [...openAttempt]],
  );
  return rowCount === 1;
}

async function lastSighting(db: Db, deployment: number, owner: string, what: 'traces' | 'live') {
  const row = await db('sightings')
    .where({ deployment, owner, what })
    .whereRaw("at > now() - interval '15 minutes'")
    .first('found');
  return (row as { found: object } | undefined)?.found;
}
const unseen =
  'No worker or runner has recorded what it saw there; one of an earlier version does not: update it';

export const sightedTraces = async (db: Db, deployment: number, owner: string): Promise<Traces> =>
  ((await lastSighting(db, deployment, owner, 'traces')) as Traces | undefined) ?? { acts: [], unseen };

export const sightedLive = async (db: Db, deployment: number, owner: string) =>
  ((await lastSighting(db, deployment, owner, 'live')) as Observed | undefined) ?? { refused: unseen };

/** What a workflow says became of its attempt. That somebody cancelled it is said only where the record has that word of theirs. */
export async function vouched(db: Db, deployment: number, said: string): Promise<string> {
  if (!said.startsWith('Cancelled by ')) return said;
  const words = await db('words').where({ deployment, kind: 'cancel' }).select('said_by');
  if (words.some(({ said_by }: { said_by: string }) => said.startsWith(`Cancelled by ${said_by}`)))
    return said;
  return 'Cancelled from Temporal, in the name of somebody who did not say so.';
}
