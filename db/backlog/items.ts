import type { ItemView } from '../../domain/backlog/schemas';
import { changesOf, type ItemEdit, type ItemFields, type OpenBlocker } from '../../domain/backlog/item';
import { placesOf, type Places } from '../../domain/backlog/wip';
import { badInput, notFound, SignalboxError } from '../../domain/errors';
import { epicKey, itemKey } from '../../domain/keys';
import type { Tx } from '../connect';
import { movedBy, transition, type Move } from '../transition';
import { staleVersion } from './stale';
import { itemColumns, viewItem, type ItemRow } from './view';
import { lockPlaces } from './wip';

export type { ItemRow } from './view';

/**
 * Writing backlog items. Whatever changes one, a person, a bulk edit, an import or a deployment, goes through
 * `beginEdits`: it locks the items in the order of their numbers and then, if something may begin, the places of the
 * board, so that no two writers wait for each other and a limit holds whatever races.
 */
const fieldsOf = (row: ItemRow): ItemFields => ({
  title: row.title,
  description: row.description,
  status: row.status,
  priority: row.priority,
  epic: row.epic,
  owner: row.owner,
  dueDate: row.due_date,
  labels: row.labels,
  externalId: row.external_id,
});
const columns = (edit: ItemEdit) => ({
  title: edit.title,
  description: edit.description,
  priority: edit.priority,
  epic: edit.epic,
  owner: edit.owner,
  due_date: edit.dueDate,
  labels: edit.labels,
  external_id: edit.externalId,
});

export const liveItems = (tx: Tx) => tx('backlog_items').whereNull('deleted_at');

/** Whether an edit may take a place in progress. */
const mayTake = (edit: ItemEdit) =>
  edit.status === 'in-progress' || edit.owner !== undefined || edit.epic !== undefined;

/** Edits of one transaction: planned one after the other, each seeing those before it. */
export interface Edits {
  rows: Map<number, ItemRow>;
  /** What an edit changes. @throws what stands in its way. */
  plan(id: number, edit: ItemEdit, reason: string | undefined): ItemEdit;
  /** @throws what stands in the way of a new item. */
  planNew(fields: Pick<ItemFields, 'title' | 'status' | 'owner' | 'epic'>, id: number): void;
}

/** @param ids the items that are edited. @param edits all that will be planned, new items too: what they need is loaded once. */
export async function beginEdits(tx: Tx, ids: number[], edits: ItemEdit[]): Promise<Edits> {
  const found =
    ids.length === 0
      ? []
      : ((await liveItems(tx).whereIn('id', ids).orderBy('id').forNoKeyUpdate()) as ItemRow[]);
  const rows = new Map(found.map((row) => [row.id, row]));
  const blockers = edits.some(({ status }) => status === 'done')
    ? await openBlockers(tx, [...rows.keys()])
    : [];
  const epics = await knownEpics(tx, edits);
  const places: Places = edits.some(mayTake) ? await lockPlaces(tx) : placesOf([], []);
  const doneHere = new Set<number | null>();
  const checkEpic = (epic: number | null | undefined) => {
    if (typeof epic === 'number' && !epics.has(epic)) throw badInput(`epic: there is no ${epicKey(epic)}.`);
  };
  return {
    rows,
    plan(id, edit, reason) {
      const row = rows.get(id);
      if (!row) throw notFound(itemKey(id));
      checkEpic(edit.epic);
      const blocking = blockers.filter((b) => b.item === id && !doneHere.has(b.blocked_by));
      const changes = changesOf(id, fieldsOf(row), edit, reason, blocking.map(shownBlocker), places);
      if (changes.status === 'done') doneHere.add(id);
      return changes;
    },
    planNew(fields, id) {
      checkEpic(fields.epic);
      if (fields.status === 'in-progress') places.take({ ...fields, id });
    },
  };
}

/** The epics that edits name, as far as there are any; kept from being removed meanwhile. */
async function knownEpics(tx: Tx, edits: ItemEdit[]): Promise<Set<number>> {
  const ids = [...new Set(edits.map(({ epic }) => epic))].filter((epic) => typeof epic === 'number');
  if (ids.length === 0) return new Set();
  const rows = (await tx('epics')
    .whereIn('id', ids)
    .whereNull('deleted_at')
    .orderBy('id')
    .forShare()
    .select('id')) as { id: number }[];
  return new Set(rows.map(({ id }) => id));
}

export interface BlockerOf {
  item: number;
  blocked_by: number | null;
  reason: string;
}
export const openBlockers = async (tx: Tx, items: number[]): Promise<BlockerOf[]> =>
  items.length === 0
    ? []
    : ((await tx('blockers')
        .whereIn('item', items)
        .whereNull('resolved_at')
        .orderBy('id')
        .select('item', 'blocked_by', 'reason')) as BlockerOf[]);
export const shownBlocker = ({ blocked_by, reason }: Omit<BlockerOf, 'item'>): OpenBlocker => ({
  blockedBy: blocked_by === null ? null : itemKey(blocked_by),
  reason,
});

