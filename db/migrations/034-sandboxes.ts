import type { Knex } from 'knex';

/** What each host keeps builds in, as its worker or runner says it: {kind, said}. Null: a runner of an earlier version. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE runners ADD sandbox jsonb;
    CREATE TABLE workers (
      host text PRIMARY KEY,
      sandbox jsonb NOT NULL,
      seen_at timestamptz NOT NULL DEFAULT now()
    );
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
