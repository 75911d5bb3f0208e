import { inWords, type Observed } from '../domain/observed';
import { laneHolder } from './backups';
import type { Db, Tx } from './connect';
import { rowKey, setLive } from './deployments';
import { raiseFence } from './fences';

/** Taking what is live into the record: each has a row, which says in the end what became of it. */
export interface Adoption {
  id: string;
  target: string;
  /** Under which number it acts on the target. */
  fence: number;
}
interface Asked {
  id: string;
  target: string;
  by: string;
  reason: string;
  request?: string;
}
export interface AdoptionRow extends Adoption {
  adopted_by: string;
  reason: string;
  adopted: boolean | null;
  /** What was found or made live, by the worker that did it. */
  live: Observed | null;
  outcome: string | null;
  request_id: string | null;
}

export const findAdoption = async (tx: Tx, id: string) =>
  (await tx('adoptions').where({ id }).first()) as AdoptionRow | undefined;

/** Why a target's record is not touched now; undefined when it may be. The target's row is locked by then. */
async function whyHeld(tx: Tx, target: string): Promise<string | undefined> {
  const holder = await laneHolder(tx as Db, target);
  if (!holder) return undefined;
  return holder.status === 'rollback-failed'
    ? `The rollback of ${rowKey(holder)} has failed; resolve it with accept, which takes what is live into the record.`
    : `${rowKey(holder)} is ${holder.status} on ${target}; adopt once it has ended.`;
}

/** Repeating it finds the row that was written. @param refusal why it may not be, if so. */
export const beginAdoption = (
  db: Db,
  { id, target, by, reason, request }: Asked,
  refusal: string | undefined,
): Promise<Adoption | { refused: string }> =>
  db.transaction(async (tx) => {
    await tx('targets').where({ name: target }).forNoKeyUpdate().first('name');
    const before = await findAdoption(tx, id);
    if (before) return before.outcome === null ? before : { refused: before.outcome };
    const refused = refusal ?? (await whyHeld(tx, target));
    const fence = await raiseFence(tx, target);
    await tx('adoptions').insert({
      id,
      target,
      adopted_by: by,
      reason,
      fence,
      request_id: request ?? null,
      ...(refused ? { adopted: false, outcome: refused, ended_at: tx.fn.now() } : {}),
    });
    return refused ? { refused } : { id, target, fence };
  });

export const foundLive = (db: Db, id: string, live: Observed) =>
  db('adoptions')
    .where({ id })
    .whereNull('outcome')
    .update({ live: JSON.stringify(live) });

/** The last word; repeating it changes nothing. @returns it in plain words. */
export const endAdoption = (db: Db, { id, target }: Adoption, ended: object | { refused: string }) =>
  db.transaction(async (tx): Promise<string> => {
    const { fence: now } = (await tx('targets').where({ name: target }).forNoKeyUpdate().first('fence')) as {
      fence: number;
    };
    const row = await findAdoption(tx, id);
    if (!row)
      return `Nothing was adopted. The record has no such adoption: the database was restored from before it. Adopt again.`;
    if (row.outcome !== null) return row.outcome;
    const refused =
      'refused' in ended
        ? String(ended.refused)
        : ((await whyHeld(tx, target)) ??
          (row.live ? undefined : `No worker recorded what ${target} runs; adopt again.`) ??
          (now === row.fence ? undefined : `A deployment acted on ${target} meanwhile; adopt again.`));
    const outcome = refused
      ? `Nothing was adopted. ${refused}`
      : `Adopted: ${target} runs ${inWords(row.live!)}.`;
    await tx('adoptions')
      .where({ id })
      .update({
        adopted: !refused,
        outcome,
        ...(refused ? { live: null } : {}),
        ended_at: tx.fn.now(),
      });
    if (!refused)
      await setLive(tx, target, row.live!, { by: row.adopted_by, why: row.reason, request: row.request_id });
    return outcome;
  });
