import type { Knex } from 'knex';

/**
 * Who acts, as far as the database can tell. Triggers learn it from the row (`moved`), which the application's login writes.
 * A name counts for the statement that says it and for no later one; what only people change is never Signalbox's own doing;
 * and by itself that login writes the entries that no row stands for, and no others.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- The entry itself. Triggers and functions of the owner write by it; the application's login may not call it.
    CREATE FUNCTION write_audit(
      actor text, action text, subject text, before jsonb, after jsonb, why text, request text
    ) RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
      INSERT INTO audit (entry) VALUES (json_build_object(
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', actor, 'action', action, 'subject', subject,
        'before', before, 'after', after, 'why', why, 'request', request)::text)
    $$;

    -- What Signalbox says by itself, because no row stands for it: refusals, and what it did elsewhere.
    CREATE FUNCTION sayable_actions() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
      SELECT ARRAY['backup.restored', 'change-request.followed-again', 'database.restored', 'deployment.amended',
        'deployment.run-ended', 'history.removed', 'notification.resent', 'request.refused', 'sign-in.refused',
        'signal.refused', 'targets.read', 'workflow.ended']
    $$;

    CREATE OR REPLACE FUNCTION record_audit(
      actor text, action text, subject text, before jsonb, after jsonb, why text, request text
    ) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    BEGIN
      IF pg_trigger_depth() = 0 THEN
        -- The version before says these itself; the trigger of the row has said it already.
        IF action IN ('target.adopted', 'target.fence-raised', 'deployment.taken-over') THEN RETURN; END IF;
        IF action <> ALL (sayable_actions()) THEN
          RAISE EXCEPTION 'an entry of % is written when it happens, and not by itself', action;
        END IF;
      END IF;
      PERFORM write_audit(actor, action, subject, before, after, why, request);
    END $$;

    -- Each statement that says who moved a row is told from one that does not, also where it says the same as the last one.
    CREATE FUNCTION stamp_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      NEW.moved := NEW.moved || jsonb_build_object('stamp', gen_random_uuid());
      RETURN NEW;
    END $$;

    -- For what only people change: Signalbox itself never does.
    CREATE FUNCTION moved_by_person(before jsonb, after jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
      SELECT coalesce(nullif(moved_by(before, after), 'signalbox'), 'unknown')
    $$;

    ALTER TABLE targets ADD moved jsonb NOT NULL DEFAULT '{}';

    DO $stamp$ DECLARE
      named text;
    BEGIN
      FOREACH named IN ARRAY ARRAY['promotions', 'change_requests', 'deployments', 'people', 'tokens', 'sessions',
        'deployment_windows', 'window_overrides', 'epics', 'backlog_items', 'blockers', 'wip_limits', 'words', 'targets']
      LOOP
        -- The first of its table's: the others compare what it stamped.
        EXECUTE format('CREATE TRIGGER a_stamp BEFORE UPDATE OF moved ON %I FOR EACH ROW EXECUTE FUNCTION stamp_move()', named);
      END LOOP;
    END $stamp$;

    -- Every function that names who moved a row: as the row's last mover they named whoever had moved it before.
    DO $movers$ DECLARE
      f record;
    BEGIN
      FOR f IN SELECT p.proname AS name, pg_get_functiondef(p.oid) AS body FROM pg_proc p
                WHERE p.pronamespace = 'public'::regnamespace AND p.prosrc ~ 'NEW[.]moved ->> ''by'''
      LOOP
        EXECUTE regexp_replace(f.body, 'coalesce\\(NEW[.]moved ->> ''by'', ''(unknown|signalbox)''\\)',
          CASE WHEN f.name IN ('audit_epic', 'audit_blocker', 'audit_wip', 'audit_window') THEN 'moved_by_person' ELSE 'moved_by' END
            || '(OLD.moved, NEW.moved)', 'g');
      END LOOP;
      -- What a request says is written by people alone, and whoever did it is an author.
      FOR f IN SELECT pg_get_functiondef(p.oid) AS body FROM pg_proc p
                WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ('audit_edit', 'bind_promotion')
      LOOP
        EXECUTE replace(f.body, 'moved_by(', 'moved_by_person(');
      END LOOP;
      SELECT pg_get_functiondef('bind_request'::regproc) AS body INTO f;
      EXECUTE replace(f.body, 'moved_by(OLD.moved, NEW.moved)',
        'CASE WHEN said OR NEW.policy IS DISTINCT FROM OLD.policy THEN moved_by_person(OLD.moved, NEW.moved) ELSE moved_by(OLD.moved, NEW.moved) END');
      -- Its own entry, which nobody else may write.
      SELECT pg_get_functiondef('drop_logs'::regproc) AS body INTO f;
      EXECUTE replace(f.body, 'public.record_audit(', 'public.write_audit(');
      -- Who signs in is whose session it is; who ends it may be somebody else.
      SELECT pg_get_functiondef('audit_session'::regproc) AS body INTO f;
      EXECUTE replace(f.body, 'record_audit(NEW.person,',
        'record_audit(CASE WHEN TG_OP = ''INSERT'' THEN NEW.person ELSE moved_by(OLD.moved, NEW.moved) END,');
      SELECT pg_get_functiondef('tell_of_change_request'::regproc) AS body INTO f;
      EXECUTE replace(f.body, 'NEW.id, NULL)', 'NEW.id, jsonb_build_object(''by'', moved_by(OLD.moved, NEW.moved)))');
      -- For whom somebody speaks who signs in is part of who they are.
      SELECT pg_get_functiondef('audit_person'::regproc) AS body INTO f;
      EXECUTE replace(replace(f.body, '''subject'', NEW.subject)', '''subject'', NEW.subject, ''linkedBy'', NEW.linked_by)'),
        '''subject'', OLD.subject)', '''subject'', OLD.subject, ''linkedBy'', OLD.linked_by)');
    END $movers$;

    -- An account is linked by somebody; who it was stays as long as it is that account.
    CREATE FUNCTION keep_linked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'who linked the account of % stays', NEW.name;
    END $$;
    CREATE TRIGGER keep_linked BEFORE UPDATE OF linked_by ON people FOR EACH ROW
      WHEN (NEW.linked_by IS DISTINCT FROM OLD.linked_by AND NEW.subject IS NOT DISTINCT FROM OLD.subject)
      EXECUTE FUNCTION keep_linked();

    -- Whose an attempt is.
    CREATE FUNCTION audit_owner() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit(moved_by(OLD.moved, NEW.moved), 'deployment.taken-over', 'CP-' || NEW.promotion || '.' || NEW.attempt,
        jsonb_build_object('workflow', OLD.owner), jsonb_build_object('workflow', NEW.owner),
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit_owner AFTER UPDATE OF owner ON deployments FOR EACH ROW
      WHEN (NEW.owner <> OLD.owner) EXECUTE FUNCTION audit_owner();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
