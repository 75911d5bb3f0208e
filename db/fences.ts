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

/** As the database bounds them. */
export const highestFence = 1_000_000_000_000;

/**
 * The next fencing number of a target, above all that the record gave out and above what the target holds.
 * @param held read at the target; left out where the number is not used there. @throws when none is left.
 */
export async function raiseFence(tx: Tx, target: string, held?: Held): Promise<number> {
  const seen = held?.fence ?? 0;
  const by = held?.by ?? 'by whom it does not say';
  const { rows } = await tx
    .raw(
      `UPDATE targets t SET fence = CASE WHEN old.fence < CAST(:seen AS bigint) THEN CAST(:seen AS bigint) + CAST(:leap AS bigint) ELSE old.fence + 1 END,
            lost_fence = CASE WHEN old.fence < CAST(:seen AS bigint) THEN CAST(:seen AS bigint) ELSE lost_fence END,
            moved = jsonb_build_object('by', 'signalbox', 'why', format(
              '%s holds fencing number %s (%s), but this record had only reached %s: another Signalbox acted there, or the database was restored. Numbers go on from %s.',
              t.name, CAST(:seen AS bigint), CAST(:by AS text), old.fence, CAST(:seen AS bigint) + CAST(:leap AS bigint)))
       FROM (SELECT name, fence FROM targets WHERE name = :target FOR NO KEY UPDATE) old WHERE t.name = old.name
     RETURNING t.fence`,
      { target, seen, leap, by },
    )
    .catch((thrown: unknown) => {
      const { code, constraint } = thrown as { code?: string; constraint?: string };
      // Out of a bigint it is out of range; beyond the bound it breaks that.
      if (code !== '22003' && constraint !== 'targets_fence') throw thrown;
      throw new Error(
        `${target} has no fencing number left: the record or the target says that numbers up to ${highestFence} were used, which nobody gives out. Nothing was changed; "signalbox doctor" says what to do`,
        { cause: thrown },
      );
    });
  return (rows[0] as { fence: number }).fence;
}
