import { blockedInWords, whyBlocked, type Refusal } from '../../domain/admission';
import { badInput, SignalboxError, type ErrorCode } from '../../domain/errors';
import { itemKey, parseItemKey, promotionKey } from '../../domain/keys';
import type { Tx } from '../connect';
import type { Move } from '../transition';
import {
  beginEdits,
  liveItems,
  openBlockers,
  shownBlocker,
  writeChanges,
  type BlockerOf,
  type ItemRow,
} from './items';

/** The backlog and what is shipped: which items a change may carry, and what a deployment makes of them. */

/**
 * The items that a change carries: all that were given, and of those that its commits mention the ones there are.
 * @throws invalid-input for a given key that there is none of; blocked when one of them is.
 */
export async function carriedItems(tx: Tx, given: string[], mentioned: string[] = []): Promise<string[]> {
  const keys = [...new Set([...given, ...mentioned])];
  if (keys.length === 0) return [];
  // In a transaction none of them is removed or blocked until it is shipped.
  const rows = (await liveItems(tx)
    .whereIn('id', keys.map(parseItemKey))
    .orderBy('id')
    .forShare()
    .select('id')) as { id: number }[];
  const known = new Set(rows.map(({ id }) => itemKey(id)));
  const unknown = given.filter((key) => !known.has(key));
  if (unknown.length > 0)
    throw badInput(`backlogItems: there is no ${unknown.join(' and no ')} in the backlog.`);
  const carried = keys.filter((key) => known.has(key));
  const refusal = await whyItemsBlocked(tx, carried);
  if (refusal) throw new SignalboxError(refusal.code as ErrorCode, refusal.message, refusal.detail);
  return carried;
}

/** Why a change that carries these items is neither shipped nor deployed; undefined when none of them is blocked. */
export async function whyItemsBlocked(tx: Tx, keys: readonly string[]): Promise<Refusal | undefined> {
  const blockers = await openBlockers(tx, keys.map(parseItemKey));
  return whyBlocked(blockers.map(blockerOf));
}
const blockerOf = (b: BlockerOf) => ({ item: b.item, ...shownBlocker(b) });

/** Of several promotions, by their items, what blocks each in plain words; null: nothing does. */
export async function blockedByItems(tx: Tx, carried: string[][]): Promise<(string | null)[]> {
  const blockers = await openBlockers(tx, [...new Set(carried.flat())].map(parseItemKey));
  return carried.map(
    (keys) =>
      blockers
        .filter(({ item }) => keys.includes(itemKey(item)))
        .map((blocker) => blockedInWords(blockerOf(blocker)))
        .join('; ') || null,
  );
}

const carriedBy = async (tx: Tx, promotion: number): Promise<number[]> => {
  const row = (await tx('change_requests').where({ id: promotion }).first('backlog_items')) as {
    backlog_items: string[];
  };
  return row.backlog_items.map(parseItemKey);
};

/** Its items are done, but for those that are deferred or blocked: they stay what they are. */
export async function deliverItems(tx: Tx, promotion: number, target: string, move: Move): Promise<void> {
  const ids = await carriedBy(tx, promotion);
  const edits = await beginEdits(tx, ids, [{ status: 'done' }]);
  const why = `${promotionKey(promotion)} is deployed to ${target}`;
  for (const row of edits.rows.values()) {
    if (row.status !== 'open' && row.status !== 'in-progress') continue;
    try {
      await writeChanges(tx, row, edits.plan(row.id, { status: 'done' }, why), { ...move, why }, promotion);
    } catch (thrown) {
      if (!(thrown instanceof SignalboxError)) throw thrown;
    }
  }
}

/** What its deployment moved to done is open again. */
export async function takeItemsBack(tx: Tx, promotion: number, target: string, move: Move): Promise<void> {
  const rows = (await liveItems(tx)
    .where({ delivered_by: promotion, status: 'done' })
    .orderBy('id')
    .forNoKeyUpdate()) as ItemRow[];
  const why = `${promotionKey(promotion)} was rolled back from ${target}`;
  for (const row of rows) await writeChanges(tx, row, { status: 'open' }, { ...move, why });
}
