import type { Knex } from 'knex';

/**
 * The delivery backlog: epics, items in one order, what blocks them, limits on work in progress. What an epic's
 * status and progress are is derived by a view; nothing of it is stored.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE epics (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      title text NOT NULL,
      outcome text NOT NULL DEFAULT '',
      owner text,
      target_date date,
      deleted_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );

    -- Numbers of the places at the end of the order; see domain/backlog/ranking.
    CREATE SEQUENCE backlog_places;
    CREATE TABLE backlog_items (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      title text NOT NULL,
      description text NOT NULL DEFAULT '',
      status text NOT NULL DEFAULT 'open' CONSTRAINT backlog_items_status CHECK (status IN
        ('open', 'in-progress', 'deferred', 'done')),
      priority text NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical', 'high', 'medium', 'low')),
      urgency smallint NOT NULL GENERATED ALWAYS AS (CASE priority
        WHEN 'critical' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 ELSE 4 END) STORED,
      -- A removed item has no place.
      rank text COLLATE "C" DEFAULT 'h' || lpad(to_hex(nextval('backlog_places')), 8, '0')
        CONSTRAINT one_item_of_a_rank UNIQUE,
      epic integer REFERENCES epics,
      owner text,
      due_date date,
      labels text[] NOT NULL DEFAULT '{}',
      -- Its key where it was imported from.
      external_id text,
      -- When work on it began for the first time, and when it was done.
      started_at timestamptz,
      done_at timestamptz,
      -- The promotion whose deployment moved it to done; its rollback moves it back.
      delivered_by integer REFERENCES promotions,
      search tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', description), 'B')) STORED,
      deleted_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      CHECK ((deleted_at IS NULL) = (rank IS NOT NULL)),
      CHECK ((status = 'done') = (done_at IS NOT NULL))
    );
    CREATE UNIQUE INDEX one_item_of_an_external_id ON backlog_items (external_id) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items (status, rank) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items (epic, rank) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items (owner, rank) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items (urgency, rank) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items ((coalesce(due_date, 'infinity')), id) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items (updated_at, id) WHERE deleted_at IS NULL;
    CREATE INDEX ON backlog_items USING gin (labels);
    CREATE INDEX ON backlog_items USING gin (search);
    CREATE INDEX ON backlog_items (delivered_by) WHERE delivered_by IS NOT NULL;
    CREATE INDEX ON change_requests USING gin (backlog_items);
    -- What requests of before named is none of these items: numbers go on behind theirs.
    SELECT setval(pg_get_serial_sequence('backlog_items', 'id'), greatest(1, max(n)), max(n) IS NOT NULL)
      FROM (SELECT substr(key, 6)::integer AS n FROM change_requests, unnest(backlog_items) AS key) AS named
     WHERE n < 1000000;

    -- Ranks that were shortened, so that a reader in mid-list finds its place again.
    CREATE TABLE rank_renewals (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      -- The renewed stretch lies between these; null: at the very beginning, or end.
      lower text COLLATE "C",
      upper text COLLATE "C"
    );
    CREATE TABLE renewed_ranks (
      renewal integer NOT NULL REFERENCES rank_renewals,
      before text COLLATE "C" NOT NULL,
      after text COLLATE "C" NOT NULL,
      PRIMARY KEY (renewal, before)
    );
    -- Where a rank that was read before some renewals is now.
    CREATE FUNCTION rank_since(rank text, renewal integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
    DECLARE
      r record;
      found text;
    BEGIN
      FOR r IN SELECT * FROM rank_renewals WHERE id > renewal ORDER BY id LOOP
        IF (r.lower IS NULL OR rank COLLATE "C" > r.lower) AND (r.upper IS NULL OR rank COLLATE "C" < r.upper) THEN
          SELECT n.after INTO found FROM renewed_ranks n
            WHERE n.renewal = r.id AND n.before <= rank COLLATE "C" ORDER BY n.before DESC LIMIT 1;
          rank := coalesce(found, r.lower, '');
        END IF;
      END LOOP;
      RETURN rank;
    END $$;

    -- Keeps renewals out until the statement is committed, and answers the last one as it is then: each statement of a
    -- volatile function sees what was committed before it.
    CREATE FUNCTION last_renewal() RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock_shared(4600003);
      RETURN (SELECT coalesce(max(id), 0) FROM rank_renewals);
    END $$;

    CREATE TABLE blockers (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      item integer NOT NULL REFERENCES backlog_items,
      -- Null: something outside of the backlog.
      blocked_by integer REFERENCES backlog_items,
      reason text NOT NULL,
      raised_by text NOT NULL,
      raised_at timestamptz NOT NULL DEFAULT now(),
      resolved_at timestamptz,
      resolved_by text,
      resolution text,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      CHECK (blocked_by <> item),
      CHECK ((resolved_at IS NULL) = (resolved_by IS NULL)),
      CHECK ((resolved_at IS NULL) = (resolution IS NULL))
    );
    CREATE UNIQUE INDEX one_open_link ON blockers (item, blocked_by) WHERE resolved_at IS NULL;
    CREATE INDEX ON blockers (item);
    CREATE INDEX open_blockers ON blockers (blocked_by) WHERE resolved_at IS NULL;
    CREATE INDEX open_blockers_by_age ON blockers (id) WHERE resolved_at IS NULL;

    -- Scope: board, owner:<name> or epic:EPIC-3. "most" is null where there is no limit any more.
    -- The row of the board is the lock that every move into progress takes.
    CREATE TABLE wip_limits (
      scope text PRIMARY KEY,
      most integer CHECK (most >= 0),
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1
    );
    INSERT INTO wip_limits (scope) VALUES ('board');

    CREATE VIEW epics_with_progress AS
      SELECT e.*, p.*,
             CASE WHEN p.total > 0 AND p.done = p.total THEN 'done'
                  WHEN p.in_progress + p.done > 0 THEN 'in-progress' ELSE 'open' END AS status
        FROM epics e, LATERAL (
          SELECT count(*) FILTER (WHERE i.status <> 'deferred')::integer AS total,
                 count(*) FILTER (WHERE i.status = 'open')::integer AS open,
                 count(*) FILTER (WHERE i.status = 'in-progress')::integer AS in_progress,
                 count(*) FILTER (WHERE i.status = 'deferred')::integer AS deferred,
                 count(*) FILTER (WHERE i.status = 'done')::integer AS done,
                 count(*) FILTER (WHERE i.status IN ('open', 'in-progress')
                   AND i.due_date < (now() AT TIME ZONE 'UTC')::date)::integer AS overdue,
                 count(b.item)::integer AS blocked
            FROM backlog_items i
            LEFT JOIN LATERAL (SELECT b.item FROM blockers b
              WHERE b.item = i.id AND b.resolved_at IS NULL LIMIT 1) b ON true
           WHERE i.epic = e.id AND i.deleted_at IS NULL) p
       WHERE e.deleted_at IS NULL;

    -- A blocked item is never done, whoever writes the row.
    CREATE FUNCTION keep_blocked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT 1 FROM blockers WHERE item = NEW.id AND resolved_at IS NULL) THEN
        RAISE EXCEPTION 'ITEM-% is blocked and can not be done', NEW.id;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_blocked BEFORE UPDATE OF status ON backlog_items
      FOR EACH ROW WHEN (NEW.status = 'done') EXECUTE FUNCTION keep_blocked();

    CREATE FUNCTION announce_backlog() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce(TG_ARGV[0], TG_ARGV[1] || NEW.id, NEW.version); RETURN NULL; END $$;
    CREATE FUNCTION announce_blocker() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM announce('backlog-item', 'ITEM-' || id, version) FROM backlog_items WHERE id = NEW.item;
      RETURN NULL;
    END $$;
    CREATE FUNCTION announce_wip() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('wip-limits', 'WIP', max(version)) FROM wip_limits; RETURN NULL; END $$;
    CREATE TRIGGER announce_new AFTER INSERT ON backlog_items
      FOR EACH ROW EXECUTE FUNCTION announce_backlog('backlog-item', 'ITEM-');
    CREATE TRIGGER announce AFTER UPDATE ON backlog_items
      FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION announce_backlog('backlog-item', 'ITEM-');
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON epics
      FOR EACH ROW EXECUTE FUNCTION announce_backlog('epic', 'EPIC-');
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON blockers FOR EACH ROW EXECUTE FUNCTION announce_blocker();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON wip_limits FOR EACH STATEMENT EXECUTE FUNCTION announce_wip();

    -- Who remembers credentials hears that one is no longer good.
    CREATE FUNCTION announce_access() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('access', 'ACCESS', 0); RETURN NULL; END $$;
    CREATE TRIGGER announce_access AFTER UPDATE OF revoked_at, expires_at, roles ON tokens
      FOR EACH STATEMENT EXECUTE FUNCTION announce_access();
    CREATE TRIGGER announce_access AFTER UPDATE OF disabled_at ON people
      FOR EACH STATEMENT EXECUTE FUNCTION announce_access();

    -- Those of the fields whose values differ, as they are in "these".
    CREATE FUNCTION differing(these jsonb, those jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
      SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM jsonb_each(these) WHERE those -> key IS DISTINCT FROM value
    $$;
    CREATE FUNCTION item_fields(i backlog_items) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT jsonb_build_object('title', i.title, 'description', i.description, 'status', i.status,
        'priority', i.priority, 'rank', i.rank, 'epic', 'EPIC-' || i.epic, 'owner', i.owner, 'dueDate', i.due_date,
        'labels', i.labels, 'externalId', i.external_id)
    $$;
    CREATE FUNCTION audit_item() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      before jsonb := NULL;
      after jsonb := item_fields(NEW);
      what text := 'created';
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        before := item_fields(OLD);
        what := CASE WHEN NEW.deleted_at IS NOT NULL THEN 'removed'
          WHEN NEW.status <> OLD.status THEN NEW.status
          WHEN NEW.rank <> OLD.rank THEN 'ranked' ELSE 'changed' END;
        after := differing(after, before);
        before := differing(before, item_fields(NEW));
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), 'backlog-item.' || what, 'ITEM-' || NEW.id,
        before, after || jsonb_build_object('version', NEW.version), NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit_new AFTER INSERT ON backlog_items FOR EACH ROW EXECUTE FUNCTION audit_item();
    CREATE TRIGGER audit AFTER UPDATE ON backlog_items
      FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION audit_item();

    CREATE FUNCTION epic_fields(e epics) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT jsonb_build_object('title', e.title, 'outcome', e.outcome, 'owner', e.owner, 'targetDate', e.target_date)
    $$;
    CREATE FUNCTION audit_epic() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      before jsonb := NULL;
      after jsonb := epic_fields(NEW);
      what text := 'created';
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        before := epic_fields(OLD);
        what := CASE WHEN NEW.deleted_at IS NOT NULL THEN 'removed' ELSE 'changed' END;
        after := differing(after, before);
        before := differing(before, epic_fields(NEW));
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), 'epic.' || what, 'EPIC-' || NEW.id,
        before, after || jsonb_build_object('version', NEW.version), NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON epics FOR EACH ROW EXECUTE FUNCTION audit_epic();

    CREATE FUNCTION audit_blocker() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'),
        CASE WHEN NEW.resolved_at IS NULL THEN 'backlog-item.blocked' ELSE 'backlog-item.unblocked' END,
        'ITEM-' || NEW.item, NULL,
        jsonb_build_object('blocker', NEW.id, 'blockedBy', 'ITEM-' || NEW.blocked_by, 'reason', NEW.reason,
          'resolution', NEW.resolution),
        coalesce(NEW.resolution, NEW.reason), NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON blockers FOR EACH ROW EXECUTE FUNCTION audit_blocker();

    CREATE FUNCTION audit_wip() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), 'wip-limit.changed', NEW.scope,
        CASE WHEN TG_OP = 'UPDATE' THEN jsonb_build_object('limit', OLD.most) END,
        jsonb_build_object('limit', NEW.most), NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit_new AFTER INSERT ON wip_limits FOR EACH ROW EXECUTE FUNCTION audit_wip();
    CREATE TRIGGER audit AFTER UPDATE ON wip_limits
      FOR EACH ROW WHEN (NEW.most IS DISTINCT FROM OLD.most) EXECUTE FUNCTION audit_wip();

    -- Whose item it is hears that it is free, or what still blocks it.
    CREATE FUNCTION tell_of_unblocked() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM tell('item.unblocked', 'ITEM-' || i.id, jsonb_build_object('item', 'ITEM-' || i.id, 'title', i.title,
          'owner', i.owner, 'blockedBy', 'ITEM-' || NEW.blocked_by, 'reason', NEW.reason,
          'resolution', NEW.resolution, 'by', NEW.resolved_by, 'stillBlockedBy',
          (SELECT count(*) FROM blockers b WHERE b.item = i.id AND b.resolved_at IS NULL)))
        FROM backlog_items i WHERE i.id = NEW.item AND i.deleted_at IS NULL;
      RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER UPDATE OF resolved_at ON blockers
      FOR EACH ROW WHEN (OLD.resolved_at IS NULL AND NEW.resolved_at IS NOT NULL) EXECUTE FUNCTION tell_of_unblocked();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
