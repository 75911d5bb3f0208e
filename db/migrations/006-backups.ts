import type { Knex } from 'knex';

/** Backups are of several kinds, and are removed by and by. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE backups
      ADD kind text NOT NULL DEFAULT 'files' CHECK (kind IN ('files', 'postgres')),
      ADD removed_at timestamptz;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