/** Writes what was planned. @param deliveredBy the promotion whose deployment moves it to done. */
export async function writeChanges(
  tx: Tx,
  row: ItemRow,
  changes: ItemEdit,
  move: Move,
  deliveredBy?: number,
): Promise<void> {
  if (Object.keys(changes).length === 0) return;
  const { status } = changes;
  if (status === undefined)
    await tx('backlog_items')
      .where({ id: row.id })
      .update({
        ...columns(changes),
        ...movedBy(move),
        version: tx.raw('version + 1'),
        updated_at: tx.fn.now(),
      });
  else
    await transition(tx, 'backlogItem', row.id, status, move, {
      ...columns(changes),
      delivered_by: deliveredBy ?? null,
      ...(status === 'in-progress' ? { started_at: tx.raw('coalesce(started_at, now())') } : {}),
      ...(row.status === 'done' ? { done_at: null } : {}),
    });
  if (status === 'done')
    await resolveBlockers(tx, { blocked_by: row.id }, `${itemKey(row.id)} is done`, move);
}

/** Resolves the open ones of these blockers. @returns how many there were. */
export const resolveBlockers = (
  tx: Tx,
  which: { id: number } | { item: number } | { blocked_by: number },
  resolution: string,
  move: Move,
): Promise<number> =>
  tx('blockers')
    .where(which)
    .whereNull('resolved_at')
    .update({
      resolved_at: tx.fn.now(),
      resolved_by: move.by,
      resolution,
      ...movedBy(move),
      version: tx.raw('version + 1'),
    });

export type NewItem = Omit<ItemFields, 'externalId'> & { externalId?: string | null };

/** Whether adding it is one statement: nothing is looked up and no place taken. */
export const isPlain = ({ epic, status }: NewItem): boolean => epic === null && status !== 'in-progress';

/** Adds an item at the end of the order. @throws wip-limit, invalid-input for an unknown epic. */
export async function addItem(tx: Tx, item: NewItem, move: Move): Promise<ItemView> {
  if (!isPlain(item)) (await beginEdits(tx, [], [item])).planNew(item, 0);
  return insertItem(tx, item, move);
}
export async function insertItem(tx: Tx, item: NewItem, move: Move): Promise<ItemView> {
  const { status } = item;
  const { rows } = await tx
    .raw(
      `INSERT INTO backlog_items AS i (title, description, status, priority, epic, owner, due_date, labels, external_id,
       started_at, done_at, moved)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, CASE WHEN ? THEN now() END, CASE WHEN ? THEN now() END, ?) RETURNING ${itemColumns}`,
      [
        item.title,
        item.description,
        status,
        item.priority,
        item.epic,
        item.owner,
        item.dueDate,
        item.labels,
        item.externalId ?? null,
        status === 'in-progress',
        status === 'done',
        JSON.stringify(move),
      ] as never,
    )
    .options({ name: 'insert item' });
  // Nothing blocks or carries what was not there before.
  return viewItem({ ...(rows as [ItemRow])[0], blockers: null, promotions: null });
}

export interface ItemChange {
  id: number;
  edit: ItemEdit;
  /** Labels it is to have, by those it has. */
  relabel?(labels: string[]): string[];
  /** The version that it is made to; another is refused. */
  version?: number;
}

/** Changes items in one transaction: all of them or none. */
export async function changeItems(tx: Tx, changes: ItemChange[], reason: string | undefined, move: Move) {
  const edits = await beginEdits(
    tx,
    changes.map(({ id }) => id),
    changes.map(({ edit }) => edit),
  );
  for (const { id, edit, relabel, version } of changes) {
    const row = edits.rows.get(id);
    if (!row) throw notFound(itemKey(id));
    if (version !== undefined && row.version !== version)
      throw await staleVersion(tx, itemKey(id), row.version, version);
    const planned = edits.plan(id, relabel ? { ...edit, labels: relabel(row.labels) } : edit, reason);
    await writeChanges(tx, row, planned, { ...move, why: reason });
  }
}

/** Takes an item out of the backlog. @throws still-used when a promotion carries it. */
export async function removeItem(tx: Tx, id: number, version: number | undefined, move: Move): Promise<void> {
  const row = (await liveItems(tx).where({ id }).forNoKeyUpdate().first()) as ItemRow | undefined;
  const key = itemKey(id);
  if (!row) throw notFound(key);
  if (version !== undefined && row.version !== version)
    throw await staleVersion(tx, key, row.version, version);
  const carrier = (await tx('change_requests')
    .whereRaw('backlog_items @> ARRAY[?]', [key])
    .orderBy('id', 'desc')
    .first('id')) as { id: number } | undefined;
  if (carrier)
    throw new SignalboxError(
      'still-used',
      `${key} is carried by CP-${carrier.id}, whose record names it; defer it instead of removing it.`,
      { promotion: `CP-${carrier.id}` },
    );
  const resolution = `${key} was removed from the backlog`;
  await resolveBlockers(tx, { item: id }, resolution, move);
  await resolveBlockers(tx, { blocked_by: id }, resolution, move);
  await tx('backlog_items')
    .where({ id })
    .update({
      deleted_at: tx.fn.now(),
      rank: null,
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
}
