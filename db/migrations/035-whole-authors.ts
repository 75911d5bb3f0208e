import type { Knex } from 'knex';

/**
 * Who changed a request stays an author of it, however often it was rejected and submitted again since: what they wrote is in
 * it still. And whoever vouches for an approver is looked at as far as that goes: an author who mints a token for an
 * administrator, whose token mints one for an approver, would approve their own change in two steps.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE OR REPLACE FUNCTION authors_of(request integer) RETURNS TABLE (person text, part text) LANGUAGE sql STABLE AS $$
      SELECT shipped_by, 'shipped' FROM promotions WHERE id = request
      UNION ALL SELECT requester, 'requested' FROM change_requests WHERE id = request
      UNION ALL SELECT DISTINCT a.person, 'changed' FROM authors a WHERE a.change_request = request
    $$;

    CREATE OR REPLACE FUNCTION own_part(request integer, person text, minted_by text)
    RETURNS TABLE (author text, part text, by_token boolean) LANGUAGE sql STABLE AS $$
      WITH RECURSIVE vouchers (key) AS (
        SELECT person_key(own_part.minted_by) WHERE own_part.minted_by IS NOT NULL
        UNION
        SELECT person_key(w.voucher) FROM vouchers v, LATERAL (
          SELECT t.minted_by FROM tokens t WHERE person_key(t.person) = v.key
          UNION ALL SELECT p.linked_by FROM people p WHERE person_key(p.name) = v.key) w (voucher)
         WHERE w.voucher IS NOT NULL)
      SELECT a.person, a.part, person_key(a.person) <> person_key(own_part.person) FROM authors_of(request) a
       WHERE person_key(a.person) = person_key(own_part.person) OR person_key(a.person) IN (SELECT key FROM vouchers)
       ORDER BY 3, a.part DESC LIMIT 1
    $$;
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
