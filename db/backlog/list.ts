import { createHash } from 'node:crypto';
import { z } from 'zod';
import { sorts, type Sort } from '../../domain/backlog/item';
import type { ItemFilter, ItemView, TotalsView } from '../../domain/backlog/schemas';
import { badInput } from '../../domain/errors';
import { parseEpicKey, parseItemKey } from '../../domain/keys';
import { priorities, statesOf } from '../../domain/machines';
import type { Tx } from '../connect';
import { queryOf } from '../search';
import { full, viewItem, type FullRow } from './view';

/**
 * Reading the backlog. A page goes on behind the last item of the page before by that item's own sort key, so that
 * its cost does not depend on how far it is, and what is moved meanwhile neither hides nor doubles another item.
 */
interface Sql {
  text: string;
  values: unknown[];
}
interface PageSql extends Sql {
  /** By which the server keeps it prepared. Only what is asked often: there are as many statements as combinations. */
  name?: string;
}

const today = `(now() AT TIME ZONE 'UTC')::date`;
const isOverdue = `(i.due_date < ${today} AND i.status IN ('open', 'in-progress'))`;
const isBlocked = 'EXISTS (SELECT 1 FROM blockers b WHERE b.item = i.id AND b.resolved_at IS NULL)';

function filterOf(f: ItemFilter): Sql {
  const parts: [string, ...unknown[]][] = [['i.deleted_at IS NULL']];
  if (f.epic === 'none') parts.push(['i.epic IS NULL']);
  else if (f.epic) parts.push(['i.epic = ?', parseEpicKey(f.epic)]);
  if (f.status) parts.push(anyOf('i.status', f.status));
  if (f.priority) parts.push(anyOf('i.priority', f.priority));
  if (f.owner) {
    const named = f.owner.filter((owner) => owner !== 'none');
    const nobody = named.length < f.owner.length;
    if (!nobody) parts.push(anyOf('i.owner', named));
    else if (named.length === 0) parts.push(['i.owner IS NULL']);
    else parts.push(['(i.owner IS NULL OR i.owner = ANY (?))', named]);
  }
  if (f.blocked !== undefined) parts.push([f.blocked ? isBlocked : `NOT ${isBlocked}`]);
  if (f.overdue !== undefined) parts.push([f.overdue ? isOverdue : `${isOverdue} IS NOT TRUE`]);
  if (f.dueBefore) parts.push(['i.due_date < ?', f.dueBefore]);
  if (f.label) parts.push(['i.labels @> ?', f.label]);
  if (f.q) {
    const key = /^ITEM-[1-9][0-9]{0,8}$/i.test(f.q) ? parseItemKey(f.q.toUpperCase()) : undefined;
    const { text, values } = queryOf(f.q);
    parts.push(key === undefined ? [`i.search @@ (${text})`, ...values] : ['i.id = ?', key]);
  }
  return {
    text: parts.map(([text]) => text).join(' AND '),
    values: parts.flatMap(([, ...values]) => values),
  };
}
/** One value is compared as such: an index then gives the order too. */
const anyOf = (column: string, values: readonly unknown[]): [string, unknown] =>
  values.length === 1 ? [`${column} = ?`, values[0]] : [`${column} = ANY (?)`, values];

/** How each order goes, and how it goes on behind a position. */
const orders: Record<Sort, { by: string; position: string; behind: string; values(p: Position): unknown[] }> =
  {
    rank: {
      by: 'i.rank',
      position: 'i.rank',
      behind: 'i.rank > rank_since(?, ?)',
      values: ({ at, renewal }) => [at, renewal],
    },
    priority: {
      by: 'i.urgency, i.rank',
      position: "i.urgency || ' ' || i.rank",
      behind: '(i.urgency, i.rank) > (?, rank_since(?, ?))',
      values: ({ at, renewal }) => [Number(at.slice(0, 1)), at.slice(2), renewal],
    },
    due: {
      by: "coalesce(i.due_date, 'infinity'), i.id",
      position: "coalesce(i.due_date, 'infinity')::text",
      behind: "(coalesce(i.due_date, 'infinity'), i.id) > (?::date, ?)",
      values: ({ at, id }) => [at, id],
    },
    updated: {
      by: 'i.updated_at DESC, i.id DESC',
      position: 'to_char(i.updated_at AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')',
      behind: '(i.updated_at, i.id) < (?::timestamptz, ?)',
      values: ({ at, id }) => [at, id],
    },
  };

