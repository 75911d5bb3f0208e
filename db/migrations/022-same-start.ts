import type { Knex } from 'knex';

/**
 * What tells a restored database. When the server was started reads the same in every session: nothing begins while it
 * differs from what was seen last, and the zone and the style of times are settings of the login. And up to which number a
 * target may have been switched by what the record does not know any more.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER FUNCTION place_of_rows() SET timezone TO 'UTC';
    ALTER FUNCTION place_of_rows() SET datestyle TO 'ISO';
    -- Numbers up to this one may have been used by what the record has lost, because its database was restored.
    ALTER TABLE targets ADD lost_fence bigint NOT NULL DEFAULT 0;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
