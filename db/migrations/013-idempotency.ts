import type { Knex } from 'knex';

/** Who works on a remembered write at the moment, and until when that is believed; old answers are found by their age. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE idempotency_keys ADD COLUMN holder text, ADD COLUMN held_until timestamptz;
    CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
