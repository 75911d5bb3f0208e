import type { Knex } from 'knex';

/**
 * What a worker, or the API for a runner, records of a step is signed by it: the login that Signalbox works by is not enough
 * to have a step done, nor to say what a build made or what was seen on a target.
 */
export async function up(knex: Knex): Promise<void> {
  // Workers of the version before sign nothing, and do steps beside newer ones until they are ended.
  const upgraded = (await knex('targets').first('name')) !== undefined;
  const fromThen = `now() > ${upgraded ? `'${await tomorrow(knex)}'::timestamptz` : "'-infinity'"}`;
  await knex.raw(`
    ALTER TABLE deployment_steps ADD signature jsonb;
    ALTER TABLE builds ADD signature jsonb;
    ALTER TABLE sightings ADD signature jsonb;
    -- Whether its steps count by their signature alone. The database says so, and the application's login can not change it.
    ALTER TABLE deployments ADD signed boolean NOT NULL DEFAULT (${fromThen});

    -- That a swap acted is known by its number: what has one keeps one.
    CREATE FUNCTION keep_fence() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.fence IS NULL OR NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'step % of deployment % has acted under number %, which stays', OLD.name, OLD.deployment, OLD.fence;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_fence BEFORE UPDATE OF fence ON deployment_steps
      FOR EACH ROW WHEN (OLD.fence IS NOT NULL) EXECUTE FUNCTION keep_fence();
  `);
}

async function tomorrow(knex: Knex): Promise<string> {
  const { rows } = await knex.raw(`SELECT (now() + interval '1 day')::text AS at`);
  return (rows as { at: string }[])[0]!.at;
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
