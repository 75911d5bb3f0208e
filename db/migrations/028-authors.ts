import type { Knex } from 'knex';

/**
 * Who is one person, whose names nobody has, and who is an author of a change: who shipped it, who requested it, and
 * everybody who changed what an approval binds to since it was last submitted. Triggers note that, in the transaction of
 * the change and whoever writes it; whoever changes it voids what was given.
 */
export async function up(knex: Knex): Promise<void> {
  const { rows } = await knex.raw("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'");
  // A database may be of a locale that knows no letters but those of ASCII.
  const collate = rows.length > 0 ? 'COLLATE "und-x-icu"' : '';
  await knex.raw(`
    -- The same for each way to write a name: in capitals, in other forms of its letters, with what nobody sees.
    CREATE FUNCTION person_key(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
      SELECT lower(trim(regexp_replace(
        regexp_replace(normalize(name, NFKC), '[\\u00ad\\u034f\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufe00-\\ufe0f\\ufeff]', '', 'g'),
        '\\s+', ' ', 'g')) ${collate})
    $$;
    CREATE INDEX people_by_key ON people (person_key(name));

    -- Who said by which account this person signs in, when that was somebody else.
    ALTER TABLE people ADD linked_by text;

    -- Names that Signalbox signs with itself are nobody's, and two people are never told apart by how a name is written.
    CREATE FUNCTION keep_names() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      key text := person_key(NEW.name);
      taken text;
    BEGIN
      IF EXISTS (SELECT 1 FROM people WHERE name = NEW.name) THEN RETURN NEW; END IF;
      IF key = '' OR key IN ('signalbox', 'unknown') OR key LIKE 'operator %' THEN
        RAISE EXCEPTION 'nobody can be called %', NEW.name USING ERRCODE = 'check_violation', CONSTRAINT = 'reserved_name';
      END IF;
      PERFORM pg_advisory_xact_lock(4600007, hashtext(key));
      SELECT name INTO taken FROM people WHERE person_key(name) = key AND name <> NEW.name LIMIT 1;
      IF FOUND THEN
        RAISE EXCEPTION '% is called % here', NEW.name, taken USING ERRCODE = 'unique_violation', CONSTRAINT = 'one_person_of_a_name';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_names BEFORE INSERT OR UPDATE OF name ON people FOR EACH ROW EXECUTE FUNCTION keep_names();

    UPDATE people SET disabled_at = now(), moved = '{"by": "signalbox", "why": "nobody can be called what Signalbox signs with"}'
     WHERE disabled_at IS NULL AND (person_key(name) IN ('', 'signalbox', 'unknown') OR person_key(name) LIKE 'operator %');

    -- Who changed what an approval binds to, and after which submission.
    CREATE TABLE authors (
      change_request integer NOT NULL REFERENCES change_requests,
      submission integer NOT NULL,
      person text NOT NULL,
      changed_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (change_request, submission, person)
    );
    INSERT INTO authors (change_request, submission, person)
      SELECT DISTINCT c.id, c.submission, a.actor FROM change_requests c JOIN audit a ON a.subject = 'RFC-' || c.id
       WHERE a.action = 'change-request.edited' AND c.status NOT IN ('completed', 'cancelled') AND a.actor IS NOT NULL;

    -- What was changed before a submission and after the one before it is part of what is submitted.
    CREATE FUNCTION authors_of(request integer) RETURNS TABLE (person text, part text) LANGUAGE sql STABLE AS $$
      SELECT shipped_by, 'shipped' FROM promotions WHERE id = request
      UNION ALL SELECT requester, 'requested' FROM change_requests WHERE id = request
      UNION ALL SELECT a.person, 'changed' FROM authors a JOIN change_requests c ON c.id = a.change_request
                 WHERE a.change_request = request AND a.submission >= c.submission - 1
    $$;
    -- What this person had to do with it, or who minted their token (by_token); no row: nothing.
    CREATE FUNCTION own_part(request integer, person text, minted_by text)
    RETURNS TABLE (author text, part text, by_token boolean) LANGUAGE sql STABLE AS $$
      SELECT a.person, a.part, person_key(a.person) <> person_key(own_part.person) FROM authors_of(request) a
       WHERE person_key(a.person) IN (person_key(own_part.person), person_key(minted_by))
       ORDER BY 3, a.part DESC LIMIT 1
    $$;

    CREATE OR REPLACE FUNCTION segregate_duties() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.counted AND EXISTS (SELECT 1 FROM own_part(NEW.change_request, NEW.approver, NEW.minted_by)) THEN
        RAISE EXCEPTION '% can not decide on RFC-%: own change', NEW.approver, NEW.change_request;
      END IF;
      RETURN NEW;
    END $$;
    CREATE OR REPLACE FUNCTION segregate_override() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      -- What is revoked gives nothing any more.
      IF NEW.revoked_at IS NULL AND (
        EXISTS (SELECT 1 FROM own_part(NEW.promotion, NEW.requested_by, NULL))
        OR EXISTS (SELECT 1 FROM own_part(NEW.promotion, NEW.seconded_by, NULL))
        OR person_key(NEW.requested_by) = person_key(NEW.seconded_by))
      THEN
        RAISE EXCEPTION 'override % of CP-%: who made the change, who overrides and who seconds are three people',
          NEW.id, NEW.promotion;
      END IF;
      RETURN NEW;
    END $$;

    -- Who says that they moved the row; a change that does not say it is nobody's that is known.
    CREATE FUNCTION moved_by(before jsonb, after jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
      SELECT CASE WHEN after IS DISTINCT FROM before THEN coalesce(after ->> 'by', 'unknown') ELSE 'unknown' END
    $$;
    -- What a request says, and what it needs: all that people change of it.
    CREATE FUNCTION request_fields(c change_requests) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT jsonb_build_object('type', c.type, 'risk', c.risk, 'riskReason', c.risk_reason, 'description', c.description,
        'emergencyReason', c.emergency_reason, 'rollbackPlan', c.rollback_plan, 'backupPlan', c.backup_plan,
        'plannedStart', to_char(c.planned_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'plannedMinutes', c.planned_minutes, 'backlogItems', c.backlog_items,
        'conflictsAccepted', c.conflicts_accepted)
    $$;
    CREATE FUNCTION note_author(request integer, after_submission integer, person text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      IF person = 'signalbox' THEN RETURN; END IF;
      INSERT INTO authors (change_request, submission, person) VALUES (request, after_submission, note_author.person)
        ON CONFLICT DO NOTHING;
      -- Who becomes an author overrides no window for it any more.
      UPDATE window_overrides o
         SET revoked_at = now(), version = version + 1, updated_at = now(),
             moved = jsonb_build_object('by', 'signalbox', 'why', note_author.person || ' changed what it is for')
       WHERE o.promotion = request AND o.revoked_at IS NULL
         AND person_key(note_author.person) IN (person_key(o.requested_by), person_key(o.seconded_by));
    END $$;

    CREATE FUNCTION bind_request() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      said boolean := request_fields(NEW) <> request_fields(OLD);
    BEGIN
      IF NEW.submission < OLD.submission OR NEW.revision < OLD.revision THEN
        RAISE EXCEPTION 'RFC-%: submissions and revisions only rise', NEW.id;
      END IF;
      -- Who submits binds it to how its target is deployed and who has to approve; that makes nobody an author.
      IF said OR (NEW.submission = OLD.submission AND (NEW.digest, NEW.policy, NEW.recipe, NEW.acts)
          IS DISTINCT FROM (OLD.digest, OLD.policy, OLD.recipe, OLD.acts)) THEN
        PERFORM note_author(NEW.id, OLD.submission, moved_by(OLD.moved, NEW.moved));
        IF NEW.digest = OLD.digest THEN
          NEW.digest := 'changed ' || gen_random_uuid();
        END IF;
      END IF;
      IF NEW.digest <> OLD.digest AND EXISTS (
        SELECT 1 FROM decisions d WHERE d.change_request = NEW.id AND d.submission = NEW.submission
           AND d.digest = NEW.digest AND d.counted AND d.decision = 'approve')
      THEN
        RAISE EXCEPTION 'RFC-%: what was approved before it was changed does not come back', NEW.id;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER bind BEFORE UPDATE ON change_requests
      FOR EACH ROW EXECUTE FUNCTION bind_request();

    CREATE FUNCTION audit_edit() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      before jsonb := request_fields(OLD);
      after jsonb := request_fields(NEW);
    BEGIN
      IF before <> after THEN
        PERFORM record_audit(moved_by(OLD.moved, NEW.moved), 'change-request.edited', 'RFC-' || NEW.id,
          differing(before, after), differing(after, before), NEW.moved ->> 'why', NEW.moved ->> 'request');
      ELSIF NEW.submission = OLD.submission AND NEW.policy IS DISTINCT FROM OLD.policy THEN
        PERFORM record_audit(moved_by(OLD.moved, NEW.moved), 'change-request.edited', 'RFC-' || NEW.id,
          jsonb_build_object('policy', OLD.policy), jsonb_build_object('policy', NEW.policy),
          NEW.moved ->> 'why', NEW.moved ->> 'request');
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit_edit AFTER UPDATE ON change_requests FOR EACH ROW EXECUTE FUNCTION audit_edit();

    CREATE FUNCTION promotion_fields(p promotions) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT jsonb_build_object('title', p.title, 'revision', p.revision, 'commit', p.commit, 'target', p.target)
    $$;
    CREATE FUNCTION bind_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      mover text := moved_by(OLD.moved, NEW.moved);
    BEGIN
      PERFORM record_audit(mover, 'change-request.edited', 'RFC-' || NEW.id,
        differing(promotion_fields(OLD), promotion_fields(NEW)), differing(promotion_fields(NEW), promotion_fields(OLD)),
        NEW.moved ->> 'why', NEW.moved ->> 'request');
      -- Whoever edits writes the digest of what it says now after this.
      UPDATE change_requests SET digest = 'changed ' || gen_random_uuid(), moved = NEW.moved || jsonb_build_object('by', mover, 'of', 'promotion')
       WHERE id = NEW.id;
      RETURN NULL;
    END $$;
    CREATE TRIGGER bind AFTER UPDATE ON promotions FOR EACH ROW
      WHEN ((NEW.title, NEW.revision, NEW.commit, NEW.target) IS DISTINCT FROM (OLD.title, OLD.revision, OLD.commit, OLD.target))
      EXECUTE FUNCTION bind_promotion();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
