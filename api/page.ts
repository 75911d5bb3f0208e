import type { Knex } from 'knex';
import { z } from 'zod';
import { badInput } from '../domain/errors';

/** A page of a list, newest first. The cursor is opaque and stays right while rows are added. */
export const pageView = (item: z.ZodType) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });

export async function page<R extends { id: number }, V>(
  rows: Knex.QueryBuilder,
  idColumn: string,
  query: { limit: number; cursor?: string },
  view: (rows: R[]) => Promise<V[]>,
): Promise<{ items: V[]; nextCursor: string | null }> {
  if (query.cursor !== undefined) rows = rows.where(idColumn, '<', idIn(query.cursor, 'before'));
  const found = (await rows.orderBy(idColumn, 'desc').limit(query.limit + 1)) as R[];
  const items = found.slice(0, query.limit);
  const last = found.length > query.limit ? items.at(-1)! : undefined;
  return {
    items: await view(items),
    nextCursor: last ? encode('before', last.id) : null,
  };
}

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
