import type { Knex } from 'knex';

/**
 * What is believed of an attempt besides its steps, so that nothing has to be taken from Temporal: what was planned at its
 * admission, whether its recovery goes on waiting, and what a worker or runner saw on its target for its workflow.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE deployments
      -- As its workflow was told it; null: by an earlier version.
      ADD plan jsonb,
      -- Whether nobody ended the workflow that its recovery took it from; null: no recovery, or one of an earlier version.
      ADD resumes boolean;

    CREATE INDEX deployments_owner ON deployments (owner);

    CREATE TABLE sightings (
      deployment integer NOT NULL REFERENCES deployments,
      -- traces: what the target shows of the attempt; live: what it runs.
      what text NOT NULL CHECK (what IN ('traces', 'live')),
      -- The workflow that asked.
      owner text NOT NULL,
      found jsonb NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (deployment, what)
    );
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
