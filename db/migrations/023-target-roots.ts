import type { Knex } from 'knex';

/**
 * Where each target is deployed to, by the targets file that named it last. A name that is taken out of the file keeps
 * it: another target of that name is another target.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('ALTER TABLE targets ADD root text');
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
