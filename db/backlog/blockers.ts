import { rootsOf, wayBetween, type Link } from '../../domain/backlog/blocking';
import type { BlockedView } from '../../domain/backlog/schemas';
import { badInput, notFound, SignalboxError } from '../../domain/errors';
import { itemKey } from '../../domain/keys';
import { databaseNow } from '../clock';
import type { Db, Tx } from '../connect';
import { movedBy, type Move } from '../transition';
import { liveItems, type ItemRow } from './items';
import { viewBlocker, type BlockerRow } from './view';

/** What blocks items: another item, or something outside of the backlog. Links are raised one at a time, so that no two make a cycle together. */
const linkLock = 4_600_004;

/** Says that an item waits. @returns the blocker's number. @throws blocker-cycle spelled out. */
export async function raiseBlocker(
  tx: Tx,
  item: number,
  blockedBy: number | null,
  reason: string,
  move: Move,
): Promise<number> {
  if (blockedBy !== null) await tx.raw('SELECT pg_advisory_xact_lock(?)', [linkLock]);
  const ids = blockedBy === null ? [item] : [item, blockedBy];
  // Locked, so that neither becomes done in this moment.
  const rows = (await liveItems(tx).whereIn('id', ids).orderBy('id').forNoKeyUpdate()) as ItemRow[];
  const row = rows.find(({ id }) => id === item);
  if (!row) throw notFound(itemKey(item));
  if (row.status === 'done')
    throw new SignalboxError(
      'illegal-transition',
      `${itemKey(item)} is done; reopen it before it is blocked.`,
    );
  if (blockedBy !== null) {
    const other = rows.find(({ id }) => id === blockedBy);
    if (!other) throw badInput(`blockedBy: there is no ${itemKey(blockedBy)}.`);
    if (other.status === 'done')
      throw new SignalboxError(
        'illegal-transition',
        `${itemKey(blockedBy)} is done and blocks nothing any more.`,
      );
    const links = await openLinks(tx);
    if (links.some((link) => link.item === item && link.blockedBy === blockedBy))
      throw new SignalboxError(
        'illegal-transition',
        `${itemKey(item)} is blocked by ${itemKey(blockedBy)} already.`,
      );
    const way = blockedBy === item ? [item] : wayBetween(links, blockedBy, item);
    if (way) {
      const cycle = [item, ...way].map(itemKey);
      throw new SignalboxError(
        'blocker-cycle',
        `${itemKey(item)} would wait for itself: ${cycle.join(' is blocked by ')}. Resolve one of these first.`,
        { cycle },
      );
    }
  }
  const [made] = (await tx('blockers')
    .insert({ item, blocked_by: blockedBy, reason, raised_by: move.by, ...movedBy(move) })
    .returning('id')) as { id: number }[];
  return made!.id;
}

export const findBlocker = async (tx: Tx, id: number) =>
  (await tx('blockers').where({ id }).first()) as BlockerRow | undefined;

async function openLinks(tx: Tx): Promise<Link[]> {
  return (await tx('blockers')
    .whereNull('resolved_at')
    .orderBy('id')
    .select('id', 'item', 'blocked_by as blockedBy')) as Link[];
}

/** What is blocked, the oldest first, and where the chains end. @param after number of the last blocker seen. */
export async function viewBlocked(
  db: Db,
  limit: number,
  after: number,
): Promise<Omit<BlockedView, 'nextCursor'>> {
  const rows = (await db('blockers as b')
    .join('backlog_items as i', 'i.id', 'b.item')
    .whereNull('b.resolved_at')
    .andWhere('b.id', '>', after)
    .orderBy('b.id')
    .limit(limit)
    .select('b.*', 'i.title', 'i.owner')) as (BlockerRow & { title: string; owner: string | null })[];
  const roots = rootsOf(await openLinks(db)).slice(0, 20);
  const items = new Map(
    (
      (await db('backlog_items')
        .whereIn(
          'id',
          roots.flatMap(({ item }) => (item === undefined ? [] : [item])),
        )
        .select('id', 'title', 'owner')) as Pick<ItemRow, 'id' | 'title' | 'owner'>[]
    ).map((row) => [row.id, row]),
  );
  const outside = new Map(
    (
      (await db('blockers').whereIn(
        'id',
        roots.flatMap(({ blocker }) => (blocker === undefined ? [] : [blocker])),
      )) as BlockerRow[]
    ).map((row) => [row.id, row]),
  );
  const now = await databaseNow(db);
  return {
    items: rows.map((row) => ({
      ...viewBlocker(row),
      title: row.title,
      owner: row.owner,
      blockedForMs: Math.max(0, now - new Date(row.raised_at).getTime()),
    })),
    roots: roots.map(({ item, blocker, frees, holds }) => ({
      item: item === undefined ? null : itemKey(item),
      blocker: blocker ?? null,
      title: item === undefined ? (outside.get(blocker!)?.reason ?? '') : (items.get(item)?.title ?? ''),
      owner: item === undefined ? null : (items.get(item)?.owner ?? null),
      frees: frees.slice(0, 100).map(itemKey),
      holds: holds.slice(0, 100).map(itemKey),
    })),
  };
}
