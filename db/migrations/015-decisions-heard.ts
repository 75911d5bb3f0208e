import type { Knex } from 'knex';

/**
 * A decision on a change request is a word as well: a row before it is a signal, so that one that was accepted is not lost
 * with the workflow that was to hear it. Its verdict, which settles it, is the row in `decisions`.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    ALTER TABLE words
      ALTER deployment DROP NOT NULL,
      ADD change_request integer REFERENCES change_requests,
      -- Of a decision: to which submission it was said, and all that it says (id, decision, digest of what was seen, ...).
      ADD submission integer,
      ADD said jsonb,
      DROP CONSTRAINT words_kind_check,
      ADD CONSTRAINT words_kind CHECK (kind IN ('cancel', 'resolve', 'decision')),
      ADD CONSTRAINT words_about CHECK (
        (kind = 'decision') = (deployment IS NULL) AND
        (kind = 'decision') = (change_request IS NOT NULL AND submission IS NOT NULL AND said IS NOT NULL));
    CREATE UNIQUE INDEX words_decision ON words ((said ->> 'id')) WHERE kind = 'decision';
    CREATE INDEX words_request ON words (change_request) WHERE kind = 'decision';

    -- In the transaction that writes the verdict, and whichever version of Signalbox does.
    CREATE FUNCTION settle_decision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE words SET
          status = CASE WHEN NEW.counted THEN 'done' ELSE 'refused' END,
          outcome = coalesce(NEW.refusal, 'It counts.'),
          ended_at = now(), updated_at = now(), version = version + 1,
          moved = jsonb_build_object('by', 'signalbox')
        WHERE kind = 'decision' AND said ->> 'id' = NEW.id::text AND status = 'waiting';
      RETURN NULL;
    END $$;
    CREATE TRIGGER settle AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION settle_decision();

    CREATE FUNCTION announce_word() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM announce('change-request', 'RFC-' || id, version) FROM change_requests WHERE id = NEW.change_request;
      RETURN NULL;
    END $$;
    CREATE TRIGGER announce_request AFTER INSERT OR UPDATE ON words
      FOR EACH ROW WHEN (NEW.change_request IS NOT NULL) EXECUTE FUNCTION announce_word();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
