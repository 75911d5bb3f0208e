import { endOf, longestRank, rankBetween, ranksBetween, renewedRank } from '../../domain/backlog/ranking';
import { badInput, notFound } from '../../domain/errors';
import { itemKey } from '../../domain/keys';
import type { ItemView } from '../../domain/backlog/schemas';
import type { Db } from '../connect';
import type { Move } from '../transition';
import { full, viewItem, type FullRow } from './view';
import { staleVersion } from './stale';

/**
 * Moving items in the order, in two statements: one looks at the neighbours, one writes the rank. Two moves into one
 * gap compute the same rank; the one that comes second finds it taken and looks again. An item that was changed since
 * the look is looked at again too: so a move waits only for one that looked later, and none for another in a circle.
 * A renewal, which shortens the ranks of a stretch, keeps moves from writing while it works; the one that looked before
 * it looks again.
 */
const rankLock = 4_600_003;
export type Place = { before: number } | { after: number };

/**
 * Moves an item directly before or after another one: one row is written.
 * @returns the item; undefined when it was there already.
 */
export async function moveItem(
  db: Db,
  id: number,
  place: Place,
  move: Move,
  version?: number,
): Promise<ItemView | undefined> {
  const [anchor, up] = 'before' in place ? [place.before, false] : [place.after, true];
  if (anchor === id) throw badInput(`${itemKey(id)} can not be placed beside itself.`);
  const moved = JSON.stringify({ ...move, why: `${up ? 'after' : 'before'} ${itemKey(anchor)}` });
  for (;;) {
    const { rows } = await db
      .raw(
        `SELECT i.rank AS own, i.version, a.rank AS anchor, (SELECT coalesce(max(id), 0) FROM rank_renewals) AS renewal,
              (SELECT n.rank FROM backlog_items n WHERE n.rank ${up ? '>' : '<'} a.rank AND n.id <> i.id
                ORDER BY n.rank ${up ? 'ASC' : 'DESC'} LIMIT 1) AS neighbour
         FROM backlog_items i LEFT JOIN backlog_items a ON a.id = ? AND a.deleted_at IS NULL
        WHERE i.id = ? AND i.deleted_at IS NULL`,
        [anchor, id],
      )
      .options({ name: `neighbours ${up}` });
    const [row] = rows as Seen[];
    if (!row) throw notFound(itemKey(id));
    if (version !== undefined && row.version !== version)
      throw await staleVersion(db, itemKey(id), row.version, version);
    if (row.anchor === null) throw badInput(`There is no ${itemKey(anchor)} to place it beside.`);
    const [lower, upper] = up ? [row.anchor, row.neighbour] : [row.neighbour, row.anchor];
    if ((lower === null || row.own > lower) && (upper === null || row.own < upper)) return undefined;
    const rank = rankBetween(lower, upper);
    try {
      const written = await db
        .raw(
          `UPDATE backlog_items i SET rank = ?, moved = ?, version = version + 1, updated_at = now()
          WHERE i.id = ? AND i.deleted_at IS NULL AND i.version = ? AND last_renewal() = ?
          RETURNING ${full}`,
          [rank, moved, id, row.version, row.renewal] as never,
        )
        .options({ name: 'rank' });
      const [item] = written.rows as FullRow[];
      // Changed, removed, or its neighbours renewed in this very moment.
      if (!item) continue;
      if (rank.length > longestRank) await renewRanks(db, rank);
      return viewItem(item);
    } catch (thrown) {
      // Another one came into the same gap.
      if ((thrown as { constraint?: string }).constraint !== 'one_item_of_a_rank') throw thrown;
    }
  }
}
interface Seen {
  own: string;
  version: number;
  anchor: string | null;
  neighbour: string | null;
  /** The last renewal when it was read. */
  renewal: number;
}

/** Gives the items around a rank short ranks again, in the same order. Nothing else of them changes. */
export const renewRanks = (db: Db, around: string): Promise<void> =>
  db.transaction(async (tx) => {
    await tx.raw('SELECT pg_advisory_xact_lock(?)', [rankLock]);
    for (const reach of [50, 500, 5_000, 1_000_000_000]) {
      const side = async (operator: '<=' | '>', order: 'ASC' | 'DESC') =>
        (
          await tx.raw(
            `SELECT id, rank FROM backlog_items WHERE rank ${operator} ? ORDER BY rank ${order} LIMIT ?`,
            [around, reach + 1],
          )
        ).rows as { id: number; rank: string }[];
      const below = await side('<=', 'DESC');
      const above = await side('>', 'ASC');
      const lower = below.length > reach ? below.pop()!.rank : null;
      const next = above.length > reach ? above.pop()!.rank : null;
      const stretch = [...below.reverse(), ...above];
      if (stretch.length === 0) return;
      const upper = next ?? endOf(stretch.at(-1)!.rank);
      // None of them is taken now, so that one statement may write them in any order.
      const taken = new Set(stretch.map(({ rank }) => rank));
      const ranks = ranksBetween(lower, upper, 2 * stretch.length)
        .filter((rank) => !taken.has(rank))
        .slice(0, stretch.length);
      const whole = lower === null && next === null;
      if (!whole && ranks.some((rank) => rank.length > renewedRank)) continue;
      // Locked in the order in which whoever changes several items locks them.
      const ids = stretch.map(({ id }) => id);
      await tx.raw('SELECT FROM backlog_items WHERE id = ANY(?::integer[]) ORDER BY id FOR UPDATE', [ids]);
      const [renewal] = (await tx('rank_renewals').insert({ lower, upper }).returning('id')) as {
        id: number;
      }[];
      await tx.raw(
        `WITH renewed AS (SELECT * FROM unnest(?::integer[], ?::text[], ?::text[]) AS r (id, before, after)),
              noted AS (INSERT INTO renewed_ranks (renewal, before, after) SELECT ?, before, after FROM renewed)
         UPDATE backlog_items i SET rank = r.after FROM renewed r WHERE i.id = r.id AND i.rank = r.before`,
        [ids, stretch.map(({ rank }) => rank), ranks, renewal!.id],
      );
      return;
    }
  });
