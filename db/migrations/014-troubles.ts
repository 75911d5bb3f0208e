import type { Knex } from 'knex';

/** Why a step that is still running did not succeed yet: the fault that its last try met. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE deployment_steps
      -- Of another round than the step's own it says nothing about the step.
      ADD fault_round integer,
      ADD fault_cause text,
      -- Empty once a later try has gone on beyond it.
      ADD fault_message text,
      ADD fault_tries integer,
      ADD fault_since timestamptz,
      ADD fault_next_at timestamptz;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
