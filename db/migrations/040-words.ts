import type { Knex } from 'knex';

/** A promotion and its request, which are one change. */
const ofChange = `
      SELECT p.id, words_of(concat_ws(' ', 'CP-' || p.id, 'RFC-' || p.id, p.title, p.revision, p.target, p.shipped_by,
             r.requester, r.description, array_to_string(r.backlog_items, ' ')))
        FROM promotions p JOIN change_requests r USING (id)`;

/**
 * What people look for is found in all that they know something by, and by the beginning of a word as well as by its stem:
 * items by key, title, description, owner and labels; promotions and their requests, which are one change, together.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE FUNCTION words_of(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
      SELECT to_tsvector('simple', said) || to_tsvector('english', said)
    $$;
    -- PostgreSQL's own counts as one that may change.
    CREATE FUNCTION joined(parts text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
      SELECT array_to_string(parts, ' ')
    $$;

    ALTER TABLE backlog_items DROP COLUMN search;
    ALTER TABLE backlog_items ADD search tsvector NOT NULL GENERATED ALWAYS AS (words_of(
      'ITEM-' || id::text || ' ' || title || ' ' || description || ' ' || coalesce(owner, '') || ' ' || joined(labels))) STORED;
    CREATE INDEX ON backlog_items USING gin (search);

    CREATE TABLE change_words (
      id integer PRIMARY KEY REFERENCES promotions,
      words tsvector NOT NULL
    );
    CREATE INDEX ON change_words USING gin (words);
    CREATE FUNCTION keep_change_words() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO change_words (id, words) ${ofChange} WHERE p.id = NEW.id
      ON CONFLICT (id) DO UPDATE SET words = EXCLUDED.words;
      RETURN NULL;
    END $$;
    CREATE TRIGGER keep_change_words AFTER INSERT OR UPDATE OF title, revision ON promotions
      FOR EACH ROW EXECUTE FUNCTION keep_change_words();
    CREATE TRIGGER keep_change_words AFTER INSERT OR UPDATE OF description, backlog_items ON change_requests
      FOR EACH ROW EXECUTE FUNCTION keep_change_words();
    INSERT INTO change_words (id, words) ${ofChange};
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
