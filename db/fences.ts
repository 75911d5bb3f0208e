import { recordAudit } from './audit';
import type { Tx } from './connect';

/** What a target itself holds: the highest fencing number that acted there, and who used it ("CP-7.1 swap"). */
export interface Held {
  fence: number;
  by: string | null;
}

/**
 * How far numbers go on above one that this record never gave out. Whoever gave it out (another Signalbox, or this one
 * before its database was restored) may have given out a few more that have not shown themselves at the target yet.
 */
export const leap = 1_000;

/**
 * The next fencing number of a target, above all that the record gave out and above what the target holds.
 * @param held read at the target; left out where the number is not used there.
 */
export async function raiseFence(tx: Tx, target: string, held?: Held): Promise<number> {
  const seen = held?.fence ?? 0;
  const { rows } = await tx.raw(
    `UPDATE targets t SET fence = CASE WHEN old.fence < CAST(:seen AS bigint) THEN CAST(:seen AS bigint) + CAST(:leap AS bigint) ELSE old.fence + 1 END,
            lost_fence = CASE WHEN old.fence < CAST(:seen AS bigint) THEN CAST(:seen AS bigint) ELSE lost_fence END
       FROM (SELECT name, fence FROM targets WHERE name = :target FOR NO KEY UPDATE) old WHERE t.name = old.name
     RETURNING t.fence, old.fence AS before`,
    { target, seen, leap },
  );
  const { fence, before } = rows[0] as { fence: number; before: number };
  if (before < seen)
    await recordAudit(tx, {
      actor: 'signalbox',
      action: 'target.fence-raised',
      subject: target,
      before: { fence: before },
      after: { fence },
      why: `${target} holds fencing number ${seen} (${held?.by ?? 'by whom it does not say'}), but this record had only reached ${before}: another Signalbox acted there, or the database was restored. Numbers go on from ${fence}.`,
    });
  return fence;
}
