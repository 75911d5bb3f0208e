import type { Knex } from 'knex';

/**
 * What the record says of an attempt that has ended stays, whoever writes by the application's login: how it ended, what it
 * made live and found there, its steps and its backup. Until then its own columns are what workers say by that very login.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Not SECURITY DEFINER: it lets be who owns the table.
    CREATE FUNCTION keep_ended() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      ended record;
    BEGIN
      IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN RETURN NEW; END IF;
      SELECT 'CP-' || d.promotion || '.' || d.attempt AS key, d.status INTO ended FROM deployments d
       WHERE d.id = CASE TG_TABLE_NAME WHEN 'deployments' THEN (to_jsonb(OLD) ->> 'id')::integer
                         ELSE (to_jsonb(OLD) ->> 'deployment')::integer END
         AND d.status IN ('succeeded', 'rolled-back', 'refused', 'cancelled', 'superseded');
      IF FOUND THEN
        RAISE EXCEPTION '% has ended as %: what the record says of it stays', ended.key, ended.status;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_ended BEFORE UPDATE ON deployments FOR EACH ROW
      WHEN ((OLD.status, OLD.fence, OLD.from_deployment, OLD.from_release, OLD.to_release, OLD.restores, OLD.migration_began,
             OLD.failure, OLD.outcome, OLD.outcome_code, OLD.observed, OLD.drifted)
        IS DISTINCT FROM
            (NEW.status, NEW.fence, NEW.from_deployment, NEW.from_release, NEW.to_release, NEW.restores, NEW.migration_began,
             NEW.failure, NEW.outcome, NEW.outcome_code, NEW.observed, NEW.drifted))
      EXECUTE FUNCTION keep_ended();
    -- One that was still open then may be closed.
    CREATE TRIGGER keep_ended BEFORE UPDATE ON deployment_steps FOR EACH ROW
      WHEN (OLD.status IN ('done', 'failed') AND
            (OLD.deployment, OLD.name, OLD.status, OLD.round, OLD.attempt, OLD.scheduled, OLD.fence, OLD.detail, OLD.started_at, OLD.finished_at)
        IS DISTINCT FROM
            (NEW.deployment, NEW.name, NEW.status, NEW.round, NEW.attempt, NEW.scheduled, NEW.fence, NEW.detail, NEW.started_at, NEW.finished_at))
      EXECUTE FUNCTION keep_ended();
    -- All but that it was removed.
    CREATE TRIGGER keep_ended BEFORE UPDATE ON backups FOR EACH ROW
      WHEN ((OLD.deployment, OLD.reference, OLD.kind, OLD.sha256, OLD.bytes, OLD.entries, OLD.verified_at)
        IS DISTINCT FROM
            (NEW.deployment, NEW.reference, NEW.kind, NEW.sha256, NEW.bytes, NEW.entries, NEW.verified_at))
      EXECUTE FUNCTION keep_ended();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
