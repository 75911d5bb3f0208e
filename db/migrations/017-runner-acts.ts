import type { Knex } from 'knex';

/**
 * Digests of all that acts on a target: what a request binds to besides how it is built (null: it was submitted by an
 * earlier version), and how each runner acts by its own targets file (null: a runner of an earlier version).
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('ALTER TABLE change_requests ADD acts text; ALTER TABLE runners ADD acts text');
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
