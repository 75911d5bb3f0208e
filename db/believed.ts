import { recoverWorkflowId } from '../domain/keys';
import { openAttempt } from '../domain/machines';
import { predecessorsOfEnd } from '../domain/predecessors';
import type { Observed } from '../domain/observed';
import type { Traces } from './amend';
import { databaseNow } from './clock';
import type { Db, Tx } from './connect';
import { NotOwner, rowKey, takeOver, type DeploymentRow } from './deployments';
import { knownIncarnation } from './installation';
import {
  signedAt,
  signSeen,
  whyNotSigned,
  type MadeBy,
  type Seen,
  type Signer,
  type StepEnd,
} from './signed';

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
 * In SQL, the names of those that have to be done. `d` is the attempt. What is not planned, or did not act, is not missed; nor is
 * anything of an attempt from before the database was restored: its record may have lost it.
 */
export const demandedOf = (names: string) => `
  SELECT n FROM d, unnest(${names}::text[]) n
   WHERE d.incarnation = current_incarnation()
     AND CASE
       WHEN n = 'build' THEN d.trigger <> 'rollback'
       WHEN n = 'migrate' THEN coalesce((d.plan ->> 'migrates')::boolean, false)
       WHEN n IN ('take-out', 'undo-migrate') THEN coalesce((d.plan ->> 'restoresData')::boolean, false) AND EXISTS (
         SELECT FROM deployment_steps s WHERE s.deployment = d.id AND s.name = 'migrate')
       WHEN n IN ('undo-swap', 'verify-rollback') THEN EXISTS (
         SELECT FROM deployment_steps s WHERE s.deployment = d.id AND s.name = 'swap' AND s.fence IS NOT NULL)
       ELSE true END`;

/** In SQL, whose ends count by their signature alone, each end, and what was made. `d` is the attempt. */
export const endsOf = `
  d.id, d.incarnation, d.signed AND d.incarnation = current_incarnation() AS signed, d.to_release AS release,
  (SELECT json_build_object('reference', reference, 'sha256', sha256, 'bytes', bytes, 'entries', entries)
     FROM backups WHERE deployment = d.id) AS backup,
  (SELECT coalesce(json_agg(json_build_object('name', name, 'round', round, 'attempt', attempt,
                                              'scheduled', scheduled, 'signature', signature)), '[]')
     FROM deployment_steps WHERE deployment = d.id AND status = 'done') AS ends`;
export interface Ends extends MadeBy {
  id: number;
  incarnation: string;
  signed: boolean;
  ends: StepEnd[];
}

/** The steps of which the record has an end that counts, and why others do not. */
export function believedOf(keys: Signer, row: Ends): { done: string[]; forged: Map<string, string> } {
  const forged = new Map<string, string>();
  for (const end of row.signed ? row.ends : []) {
    const why = whyNotSigned(keys, row, end, row);
    if (why) forged.set(end.name, why);
  }
  return { done: row.ends.map(({ name }) => name).filter((name) => !forged.has(name)), forged };
}

/** What a step or an end follows from is not in the record, or nobody signed it. */
export class NotDone extends NotOwner {
  constructor(
    readonly row: DeploymentRow,
    readonly missing: readonly string[],
    readonly forged: ReadonlyMap<string, string> = new Map(),
  ) {
    super(
      `${rowKey(row)}: the record does not have ${missing.join(', ')} as done${whyForged(missing, forged)}`,
    );
  }
}
const whyForged = (missing: readonly string[], forged: ReadonlyMap<string, string>) =>
  missing
    .filter((name) => forged.has(name))
    .map((name) => `; what it has of ${name} does not count, because ${forged.get(name)}`)
    .join('');

