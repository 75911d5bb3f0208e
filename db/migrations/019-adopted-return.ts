import type { Knex } from 'knex';

/** A rollback by hand to a release that was adopted restores no deployment, and did not put that release there either. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE OR REPLACE FUNCTION put_by(target_name text, digest text) RETURNS integer LANGUAGE sql STABLE AS $$
      SELECT d.id FROM deployments d JOIN targets t ON t.name = d.target
       WHERE d.target = target_name AND d.to_release = digest AND d.restores IS NULL AND d.trigger <> 'rollback'
       ORDER BY d.id = t.current_deployment DESC NULLS LAST, d.status = 'succeeded' DESC, d.id DESC
       LIMIT 1
    $$;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