/** Behind which item the next page begins; `renewal`: up to which one ranks were renewed when it was read. */
interface Position {
  sort: Sort;
  at: string;
  id: number;
  renewal: number;
}
const whole = z.number().int().min(0).max(2_147_483_647);
const rank = z.string().regex(/^[0-9A-Za-z]{2,1000}$/);
const forms: Record<Sort, z.ZodType<string>> = {
  rank,
  priority: z.templateLiteral([z.enum(['1', '2', '3', '4']), ' ', rank]),
  due: z.union([z.iso.date(), z.literal('infinity')]),
  updated: z.iso.datetime({ precision: 6 }),
};
const cursorForm = z
  .tuple([z.enum(sorts), z.string(), whole, whole])
  .refine(([sort, at]) => forms[sort].safeParse(at).success);
const encode = (p: Position) =>
  Buffer.from(JSON.stringify([p.sort, p.at, p.id, p.renewal])).toString('base64url');
function decode(cursor: string, sort: Sort): Position {
  let input: unknown;
  try {
    input = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    // Refused below.
  }
  const parsed = cursorForm.safeParse(input);
  if (!parsed.success || parsed.data[0] !== sort)
    throw badInput(
      'cursor is not one that this list gave in this order; leave it out to start at the beginning.',
    );
  const [, at, id, renewal] = parsed.data;
  return { sort, at, id, renewal };
}

/**
 * The statement of a page, with one row more than it shows.
 * @param skip how many to leave out first: for a view that is scrolled anywhere. They are read, so it costs by them.
 */
export function pageStatement(
  filter: ItemFilter,
  sort: Sort,
  limit: number,
  cursor?: string,
  skip = 0,
): PageSql {
  const { text, values } = filterOf(filter);
  const order = orders[sort];
  const behind = cursor === undefined ? undefined : order.values(decode(cursor, sort));
  const filters = Object.values(filter).filter((value) => value !== undefined).length;
  const statement = {
    text: `SELECT ${full}, ${order.position} AS position, (SELECT coalesce(max(id), 0) FROM rank_renewals) AS renewal
      FROM (SELECT * FROM backlog_items i WHERE ${text}${behind ? ` AND ${order.behind}` : ''} ORDER BY ${order.by} LIMIT ${limit + 1}${skip > 0 ? ' OFFSET ?' : ''}) i
      ORDER BY ${order.by}`,
    values: [...values, ...(behind ?? []), ...(skip > 0 ? [skip] : [])],
  };
  return filters > 2
    ? statement
    : { ...statement, name: createHash('md5').update(statement.text).digest('hex') };
}

export async function listItems(
  tx: Tx,
  filter: ItemFilter,
  sort: Sort,
  limit: number,
  cursor?: string,
  skip?: number,
): Promise<{ items: ItemView[]; nextCursor: string | null }> {
  const { text, values, name } = pageStatement(filter, sort, limit, cursor, skip);
  const { rows } = await tx.raw(text, values as never).options(name ? { name } : {});
  const found = rows as (FullRow & { position: string; renewal: number })[];
  const shown = found.slice(0, limit);
  const last = found.length > limit ? shown.at(-1)! : undefined;
  return {
    items: shown.map(viewItem),
    nextCursor: last ? encode({ sort, at: last.position, id: last.id, renewal: last.renewal }) : null,
  };
}

/** These items, in the order of the keys. */
export async function itemsByIds(tx: Tx, ids: number[]): Promise<ItemView[]> {
  const { rows } = await tx.raw(
    `SELECT ${full} FROM backlog_items i WHERE i.id = ANY (?) AND i.deleted_at IS NULL ORDER BY array_position(?::integer[], i.id)`,
    [ids, ids],
  );
  return (rows as FullRow[]).map(viewItem);
}
export const itemById = async (tx: Tx, id: number): Promise<ItemView | undefined> =>
  (await itemsByIds(tx, [id]))[0];

export async function totalsOf(tx: Tx, filter: ItemFilter): Promise<TotalsView> {
  const { text, values } = filterOf(filter);
  const { rows } = await tx.raw(
    `SELECT i.status, i.priority, count(*)::integer AS count, count(*) FILTER (WHERE ${isOverdue})::integer AS overdue,
            count(w.item)::integer AS blocked
       FROM backlog_items i LEFT JOIN (SELECT DISTINCT item FROM blockers WHERE resolved_at IS NULL) w ON w.item = i.id
      WHERE ${text} GROUP BY i.status, i.priority`,
    values as never,
  );
  const groups = rows as {
    status: string;
    priority: string;
    count: number;
    overdue: number;
    blocked: number;
  }[];
  const sum = (of: (row: (typeof groups)[number]) => number) => groups.reduce((all, row) => all + of(row), 0);
  const by = (column: 'status' | 'priority', names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, sum((row) => (row[column] === name ? row.count : 0))]));
  return {
    total: sum(({ count }) => count),
    byStatus: by('status', statesOf('backlogItem')),
    byPriority: by('priority', priorities),
    blocked: sum(({ blocked }) => blocked),
    overdue: sum(({ overdue }) => overdue),
  };
}
