import type { Knex } from 'knex';

/**
 * A part of what a query finds, so that a sweep over very many costs little each time.
 * @param pass which part: with each higher number the next one, and after the last the first again.
 */
export async function partOf<T>(query: Knex.QueryBuilder, atOnce: number, pass: number): Promise<T[]> {
  const { count } = (await query.clone().count('* as count').first()) as { count: number };
  const parts = Math.max(1, Math.ceil(count / atOnce));
  return (await query
    .orderBy('id')
    .offset((pass % parts) * atOnce)
    .limit(atOnce)) as T[];
}
