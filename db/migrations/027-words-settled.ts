import type { Knex } from 'knex';

/**
 * A decision that waits to be recorded ends with its row in `decisions`, which has an entry in the audit trail. Ended in any
 * other way it had none, so that it could be silenced: that is an entry now, as of what is said to an attempt.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE OR REPLACE FUNCTION audit_word() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      mover text := NEW.said_by;
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF NEW.status = OLD.status THEN RETURN NULL; END IF;
        mover := moved_by(OLD.moved, NEW.moved);
      END IF;
      IF NEW.kind = 'decision' THEN
        IF TG_OP = 'UPDATE' AND NOT EXISTS (SELECT 1 FROM decisions WHERE id::text = NEW.said ->> 'id') THEN
          PERFORM record_audit(mover, 'decision.' || NEW.status, 'RFC-' || NEW.change_request, NULL,
            jsonb_build_object('word', NEW.id, 'by', NEW.said_by, 'decision', NEW.said -> 'decision'),
            NEW.outcome, NEW.request);
        END IF;
        RETURN NULL;
      END IF;
      PERFORM record_audit(mover,
        NEW.kind || CASE WHEN NEW.status = 'waiting' THEN '.said' ELSE '.' || NEW.status END,
        'CP-' || promotion || '.' || attempt, NULL,
        jsonb_strip_nulls(jsonb_build_object('word', NEW.id, 'by', NEW.said_by, 'action', NEW.action)),
        coalesce(NEW.outcome, NEW.reason), NEW.request) FROM deployments WHERE id = NEW.deployment;
      RETURN NULL;
    END $$;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
