import type { Knex } from 'knex';

/**
 * Logs lie in partitions of 250 deployments each, so that old ones are dropped as a whole; histories of workflows are
 * kept beside the record, because Temporal forgets them.
 */
export async function up(knex: Knex): Promise<void> {
  const size = 250;
  const { rows } = await knex.raw('SELECT coalesce(max(id), 0) / ?::integer AS last FROM deployments', [
    size,
  ]);
  // What was written until now stays one table, and becomes the first partition.
  const bound = (Number(rows[0].last) + 1) * size;
  await knex.raw(`
    ALTER TABLE deployment_log RENAME TO deployment_log_0;
    ALTER TABLE deployment_log_0 RENAME CONSTRAINT deployment_log_pkey TO deployment_log_0_pkey;
    CREATE TABLE deployment_log (LIKE deployment_log_0, PRIMARY KEY (deployment, seq)) PARTITION BY RANGE (deployment);
    ALTER TABLE deployment_log ATTACH PARTITION deployment_log_0 FOR VALUES FROM (MINVALUE) TO (${bound});

    -- Runs as the owner: the application's role makes and drops no tables by itself.
    CREATE FUNCTION make_log_partition(deployment integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
      SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
      first integer := deployment / ${size} * ${size};
      name text := 'deployment_log_' || first;
    BEGIN
      IF first < ${bound} OR to_regclass('public.' || name) IS NOT NULL THEN RETURN; END IF;
      PERFORM pg_advisory_xact_lock(4600003);
      IF to_regclass('public.' || name) IS NOT NULL THEN RETURN; END IF;
      EXECUTE format('CREATE TABLE public.%I (LIKE public.deployment_log INCLUDING ALL)', name);
      -- Attaching holds nobody up; CREATE TABLE ... PARTITION OF would hold up every writer.
      EXECUTE format('ALTER TABLE public.deployment_log ATTACH PARTITION public.%I FOR VALUES FROM (%s) TO (%s)',
                     name, first, first + ${size});
    END $$;
    -- The one that it needs, and the next one well before somebody does.
    CREATE FUNCTION log_partition() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM make_log_partition(NEW.id);
      PERFORM make_log_partition(NEW.id + ${size / 2});
      RETURN NEW;
    END $$;
    CREATE TRIGGER log_partition BEFORE INSERT ON deployments FOR EACH ROW EXECUTE FUNCTION log_partition();

    ALTER TABLE deployments ADD log_removed_at timestamptz;
    -- Drops the logs of deployments that all ended before a time, which is a month ago at least.
    CREATE FUNCTION drop_logs(before timestamptz) RETURNS TABLE (first integer, last integer) LANGUAGE plpgsql SECURITY DEFINER
      SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
      part record;
    BEGIN
      IF before > now() - interval '30 days' THEN
        RAISE EXCEPTION 'logs are kept for 30 days at least';
      END IF;
      -- Dropping asks for a lock that holds writers up; rather not now than long.
      PERFORM set_config('lock_timeout', '2s', true);
      FOR part IN
        SELECT c.oid::regclass AS name,
               coalesce(substring(bounds FROM 'FROM \\((\\d+)\\)')::integer, 0) AS lower,
               substring(bounds FROM 'TO \\((\\d+)\\)')::integer AS upper
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
               LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) b
         WHERE i.inhparent = 'public.deployment_log'::regclass
         ORDER BY 3
      LOOP
        CONTINUE WHEN (SELECT coalesce(max(id), 0) FROM public.deployments) < part.upper
          OR EXISTS (SELECT 1 FROM public.deployments d WHERE d.id >= part.lower AND d.id < part.upper
                        AND (d.finished_at IS NULL OR d.finished_at >= before));
        EXECUTE format('DROP TABLE %s', part.name);
        UPDATE public.deployments SET log_removed_at = now() WHERE id >= part.lower AND id < part.upper;
        first := part.lower;
        last := part.upper - 1;
        RETURN NEXT;
      END LOOP;
    END $$;
    REVOKE ALL ON FUNCTION make_log_partition(integer), drop_logs(timestamptz) FROM PUBLIC;

    CREATE TABLE workflow_histories (
      deployment integer NOT NULL REFERENCES deployments,
      workflow_id text NOT NULL,
      run_id text NOT NULL,
      -- As Temporal's own tools read it: JSON, compressed with gzip. None: removed by policy, or gone before it was kept.
      history bytea,
      why_none text,
      kept_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (deployment, workflow_id, run_id),
      CHECK ((history IS NULL) = (why_none IS NOT NULL))
    );
    ALTER TABLE workflow_histories ALTER history SET STORAGE EXTERNAL;
    ALTER TABLE deployments ADD history_kept_at timestamptz;
    CREATE INDEX history_to_keep ON deployments (finished_at) WHERE history_kept_at IS NULL;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