/** @throws NotDone. The attempt's row is locked by then. */
export async function demandDone(tx: Tx, keys: Signer, row: DeploymentRow, end: string): Promise<void> {
  const { rows } = await tx.raw(
    `WITH d AS (SELECT * FROM deployments WHERE id = ?), demanded AS (${demandedOf('?')})
     SELECT ARRAY(SELECT n FROM demanded) AS demanded, ${endsOf} FROM d`,
    [row.id, [...predecessorsOfEnd[end]!]],
  );
  const found = rows[0] as Ends & { demanded: string[] };
  const { done, forged } = believedOf(keys, found);
  const missing = found.demanded.filter((name) => !done.includes(name));
  if (missing.length > 0) throw new NotDone(row, missing, forged);
}

/**
 * A workflow believes done what the record does not have: somebody answered for a worker, or the record lost it. The attempt is
 * taken from it; reconcile begins its recovery, which looks at the target and finishes or undoes. One that is being recovered
 * already is left to that: it fails, and is begun again.
 */
export async function takeAway(db: Db, { row, missing, forged }: NotDone): Promise<void> {
  const recovery = recoverWorkflowId(row.promotion, row.attempt, await knownIncarnation(db));
  if (row.owner === recovery) return;
  const why = `${row.owner} went on as if ${missing.join(', ')} were done, which no worker has recorded; the answer did not come from one${whyForged(missing, forged)}. Its recovery looks at the target.`;
  await takeOver(db, row.id, recovery, row.run_id, why, row.owner);
  // What its recovery says of it.
  await db('deployments')
    .where({ id: row.id, owner: recovery })
    .whereIn('status', [...openAttempt])
    .update({ failure: why });
}

/** Notes what was seen on a target for the workflow that has the attempt. @returns false when it has not. */
export async function sighted(
  db: Db,
  keys: Signer,
  seen: { deployment: number; owner: string; what: 'traces' | 'live'; found: object },
): Promise<boolean> {
  const { deployment, owner, what } = seen;
  const found = JSON.stringify(seen.found);
  const at = await databaseNow(db);
  const said = { what, found: JSON.parse(found) as object, at };
  const { rowCount } = await db.raw(
    `INSERT INTO sightings (deployment, what, owner, found, signature)
     SELECT id, ?, owner, ?, ? FROM deployments WHERE id = ? AND owner = ? AND status = ANY (?)
     ON CONFLICT (deployment, what) DO UPDATE
       SET owner = EXCLUDED.owner, found = EXCLUDED.found, signature = EXCLUDED.signature, at = now()`,
    [
      what,
      found,
      JSON.stringify(signSeen(keys, deployment, owner, said)),
      deployment,
      owner,
      [...openAttempt],
    ],
  );
  return rowCount === 1;
}

const freshMs = 900_000;
async function lastSighting(db: Db, keys: Signer, deployment: number, owner: string, what: Seen['what']) {
  const row = (await db('sightings').where({ deployment, owner, what }).first('found', 'signature')) as
    { found: object; signature: object | null } | undefined;
  const at = row && signedAt(keys, deployment, owner, { what, ...row });
  return at !== undefined && (await databaseNow(db)) - at < freshMs ? row!.found : undefined;
}
const unseen =
  'No worker or runner has recorded what it saw there; one of an earlier version does not: update it';

export const sightedTraces = async (
  db: Db,
  keys: Signer,
  deployment: number,
  owner: string,
): Promise<Traces> =>
  ((await lastSighting(db, keys, deployment, owner, 'traces')) as Traces | undefined) ?? { acts: [], unseen };

export const sightedLive = async (db: Db, keys: Signer, deployment: number, owner: string) =>
  ((await lastSighting(db, keys, deployment, owner, 'live')) as Observed | undefined) ?? { refused: unseen };

/** What a workflow says became of its attempt. That somebody cancelled it is said only where the record has that word of theirs. */
export async function vouched(db: Db, deployment: number, said: string): Promise<string> {
  if (!said.startsWith('Cancelled by ')) return said;
  const words = await db('words').where({ deployment, kind: 'cancel' }).select('said_by');
  if (words.some(({ said_by }: { said_by: string }) => said.startsWith(`Cancelled by ${said_by}`)))
    return said;
  return 'Cancelled from Temporal, in the name of somebody who did not say so.';
}
