import type { Knex } from 'knex';

/**
 * One inbox for each attempt: what people say to it (cancel, resolve) is a row before it is a signal, and every row ends
 * as done, refused or expired. A signal only wakes the workflow, so nothing is lost with a run, a workflow or a worker.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE words (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      deployment integer NOT NULL REFERENCES deployments,
      kind text NOT NULL CHECK (kind IN ('cancel', 'resolve')),
      -- Of a resolution: retry or accept.
      action text CHECK ((kind = 'resolve') = (action IS NOT NULL) AND action IN ('retry', 'accept')),
      said_by text NOT NULL,
      reason text,
      -- Id of the HTTP request in which it was said; its signed signal carries the same. One word is one word by it.
      request text NOT NULL,
      status text NOT NULL DEFAULT 'waiting' CONSTRAINT words_status CHECK (status IN
        ('waiting', 'done', 'refused', 'expired')),
      -- What became of it, in plain words.
      outcome text,
      ended_at timestamptz,
      moved jsonb NOT NULL DEFAULT '{}',
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (deployment, kind, request)
    );
    CREATE INDEX words_waiting ON words (deployment) WHERE status = 'waiting';

    ALTER TABLE deployments
      -- Who paused its workflow in Temporal, and how it goes on; null: nobody did.
      ADD paused text,
      -- Until when it may hold before its swap, by this database's clock.
      ADD hold_until timestamptz;

    -- When Temporal asked for the try that holds the step (ms since 1970): tells a try whose count was reset from a late one.
    ALTER TABLE deployment_steps ADD scheduled bigint;

    -- What becomes of the words that wait when their attempt moves, in the transaction that moves it and whichever version
    -- of Signalbox does: none outlives its attempt, and none counts for a question that was not asked when it was said.
    CREATE FUNCTION settle_words() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      by_whom text := coalesce(NEW.moved ->> 'by', 'signalbox');
    BEGIN
      UPDATE words SET
          status = CASE WHEN NEW.status IN ('rolling-back', 'rollback-failed', 'rolled-back', 'cancelled')
            THEN 'done' ELSE 'expired' END,
          outcome = CASE NEW.status
            WHEN 'cancelled' THEN 'It was cancelled; it had not begun.'
            WHEN 'succeeded' THEN 'It came too late: it is deployed. Roll it back instead.'
            WHEN 'rolled-back' THEN 'It was rolled back.'
            WHEN 'rolling-back' THEN 'It is being rolled back.'
            WHEN 'rollback-failed' THEN 'It is being rolled back.'
            ELSE 'It had ended as ' || NEW.status || ' before this was heard; nothing was touched.' END,
          ended_at = now(), updated_at = now(), version = version + 1,
          moved = jsonb_build_object('by', 'signalbox')
        WHERE deployment = NEW.id AND kind = 'cancel' AND status = 'waiting'
          AND NEW.status NOT IN ('queued', 'waiting-for-window', 'running');
      UPDATE words SET
          status = CASE WHEN request = NEW.moved ->> 'request' THEN 'done' ELSE 'expired' END,
          outcome = CASE
            WHEN request <> coalesce(NEW.moved ->> 'request', '') THEN
              CASE WHEN OLD.status = 'rollback-failed' THEN by_whom || ' had answered before; that counts.'
                ELSE 'It was settled before this was heard.' END
            WHEN NEW.status = 'rolling-back' THEN 'The undo is tried again.'
            ELSE 'The target was accepted as it is.' END,
          ended_at = now(), updated_at = now(), version = version + 1,
          moved = jsonb_build_object('by', 'signalbox')
        WHERE deployment = NEW.id AND kind = 'resolve' AND status = 'waiting' AND NEW.status <> 'rollback-failed';
      RETURN NULL;
    END $$;
    CREATE TRIGGER settle_words AFTER UPDATE OF status ON deployments
      FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION settle_words();

    CREATE FUNCTION audit_word() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF NEW.status = OLD.status THEN RETURN NULL; END IF;
      END IF;
      PERFORM record_audit(
        CASE WHEN TG_OP = 'INSERT' THEN NEW.said_by ELSE coalesce(NEW.moved ->> 'by', 'signalbox') END,
        NEW.kind || CASE WHEN NEW.status = 'waiting' THEN '.said' ELSE '.' || NEW.status END,
        'CP-' || promotion || '.' || attempt, NULL,
        jsonb_strip_nulls(jsonb_build_object('word', NEW.id, 'by', NEW.said_by, 'action', NEW.action)),
        coalesce(NEW.outcome, NEW.reason), NEW.request) FROM deployments WHERE id = NEW.deployment;
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE OF status ON words FOR EACH ROW EXECUTE FUNCTION audit_word();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON words FOR EACH ROW EXECUTE FUNCTION announce_step();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
