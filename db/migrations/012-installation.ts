import type { Knex } from 'knex';

/**
 * Which installation of Signalbox this database belongs to, and which incarnation of the database it is. A database
 * that was restored from a dump or to a point in time, or whose replica took over, may lack what was written last, while
 * Temporal, the targets and those who were told of it go on from there. Where the rows lie says so: a restored table is
 * another table, and a replica that takes over begins another timeline.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE installation (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      id uuid NOT NULL DEFAULT gen_random_uuid(),
      -- Empty for the first; then its number and something that no other has: 2-9f3ab1.
      incarnation text NOT NULL DEFAULT '' CHECK (incarnation ~ '^$|^[1-9][0-9]*-[0-9a-f]+$'),
      -- Where these rows were when a worker last looked; null: nobody has looked yet.
      place jsonb,
      since timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO installation DEFAULT VALUES;

    -- Where these rows are now. What a server does not let be read is left out.
    CREATE FUNCTION place_of_rows() RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
      server text;
      timeline text;
    BEGIN
      BEGIN
        SELECT system_identifier::text INTO server FROM pg_control_system();
      EXCEPTION WHEN OTHERS THEN server := NULL;
      END;
      BEGIN
        timeline := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
      EXCEPTION WHEN OTHERS THEN timeline := NULL;
      END;
      RETURN jsonb_strip_nulls(jsonb_build_object('server', server, 'timeline', timeline,
        'database', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
        'table', 'public.installation'::regclass::oid::text,
        'started', pg_postmaster_start_time()::text));
    END $$;

    CREATE FUNCTION current_incarnation() RETURNS text LANGUAGE sql STABLE SET search_path = public, pg_temp AS
      'SELECT incarnation FROM installation';

    -- In which incarnation a workflow was started for it: the workflow's id carries it.
    ALTER TABLE deployments ADD incarnation text NOT NULL DEFAULT current_incarnation();
    ALTER TABLE change_requests ADD incarnation text NOT NULL DEFAULT current_incarnation();
    ALTER TABLE deliveries ADD incarnation text NOT NULL DEFAULT current_incarnation(),
      -- In which it was written: receivers tell a repeat by the number and this.
      ADD born_in text NOT NULL DEFAULT current_incarnation();

    -- A number may come again after a restore, and mean other windows; this does not.
    ALTER TABLE window_revision ADD stamp uuid NOT NULL DEFAULT gen_random_uuid();
    CREATE OR REPLACE FUNCTION raise_window_revision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE window_revision SET revision = revision + 1, stamp = gen_random_uuid(); RETURN NULL; END $$;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
