import type { Knex } from 'knex';

/** What the Operations page counts: deployments by when they ended. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(
    'CREATE INDEX deployments_by_end ON deployments (finished_at) WHERE finished_at IS NOT NULL',
  );
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
