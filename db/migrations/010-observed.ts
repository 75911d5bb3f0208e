import type { Knex } from 'knex';

/**
 * What was live, as it was found: before an attempt acted (`observed`), what somebody else put there meanwhile (`drifted`),
 * and what was last seen on each target.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE deployments ADD observed jsonb, ADD drifted jsonb;
    ALTER TABLE targets ADD observed jsonb, ADD observed_at timestamptz;

    -- What runs while the schema changes was swapped without looking; its undo goes by what the record believed.
    UPDATE deployments
       SET observed = CASE WHEN from_release IS NULL THEN '{"kind": "nothing"}'::jsonb
                           ELSE jsonb_build_object('kind', 'release', 'release', from_release) END
     WHERE status IN ('running', 'rolling-back', 'rollback-failed');

    -- What was live was taken into the record, or why it was not; null: it is under way.
    CREATE TABLE adoptions (
      id uuid PRIMARY KEY,
      target text NOT NULL REFERENCES targets,
      adopted_by text NOT NULL,
      reason text NOT NULL,
      fence bigint NOT NULL,
      adopted boolean,
      outcome text,
      live jsonb,
      request_id text,
      created_at timestamptz NOT NULL DEFAULT now(),
      ended_at timestamptz
    );
    CREATE FUNCTION announce_adoption() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('target', NEW.target, 0); RETURN NULL; END $$;
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON adoptions
      FOR EACH ROW EXECUTE FUNCTION announce_adoption();

    -- The deployment that made a release live on a target: the one that the record calls current, else the latest that
    -- succeeded with it, else the latest that tried.
    CREATE FUNCTION put_by(target_name text, digest text) RETURNS integer LANGUAGE sql STABLE AS $$
      SELECT d.id FROM deployments d JOIN targets t ON t.name = d.target
       WHERE d.target = target_name AND d.to_release = digest AND d.restores IS NULL
       ORDER BY d.id = t.current_deployment DESC NULLS LAST, d.status = 'succeeded' DESC, d.id DESC
       LIMIT 1
    $$;

    -- The deployment before this one that left another release: what rolling it back by hand returns to. A promotion
    -- that is tried again over nothing returns to what was there before its earlier attempt.
    CREATE FUNCTION release_before(deployment integer) RETURNS integer LANGUAGE sql STABLE AS $$
      WITH RECURSIVE chain AS (
        SELECT id, promotion, from_deployment, to_release, to_release AS mine FROM deployments WHERE id = deployment
        UNION
        SELECT d.id, d.promotion, d.from_deployment, d.to_release, chain.mine
          FROM chain JOIN deployments d ON d.id = coalesce(chain.from_deployment,
                 (SELECT e.from_deployment FROM deployments e
                   WHERE e.promotion = chain.promotion AND e.from_deployment IS NOT NULL
                   ORDER BY e.attempt DESC LIMIT 1))
         WHERE chain.to_release = chain.mine)
      SELECT id FROM chain WHERE to_release <> mine LIMIT 1
    $$;

    -- The deployment whose release a target runs: as recorded, or while nobody vouches for it as it was last seen.
    CREATE FUNCTION live_on(target_name text) RETURNS integer LANGUAGE sql STABLE AS $$
      SELECT CASE WHEN EXISTS (SELECT 1 FROM deployments WHERE target = t.name AND status = 'rollback-failed')
                  THEN put_by(t.name, t.observed->>'release') ELSE t.current_deployment END
        FROM targets t WHERE t.name = target_name
    $$;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
