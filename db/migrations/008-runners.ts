import type { Knex } from 'knex';

/** Runners: which there are for a target, when each was last heard of, and which one does a deployment's steps. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE runners (
      target text NOT NULL REFERENCES targets,
      id text NOT NULL,
      host text NOT NULL,
      version text NOT NULL,
      started_at timestamptz NOT NULL,
      seen_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (target, id)
    );
    ALTER TABLE deployments ADD runner text, ADD FOREIGN KEY (target, runner) REFERENCES runners (target, id);
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
