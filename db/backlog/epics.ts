import type { EpicView } from '../../domain/backlog/schemas';
import { notFound, SignalboxError } from '../../domain/errors';
import { epicKey } from '../../domain/keys';
import type { Tx } from '../connect';
import { movedBy, type Move } from '../transition';
import { liveItems } from './items';
import { staleVersion } from './stale';

/** Epics. Status and progress are derived by the view `epics_with_progress` whenever they are read. */
export interface EpicRow {
  id: number;
  title: string;
  outcome: string;
  owner: string | null;
  target_date: string | null;
  status: EpicView['status'];
  total: number;
  open: number;
  in_progress: number;
  deferred: number;
  done: number;
  overdue: number;
  blocked: number;
  version: number;
  created_at: Date;
  updated_at: Date;
}
export interface EpicFields {
  title: string;
  outcome: string;
  owner: string | null;
  targetDate: string | null;
}
const columns = (fields: Partial<EpicFields>) => ({
  title: fields.title,
  outcome: fields.outcome,
  owner: fields.owner,
  target_date: fields.targetDate,
});

export const epics = (tx: Tx) => tx('epics_with_progress');
export const findEpic = async (tx: Tx, id: number) =>
  (await epics(tx).where({ id }).first()) as EpicRow | undefined;

export async function addEpic(tx: Tx, fields: EpicFields, move: Move): Promise<number> {
  const [row] = (await tx('epics')
    .insert({ ...columns(fields), ...movedBy(move) })
    .returning('id')) as { id: number }[];
  return row!.id;
}

/** @throws not-found, stale-version */
export async function changeEpic(
  tx: Tx,
  id: number,
  fields: Partial<EpicFields>,
  move: Move,
  version?: number,
): Promise<void> {
  const row = await locked(tx, id, version);
  const before: Record<string, unknown> = {
    title: row.title,
    outcome: row.outcome,
    owner: row.owner,
    targetDate: row.target_date,
  };
  if (Object.entries(fields).every(([name, value]) => value === undefined || value === before[name])) return;
  await tx('epics')
    .where({ id })
    .update({
      ...columns(fields),
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
}

/** @throws still-used when it has items. */
export async function removeEpic(tx: Tx, id: number, move: Move, version?: number): Promise<void> {
  await locked(tx, id, version);
  const row = (await liveItems(tx).where({ epic: id }).count('* as count').first()) as { count: number };
  const items = Number(row.count);
  if (items > 0)
    throw new SignalboxError(
      'still-used',
      `${epicKey(id)} has ${items} item${items === 1 ? '' : 's'}; move them to another epic first.`,
      { items },
    );
  await tx('epics')
    .where({ id })
    .update({
      deleted_at: tx.fn.now(),
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
}

async function locked(tx: Tx, id: number, version: number | undefined) {
  const row = (await tx('epics').where({ id }).whereNull('deleted_at').forNoKeyUpdate().first()) as
    EpicRow | undefined;
  if (!row) throw notFound(epicKey(id));
  if (version !== undefined && row.version !== version)
    throw await staleVersion(tx, epicKey(id), row.version, version);
  return row;
}

export const viewEpic = (row: EpicRow): EpicView => ({
  key: epicKey(row.id),
  title: row.title,
  outcome: row.outcome,
  owner: row.owner,
  targetDate: row.target_date,
  status: row.status,
  overdue:
    row.target_date !== null &&
    row.target_date < new Date().toISOString().slice(0, 10) &&
    row.status !== 'done',
  progress: {
    done: row.done,
    total: row.total,
    percent: row.total === 0 ? 0 : Math.floor((100 * row.done) / row.total),
    byStatus: { open: row.open, 'in-progress': row.in_progress, deferred: row.deferred, done: row.done },
    overdue: row.overdue,
    blocked: row.blocked,
  },
  version: row.version,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
