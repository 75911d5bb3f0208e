import { epicOf, type ItemEdit } from '../../domain/backlog/item';
import type { ImportFile, ImportLine } from '../../domain/backlog/file';
import type { ImportedItem, ImportReport } from '../../domain/backlog/schemas';
import { SignalboxError } from '../../domain/errors';
import { itemKey, parseItemKey } from '../../domain/keys';
import type { Tx } from '../connect';
import type { Move } from '../transition';
import { beginEdits, insertItem, liveItems, writeChanges, type ItemRow, type NewItem } from './items';

/**
 * Importing items: first every line is planned against the backlog as it is, locked; then, if no line is refused and
 * it is no dry run, all of it is written, in the same transaction.
 */
const importLock = 4_600_005;

type Planned = ImportReport['lines'][number] & {
  write?(): Promise<string>;
};

export async function importItems(
  tx: Tx,
  file: ImportFile,
  options: { dryRun: boolean; reason: string; move: Move },
): Promise<ImportReport> {
  // One at a time: two imports of one file would both find that an external id is not there yet.
  await tx.raw('SELECT pg_advisory_xact_lock(?)', [importLock]);
  const readable = file.lines.flatMap(({ item }) => (item ? [item] : []));
  const byKey = new Map<string, number>();
  const keys = readable.flatMap(({ key }) => (key ? [parseItemKey(key)] : []));
  const externalIds = readable.flatMap(({ externalId }) => (externalId ? [externalId] : []));
  const found = (await liveItems(tx)
    .where((either) => either.whereIn('id', keys).orWhereIn('external_id', externalIds))
    .select('id', 'external_id')) as Pick<ItemRow, 'id' | 'external_id'>[];
  for (const { id, external_id } of found) {
    byKey.set(itemKey(id), id);
    if (external_id !== null) byKey.set(external_id, id);
  }
  const edits = await beginEdits(
    tx,
    found.map(({ id }) => id),
    readable.map(editOf),
  );
  const move = { ...options.move, why: options.reason };
  const seen = new Map<string, number>();

  const planned = file.lines.map((line, n): Planned => {
    const title = line.item?.title ?? null;
    const refused = (...says: string[]): Planned => ({
      line: line.line,
      action: 'refused',
      key: null,
      title,
      says,
    });
    if (!line.item) return refused(...line.problems);
    const { item } = line;
    const name = item.key ?? item.externalId;
    const before = name === undefined ? undefined : seen.get(name);
    if (before !== undefined) return refused(`${name} stands on line ${before} too`);
    if (name !== undefined) seen.set(name, line.line);
    const id = name === undefined ? undefined : byKey.get(name);
    if (item.key !== undefined && id === undefined) return refused(`there is no ${item.key}`);
    const taken = item.key && item.externalId ? byKey.get(item.externalId) : undefined;
    if (taken !== undefined && taken !== id)
      return refused(`external id ${item.externalId} belongs to ${itemKey(taken)}`);
    try {
      return id === undefined ? planNew(line, -1 - n) : planChange(line, id);
    } catch (thrown) {
      if (thrown instanceof SignalboxError) return refused(thrown.message);
      throw thrown;
    }
  });

  function planNew({ line, item }: ImportLine, placeholder: number): Planned {
    const { title, externalId } = item!;
    if (title === undefined)
      return { line, action: 'refused', key: null, title: null, says: ['title: a new item needs one'] };
    const fresh: NewItem = {
      title,
      description: '',
      status: 'open',
      priority: 'medium',
      epic: null,
      owner: null,
      dueDate: null,
      labels: [],
      ...given(editOf(item!)),
    };
    edits.planNew(fresh, placeholder);
    return {
      line,
      action: 'create',
      key: null,
      title,
      says: externalId ? [] : ['has no external id: importing the file again makes it again'],
      write: async () => (await insertItem(tx, fresh, move)).key,
    };
  }

  function planChange({ line, item }: ImportLine, id: number): Planned {
    const row = edits.rows.get(id)!;
    const changes = edits.plan(id, editOf(item!), options.reason);
    const fields = Object.keys(changes);
    return {
      line,
      action: fields.length > 0 ? 'update' : 'unchanged',
      key: itemKey(id),
      title: item!.title ?? row.title,
      says: fields.length > 0 ? [`changes ${fields.join(', ')}`] : [],
      write: async () => {
        await writeChanges(tx, row, changes, move);
        return itemKey(id);
      },
    };
  }

  const count = (action: Planned['action']) => planned.filter((line) => line.action === action).length;
  const refused = count('refused');
  if (refused === 0 && !options.dryRun) for (const line of planned) line.key = await line.write!();
  return {
    dryRun: options.dryRun,
    created: count('create'),
    updated: count('update'),
    unchanged: count('unchanged'),
    refused,
    ignoredColumns: file.ignoredColumns,
    lines: planned.map(({ write: _write, ...line }) => line),
  };
}

const editOf = ({ key: _key, epic, ...fields }: ImportedItem): ItemEdit => ({
  ...fields,
  ...epicOf(epic),
});
const given = <T extends object>(edit: T): Partial<T> =>
  Object.fromEntries(Object.entries(edit).filter(([, value]) => value !== undefined)) as Partial<T>;
