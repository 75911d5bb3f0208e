import type { Knex } from 'knex';

/**
 * Governance: what a change request says and binds to, its chain and deadlines; deployment windows and overrides;
 * what others are told.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE change_requests
      ADD commits jsonb NOT NULL DEFAULT '[]',
      ADD files jsonb NOT NULL DEFAULT '[]',
      ADD lines integer NOT NULL DEFAULT 0,
      ADD backlog_items text[] NOT NULL DEFAULT '{}',
      ADD rollback_plan text NOT NULL DEFAULT '',
      ADD backup_plan text NOT NULL DEFAULT '',
      ADD planned_start timestamptz,
      ADD planned_minutes integer,
      ADD computed_risk text CHECK (computed_risk IN ('low', 'medium', 'high', 'critical')),
      ADD risk_reasons text[] NOT NULL DEFAULT '{}',
      -- Why a person set another risk than was computed.
      ADD risk_reason text,
      -- Counts what an approval binds to: every change of it is a new revision.
      ADD revision integer NOT NULL DEFAULT 1,
      -- Digest of the target's build recipe when it was submitted, and of all that an approval binds to.
      ADD recipe text NOT NULL DEFAULT '',
      ADD digest text NOT NULL DEFAULT '',
      -- Levels and deadlines of this submission; null: one approver (requests of the version before).
      ADD policy jsonb,
      ADD asked_at timestamptz,
      ADD reminded_at timestamptz,
      ADD escalated_at timestamptz,
      -- Why an overlap with another schedule is accepted.
      ADD conflicts_accepted text,
      -- The review that follows an emergency change or an overridden window, and its deadline.
      ADD review_due_at timestamptz,
      ADD review_overdue_at timestamptz,
      ADD CHECK ((planned_start IS NULL) = (planned_minutes IS NULL));
    CREATE INDEX ON change_requests (planned_start) WHERE planned_start IS NOT NULL;
    CREATE INDEX ended_unfollowed ON change_requests (id)
      WHERE status IN ('completed', 'rejected', 'cancelled') AND submission > 0 AND followed_at IS NULL;
    UPDATE change_requests SET asked_at = submitted_at;

    -- What each submission said; the next one is compared with it.
    CREATE TABLE submissions (
      change_request integer NOT NULL REFERENCES change_requests,
      submission integer NOT NULL,
      content jsonb NOT NULL,
      submitted_by text NOT NULL,
      submitted_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (change_request, submission)
    );

    ALTER TABLE decisions DROP CONSTRAINT decisions_decision_check;
    ALTER TABLE decisions
      ADD CONSTRAINT decisions_decision CHECK (decision IN ('approve', 'reject', 'withdraw', 'review')),
      ADD ordinal bigint GENERATED ALWAYS AS IDENTITY,
      -- The groups its giver was in at that moment.
      ADD groups text[] NOT NULL DEFAULT '{approvers}',
      -- What it binds to.
      ADD digest text NOT NULL DEFAULT '';

    ALTER TABLE people ADD groups text[] NOT NULL DEFAULT '{}';
    ALTER TABLE tokens ADD kind text NOT NULL DEFAULT 'api' CHECK (kind IN ('api', 'feed'));

    CREATE TABLE deployment_windows (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      name text NOT NULL,
      kind text NOT NULL CHECK (kind IN ('allow', 'freeze')),
      target text REFERENCES targets,
      environment text,
      start text NOT NULL,
      time_zone text NOT NULL,
      duration_minutes integer NOT NULL CHECK (duration_minutes > 0),
      rrule text,
      except_dates text[] NOT NULL DEFAULT '{}',
      until text,
      change_types text[],
      risks text[],
      reason text,
      created_by text NOT NULL,
      deleted_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      CHECK (target IS NULL OR environment IS NULL)
    );
    CREATE UNIQUE INDEX one_window_of_a_name ON deployment_windows (name) WHERE deleted_at IS NULL;

    -- One change may pass one window: asked for by one release manager, seconded by another, until it expires.
    CREATE TABLE window_overrides (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      deployment_window integer NOT NULL REFERENCES deployment_windows,
      promotion integer NOT NULL REFERENCES promotions,
      reason text NOT NULL,
      requested_by text NOT NULL,
      expires_at timestamptz NOT NULL,
      seconded_by text,
      seconded_at timestamptz,
      revoked_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      CHECK ((seconded_by IS NULL) = (seconded_at IS NULL))
    );
    CREATE INDEX ON window_overrides (promotion);

    -- Rises with every change of a window or an override. The row's lock serialises those, and nothing else.
    CREATE TABLE window_revision (
      only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
      revision bigint NOT NULL
    );
    INSERT INTO window_revision (revision) VALUES (1);
    CREATE FUNCTION raise_window_revision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE window_revision SET revision = revision + 1; RETURN NULL; END $$;
    CREATE TRIGGER revise AFTER INSERT OR UPDATE ON deployment_windows
      FOR EACH STATEMENT EXECUTE FUNCTION raise_window_revision();
    CREATE TRIGGER revise AFTER INSERT OR UPDATE ON window_overrides
      FOR EACH STATEMENT EXECUTE FUNCTION raise_window_revision();

    CREATE FUNCTION announce_window() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('window', 'WINDOW-' || NEW.id, NEW.version); RETURN NULL; END $$;
    CREATE FUNCTION announce_override() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM announce('promotion', 'CP-' || id, version) FROM promotions WHERE id = NEW.promotion;
      RETURN NULL;
    END $$;
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON deployment_windows
      FOR EACH ROW EXECUTE FUNCTION announce_window();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON window_overrides
      FOR EACH ROW EXECUTE FUNCTION announce_override();

    CREATE FUNCTION audit_window() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      shown jsonb := to_jsonb(NEW) - '{moved,version,created_at,updated_at,created_by,deleted_at}'::text[];
      before jsonb := NULL;
      what text := 'window.created';
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        before := to_jsonb(OLD) - '{moved,version,created_at,updated_at,created_by,deleted_at}'::text[];
        what := CASE WHEN NEW.deleted_at IS NOT NULL THEN 'window.deleted' ELSE 'window.changed' END;
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), what, 'WINDOW-' || NEW.id, before, shown,
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON deployment_windows FOR EACH ROW EXECUTE FUNCTION audit_window();

    CREATE FUNCTION audit_override() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'),
        CASE WHEN TG_OP = 'INSERT' THEN 'override.asked' WHEN NEW.revoked_at IS NOT NULL THEN 'override.revoked'
          ELSE 'override.seconded' END,
        'CP-' || NEW.promotion, NULL,
        jsonb_build_object('override', NEW.id, 'window', NEW.deployment_window, 'expiresAt', NEW.expires_at,
          'requestedBy', NEW.requested_by, 'secondedBy', NEW.seconded_by),
        coalesce(NEW.moved ->> 'why', NEW.reason), NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON window_overrides FOR EACH ROW EXECUTE FUNCTION audit_override();

    -- Author, overrider and second person are three people, whatever roles they hold.
    CREATE FUNCTION segregate_override() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE author text;
    BEGIN
      SELECT shipped_by INTO author FROM promotions WHERE id = NEW.promotion;
      IF author IN (NEW.requested_by, NEW.seconded_by) OR NEW.requested_by = NEW.seconded_by THEN
        RAISE EXCEPTION 'override % of CP-%: who shipped, who overrides and who seconds are three people',
          NEW.id, NEW.promotion;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER segregate BEFORE INSERT OR UPDATE ON window_overrides
      FOR EACH ROW EXECUTE FUNCTION segregate_override();

    ALTER TABLE deployments
      -- Asked to wait for its window rather than be refused outside of it.
      ADD when_open boolean NOT NULL DEFAULT false,
      ADD scheduled_for timestamptz,
      -- While it waits for a window: the revision of the windows by which it was worked out.
      ADD window_revision bigint,
      -- When reconcile last asked Temporal about it.
      ADD swept_at timestamptz NOT NULL DEFAULT now();
    CREATE INDEX sleepers ON deployments (window_revision) WHERE window_revision IS NOT NULL;
    CREATE INDEX to_sweep ON deployments (swept_at) WHERE status IN ('queued', 'waiting-for-window');

    -- The approvals of the request's present content whose givers may still approve.
    CREATE FUNCTION standing_approvals(request integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT coalesce(jsonb_agg(jsonb_build_object('approver', d.approver, 'groups', d.groups) ORDER BY d.ordinal), '[]')
        FROM change_requests c JOIN promotions p USING (id)
        JOIN decisions d ON d.change_request = c.id AND d.submission = c.submission AND d.digest = c.digest
       WHERE c.id = request AND d.counted AND d.decision = 'approve'
         AND NOT EXISTS (SELECT 1 FROM decisions w WHERE w.change_request = c.id AND w.submission = d.submission
               AND w.approver = d.approver AND w.decision = 'withdraw' AND w.counted AND w.ordinal > d.ordinal)
         AND EXISTS (SELECT 1 FROM standing_grants g WHERE g.person = d.approver
               AND g.grant_ IN ('approver', 'approver:' || p.target))
    $$;
    DROP FUNCTION approval_stands(integer);

    -- Where others are told; as the operator's file says, without the secrets.
    CREATE TABLE webhooks (
      name text PRIMARY KEY,
      url text NOT NULL,
      events text[],
      active boolean NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE deliveries (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      webhook text NOT NULL REFERENCES webhooks,
      event text NOT NULL,
      subject text NOT NULL,
      payload jsonb NOT NULL,
      status text NOT NULL DEFAULT 'pending' CONSTRAINT deliveries_status CHECK (status IN ('pending', 'delivered', 'undeliverable')),
      -- Raised by each sending again by hand; a workflow delivers one round.
      round integer NOT NULL DEFAULT 1,
      handed_over boolean NOT NULL DEFAULT false,
      attempts integer NOT NULL DEFAULT 0,
      last_error text,
      created_at timestamptz NOT NULL DEFAULT now(),
      ended_at timestamptz
    );
    CREATE INDEX to_deliver ON deliveries (id) WHERE NOT handed_over;
    CREATE INDEX undeliverable ON deliveries (id) WHERE status = 'undeliverable';

    CREATE FUNCTION tell(event text, subject text, data jsonb) RETURNS void LANGUAGE sql AS $$
      INSERT INTO deliveries (webhook, event, subject, payload)
      SELECT name, tell.event, tell.subject, jsonb_build_object('type', tell.event,
             'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', data)
        FROM webhooks WHERE active AND (events IS NULL OR tell.event = ANY (events))
    $$;
    CREATE FUNCTION tell_change_request(event text, request integer, more jsonb) RETURNS void LANGUAGE sql AS $$
      SELECT tell(tell_change_request.event, 'RFC-' || c.id, jsonb_build_object(
          'changeRequest', 'RFC-' || c.id, 'promotion', 'CP-' || c.id, 'title', p.title, 'target', p.target,
          'revision', p.revision, 'type', c.type, 'risk', c.risk, 'status', c.status, 'requester', c.requester,
          'by', c.moved ->> 'by', 'why', c.moved ->> 'why') || coalesce(more, '{}'))
        FROM change_requests c JOIN promotions p USING (id) WHERE c.id = request
    $$;
    CREATE FUNCTION tell_of_change_request() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.status = OLD.status THEN RETURN NULL; END IF;
      IF NEW.status = 'submitted' AND OLD.status = 'approved' THEN
        PERFORM tell_change_request('approval.voided', NEW.id, NULL);
      ELSIF NEW.status = 'submitted' THEN
        PERFORM tell_change_request('approval.asked', NEW.id, NULL);
      ELSIF OLD.status = 'submitted' AND NEW.status IN ('approved', 'rejected') THEN
        PERFORM tell_change_request('approval.decided', NEW.id, NULL);
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER UPDATE OF status ON change_requests
      FOR EACH ROW EXECUTE FUNCTION tell_of_change_request();

    CREATE FUNCTION tell_of_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE what text := CASE NEW.status
        WHEN 'running' THEN 'deployment.started'
        WHEN 'rolled-back' THEN 'deployment.rolled-back'
        WHEN 'rollback-failed' THEN 'deployment.rollback-failed'
        WHEN 'queued' THEN 'window.opening'
        WHEN 'succeeded' THEN 'deployment.finished' WHEN 'cancelled' THEN 'deployment.finished'
        WHEN 'superseded' THEN 'deployment.finished' WHEN 'refused' THEN 'deployment.finished' END;
    BEGIN
      IF NEW.status = OLD.status OR what IS NULL THEN RETURN NULL; END IF;
      PERFORM tell(what, 'CP-' || NEW.promotion || '.' || NEW.attempt, jsonb_build_object(
        'deployment', 'CP-' || NEW.promotion || '.' || NEW.attempt, 'promotion', 'CP-' || NEW.promotion,
        'target', NEW.target, 'trigger', NEW.trigger, 'status', NEW.status, 'startedBy', NEW.started_by,
        'outcome', coalesce(NEW.outcome, NEW.failure), 'why', NEW.moved ->> 'why'));
      RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER UPDATE OF status ON deployments FOR EACH ROW EXECUTE FUNCTION tell_of_deployment();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
