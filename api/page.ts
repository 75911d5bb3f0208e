import type { Knex } from 'knex';
import { z } from 'zod';
import { badInput } from '../domain/errors';
import type { Db } from '../db/connect';

/** A page of a list that is counted elsewhere. */
export const partView = (item: z.ZodType) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });

/** A page of a list, newest first. The cursor is opaque and stays right while rows are added. */
export const pageView = (item: z.ZodType) =>
  partView(item).extend({
    total: z
      .number()
      .int()
      .nullable()
      .describe(`how many there are on all pages; null: more than ${mostCounted}`),
  });
/** Counting more than this for each page of a long list would cost more than the page. */
const mostCounted = 10_000;

export async function page<R extends { id: number }, V>(
  db: Db,
  rows: Knex.QueryBuilder,
  idColumn: string,
  query: { limit: number; cursor?: string },
  view: (rows: R[]) => Promise<V[]>,
): Promise<{ items: V[]; nextCursor: string | null; total: number | null }> {
  const all = rows
    .clone()
    .clearSelect()
    .select(idColumn)
    .limit(mostCounted + 1);
  if (query.cursor !== undefined) rows = rows.where(idColumn, '<', idIn(query.cursor, 'before'));
  const [found, [{ count }]] = (await Promise.all([
    rows.orderBy(idColumn, 'desc').limit(query.limit + 1),
    db.count('* as count').from(all.as('counted')),
  ])) as unknown as [R[], [{ count: string }]];
  const items = found.slice(0, query.limit);
  const last = found.length > query.limit ? items.at(-1)! : undefined;
  return {
    items: await view(items),
    nextCursor: last ? encode('before', last.id) : null,
    total: Number(count) > mostCounted ? null : Number(count),
  };
}

/** A list that is never long. */
export const whole = <V>(items: V[]) => ({ items, nextCursor: null, total: items.length });

/** For a list with the oldest first. */
export const cursorAfter = (id: number): string => encode('after', id);
export const idAfter = (cursor: string): number => idIn(cursor, 'after');

const encode = (side: 'before' | 'after', id: number) => Buffer.from(`${side} ${id}`).toString('base64url');
function idIn(cursor: string, side: 'before' | 'after'): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const id = new RegExp(`^${side} ([1-9][0-9]{0,8})$`).exec(text)?.[1];
  if (!id) throw badInput('cursor is not one that this list gave; leave it out to start at the beginning.');
  return Number(id);
}
