import type { Knex } from 'knex';

/**
 * The record against the login that Signalbox itself works by: when something began and ended is the database's to say,
 * each change of what people decide on is audited, and an entry that says that a row changed is written by that row's
 * trigger alone.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Not SECURITY DEFINER: it lets be who owns the table.
    CREATE FUNCTION keep_times() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      ended boolean := NEW.status IN ('succeeded', 'rolled-back', 'refused', 'cancelled', 'superseded');
    BEGIN
      IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN RETURN NEW; END IF;
      IF TG_OP = 'INSERT' THEN
        NEW.started_at := CASE WHEN NEW.status = 'running' THEN now() END;
        NEW.finished_at := CASE WHEN ended THEN now() END;
      ELSE
        NEW.started_at := CASE WHEN NEW.status = 'running' AND OLD.status <> 'running' THEN now() ELSE OLD.started_at END;
        NEW.finished_at := CASE WHEN ended AND NEW.status <> OLD.status THEN now() ELSE OLD.finished_at END;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_times BEFORE INSERT OR UPDATE OF status, started_at, finished_at ON deployments
      FOR EACH ROW EXECUTE FUNCTION keep_times();

    CREATE OR REPLACE FUNCTION record_audit(
      actor text, action text, subject text, before jsonb, after jsonb, why text, request text
    ) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN
      IF pg_trigger_depth() = 0 AND (
        action ~ '^(promotion|decision|token|person|session|window|override|backlog-item|epic|wip-limit|cancel|resolve)[.]'
        OR action ~ '^change-request[.](draft|submitted|approved|in-progress|completed|rejected|cancelled)$'
        OR action ~ '^deployment[.](queued|waiting-for-window|running|rolling-back|rollback-failed|succeeded|rolled-back|refused|cancelled|superseded)$')
      THEN
        RAISE EXCEPTION 'an entry of % is written when it happens, and not by itself', action;
      END IF;
      INSERT INTO audit (entry) VALUES (json_build_object(
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', actor, 'action', action, 'subject', subject,
        'before', before, 'after', after, 'why', why, 'request', request)::text);
    END $$;

    -- As before, and it says itself what it dropped.
    CREATE OR REPLACE FUNCTION drop_logs(before timestamptz) RETURNS TABLE (first integer, last integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
      part record;
    BEGIN
      IF before IS NULL OR before > now() - interval '30 days' THEN
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
        PERFORM public.record_audit('signalbox', 'log.removed', 'deployments', NULL, NULL,
          'Logs of the attempts with the internal numbers ' || first || ' to ' || last || ', which ended before '
            || to_char(before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') || ' (retention.logDays).', NULL);
        RETURN NEXT;
      END LOOP;
    END $$;

    -- What somebody holds also comes from their groups, and who they are from their subject.
    CREATE OR REPLACE FUNCTION audit_person() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      before jsonb := NULL;
      after jsonb := jsonb_build_object('grants', NEW.grants, 'disabled', NEW.disabled_at IS NOT NULL,
        'groups', NEW.groups, 'subject', NEW.subject);
      what text := 'person.added';
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        before := jsonb_build_object('grants', OLD.grants, 'disabled', OLD.disabled_at IS NOT NULL,
          'groups', OLD.groups, 'subject', OLD.subject);
        IF before = after THEN RETURN NULL; END IF;
        what := CASE WHEN (NEW.disabled_at IS NULL) <> (OLD.disabled_at IS NULL)
                       THEN CASE WHEN NEW.disabled_at IS NULL THEN 'person.enabled' ELSE 'person.disabled' END
                     WHEN NEW.subject IS DISTINCT FROM OLD.subject THEN 'person.linked'
                     ELSE 'person.grants-changed' END;
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), what, NEW.name, before, after,
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;

    DROP TRIGGER audit ON backlog_items;
    -- A rank alone is written anew where ranks became too long; that says nothing.
    CREATE TRIGGER audit AFTER UPDATE ON backlog_items FOR EACH ROW
      WHEN (NEW.version <> OLD.version OR
        (NEW.title, NEW.description, NEW.status, NEW.priority, NEW.epic, NEW.owner, NEW.due_date, NEW.labels, NEW.external_id,
         NEW.delivered_by, NEW.deleted_at) IS DISTINCT FROM
        (OLD.title, OLD.description, OLD.status, OLD.priority, OLD.epic, OLD.owner, OLD.due_date, OLD.labels, OLD.external_id,
         OLD.delivered_by, OLD.deleted_at))
      EXECUTE FUNCTION audit_item();

    DROP TRIGGER audit ON wip_limits;
    CREATE TRIGGER audit AFTER UPDATE ON wip_limits
      FOR EACH ROW WHEN (NEW.most IS DISTINCT FROM OLD.most OR NEW.scope <> OLD.scope) EXECUTE FUNCTION audit_wip();

    -- Whose session ended, and who holds something else, is heard of as well.
    DROP TRIGGER announce_access ON people;
    CREATE TRIGGER announce_access AFTER UPDATE OF disabled_at, grants ON people
      FOR EACH STATEMENT EXECUTE FUNCTION announce_access();
    CREATE TRIGGER announce_access AFTER UPDATE OF ended_at, person, expires_at ON sessions
      FOR EACH STATEMENT EXECUTE FUNCTION announce_access();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
