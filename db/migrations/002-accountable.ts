import type { Knex } from 'knex';

/**
 * Who may do what, and a record of it that nobody can bend: people, their tokens and sessions, and the audit trail.
 *
 * Audit entries are written by triggers in the transaction of the change, unsealed, so that writers never wait for
 * each other; `seal_audit` then gives them their numbers and hashes, one sealer at a time. An entry is kept as the
 * exact text that is hashed, and its columns are generated from that text, so that none can say something else.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- What a person may do: "release-manager" on every target, or "release-manager:shop" on one.
    CREATE TABLE people (
      name text PRIMARY KEY,
      grants text[] NOT NULL DEFAULT '{}',
      -- Issuer and subject of who signs in by OpenID Connect; a second subject can not take the name.
      subject text UNIQUE,
      disabled_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO people (name) SELECT DISTINCT person FROM tokens;

    ALTER TABLE tokens
      ADD FOREIGN KEY (person) REFERENCES people,
      ADD label text NOT NULL DEFAULT '',
      ADD minted_by text,
      ADD expires_at timestamptz,
      ADD revoked_at timestamptz,
      ADD last_used_at timestamptz,
      ADD moved jsonb NOT NULL DEFAULT '{}';

    CREATE TABLE sessions (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      token_sha256 text NOT NULL UNIQUE,
      person text NOT NULL REFERENCES people,
      -- local: by the link of the embedded mode, may become any of its sample people; oidc: by OpenID Connect.
      kind text NOT NULL CHECK (kind IN ('local', 'oidc')),
      expires_at timestamptz NOT NULL,
      last_used_at timestamptz NOT NULL DEFAULT now(),
      ended_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now()
    );

    -- What each person holds now, by whichever way. A token that ran out takes nothing from its person; a revoked
    -- one and a disabled person do.
    CREATE VIEW standing_grants AS
      SELECT p.name AS person, g.grant_ FROM people p, unnest(p.grants) AS g(grant_) WHERE p.disabled_at IS NULL
      UNION
      SELECT p.name, g.grant_ FROM people p JOIN tokens t ON t.person = p.name, unnest(t.roles) AS g(grant_)
       WHERE p.disabled_at IS NULL AND t.revoked_at IS NULL;

    -- Who moved a row last: {by, why, request}. The triggers copy it into the audit trail.
    ALTER TABLE promotions ADD moved jsonb NOT NULL DEFAULT '{}';
    ALTER TABLE change_requests ADD moved jsonb NOT NULL DEFAULT '{}';
    ALTER TABLE deployments ADD moved jsonb NOT NULL DEFAULT '{}', ADD request_id text;
    ALTER TABLE decisions ADD minted_by text, ADD request_id text;

    -- Whether somebody who may still approve has approved the request's present submission.
    CREATE FUNCTION approval_stands(request integer) RETURNS boolean LANGUAGE sql STABLE AS $$
      SELECT EXISTS (
        SELECT 1 FROM change_requests c JOIN promotions p USING (id)
          JOIN decisions d ON d.change_request = c.id AND d.submission = c.submission
          JOIN standing_grants g ON g.person = d.approver AND g.grant_ IN ('approver', 'approver:' || p.target)
         WHERE c.id = request AND d.counted AND d.decision = 'approve')
    $$;

    CREATE TABLE audit (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      entry text NOT NULL,
      seq bigint UNIQUE,
      hash text,
      at text GENERATED ALWAYS AS (entry::jsonb ->> 'at') STORED,
      actor text GENERATED ALWAYS AS (entry::jsonb ->> 'actor') STORED,
      action text GENERATED ALWAYS AS (entry::jsonb ->> 'action') STORED,
      subject text GENERATED ALWAYS AS (entry::jsonb ->> 'subject') STORED,
      request text GENERATED ALWAYS AS (entry::jsonb ->> 'request') STORED,
      CHECK ((seq IS NULL) = (hash IS NULL))
    );
    CREATE INDEX audit_unsealed ON audit (id) WHERE seq IS NULL;
    CREATE INDEX ON audit (subject, id);
    CREATE INDEX ON audit (actor, id);
    CREATE INDEX ON audit (request) WHERE request IS NOT NULL;

    CREATE FUNCTION record_audit(
      actor text, action text, subject text, before jsonb, after jsonb, why text, request text
    ) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      INSERT INTO audit (entry) VALUES (json_build_object(
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'actor', actor, 'action', action, 'subject', subject,
        'before', before, 'after', after, 'why', why, 'request', request)::text)
    $$;

    -- Seals up to so many entries; at most one sealer at a time. Answers how many it sealed.
    CREATE FUNCTION seal_audit(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
      last bigint;
      link text;
      next record;
      sealed integer := 0;
    BEGIN
      IF NOT pg_try_advisory_xact_lock(4600002) THEN RETURN 0; END IF;
      SELECT seq, hash INTO last, link FROM audit WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1;
      IF NOT FOUND THEN last := 0; link := repeat('0', 64); END IF;
      FOR next IN SELECT id, entry FROM audit WHERE seq IS NULL ORDER BY id LIMIT most LOOP
        last := last + 1;
        link := encode(sha256(convert_to(link || chr(10) || last || chr(10) || next.entry, 'UTF8')), 'hex');
        UPDATE audit SET seq = last, hash = link WHERE id = next.id;
        sealed := sealed + 1;
      END LOOP;
      RETURN sealed;
    END $$;

    -- Whoever owns the table can switch this off, and has to: nothing changes an entry by mistake.
    CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF OLD.seq IS NULL AND NEW.seq IS NOT NULL AND NEW.entry = OLD.entry THEN RETURN NEW; END IF;
      END IF;
      RAISE EXCEPTION 'the audit trail is append-only';
    END $$;
    CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();

    CREATE FUNCTION audit_status() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      row jsonb := to_jsonb(NEW);
      key text := CASE TG_ARGV[0]
        WHEN 'promotion' THEN 'CP-' || (row ->> 'id')
        WHEN 'change-request' THEN 'RFC-' || (row ->> 'id')
        ELSE 'CP-' || (row ->> 'promotion') || '.' || (row ->> 'attempt') END;
      before jsonb := NULL;
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF NEW.status = OLD.status THEN RETURN NULL; END IF;
        before := jsonb_build_object('status', OLD.status);
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), TG_ARGV[0] || '.' || NEW.status, key, before,
        jsonb_build_object('status', NEW.status), NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON promotions
      FOR EACH ROW EXECUTE FUNCTION audit_status('promotion');
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON change_requests
      FOR EACH ROW EXECUTE FUNCTION audit_status('change-request');
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON deployments
      FOR EACH ROW EXECUTE FUNCTION audit_status('deployment');

    CREATE FUNCTION audit_decision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit(NEW.approver, CASE WHEN NEW.counted THEN 'decision.counted' ELSE 'decision.refused' END,
        'RFC-' || NEW.change_request, NULL,
        jsonb_build_object('decision', NEW.decision, 'id', NEW.id, 'submission', NEW.submission,
          'mintedBy', NEW.minted_by, 'refusal', NEW.refusal_code),
        coalesce(NEW.refusal, NEW.comment), NEW.request_id);
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION audit_decision();

    -- Segregation of duties, whoever writes the row and whatever roles they hold: neither who shipped or requested a
    -- change decides on it, nor who holds a token that one of them minted.
    CREATE FUNCTION segregate_duties() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.counted AND EXISTS (
        SELECT 1 FROM change_requests c JOIN promotions p USING (id) WHERE c.id = NEW.change_request
           AND (NEW.approver IN (p.shipped_by, c.requester) OR NEW.minted_by IN (p.shipped_by, c.requester)))
      THEN
        RAISE EXCEPTION '% can not decide on RFC-%: own change', NEW.approver, NEW.change_request;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER segregate BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION segregate_duties();

    CREATE FUNCTION audit_token() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE what text;
    BEGIN
      IF TG_OP = 'INSERT' THEN what := 'token.created';
      ELSIF OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL THEN what := 'token.revoked';
      ELSE RETURN NULL; END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), what, 'token ' || NEW.id, NULL,
        jsonb_build_object('person', NEW.person, 'roles', NEW.roles, 'label', NEW.label, 'expiresAt', NEW.expires_at),
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION audit_token();

    CREATE FUNCTION audit_person() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      before jsonb := NULL;
      what text := 'person.added';
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF NEW.grants = OLD.grants AND NEW.disabled_at IS NOT DISTINCT FROM OLD.disabled_at THEN RETURN NULL; END IF;
        before := jsonb_build_object('grants', OLD.grants, 'disabled', OLD.disabled_at IS NOT NULL);
        what := CASE WHEN (NEW.disabled_at IS NULL) = (OLD.disabled_at IS NULL) THEN 'person.grants-changed'
          WHEN NEW.disabled_at IS NULL THEN 'person.enabled' ELSE 'person.disabled' END;
      END IF;
      PERFORM record_audit(coalesce(NEW.moved ->> 'by', 'unknown'), what, NEW.name, before,
        jsonb_build_object('grants', NEW.grants, 'disabled', NEW.disabled_at IS NOT NULL),
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION audit_person();

    CREATE FUNCTION audit_session() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      what text;
      before jsonb := NULL;
    BEGIN
      IF TG_OP = 'INSERT' THEN what := 'session.signed-in';
      ELSIF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL THEN what := 'session.ended';
      ELSIF NEW.person <> OLD.person THEN
        what := 'session.switched';
        before := jsonb_build_object('person', OLD.person);
      ELSE RETURN NULL; END IF;
      PERFORM record_audit(NEW.person, what, 'session ' || NEW.id, before,
        jsonb_build_object('person', NEW.person, 'kind', NEW.kind), NEW.moved ->> 'why', NEW.moved ->> 'request');
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION audit_session();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
