import type { Db, Tx } from './connect';
import type { Person } from './people';
import { randomToken, sha256, useNotedEveryMs } from './tokens';
import { movedBy, type Move } from './transition';

/** People's sessions. A session holds what its person holds, read at each request, so that a change counts at once. */
export type SessionKind = 'local' | 'oidc';

export async function startSession(
  tx: Tx,
  session: { person: string; kind: SessionKind; hours: number },
  move: Move,
): Promise<string> {
  const value = randomToken('sbs');
  await tx('sessions').insert({
    token_sha256: sha256(value),
    person: session.person,
    kind: session.kind,
    expires_at: tx.raw(`now() + ? * interval '1 hour'`, [session.hours]),
    ...movedBy(move),
  });
  return value;
}

/**
 * Who a session belongs to; undefined when it is unknown, ended, run out or its person disabled.
 * @param idleMinutes how long a session lasts that is not used.
 */
export async function personBySession(
  db: Db,
  value: string,
  idleMinutes: number,
): Promise<Person | undefined> {
  const row = await db('sessions')
    .join('people', 'people.name', 'sessions.person')
    .where({ token_sha256: sha256(value) })
    .whereNull('ended_at')
    .whereNull('disabled_at')
    .whereRaw(`expires_at > now() AND last_used_at > now() - ? * interval '1 minute'`, [idleMinutes])
    .first(
      'sessions.id',
      'person',
      'kind',
      'grants',
      'linked_by',
      db.raw(`last_used_at < now() - ? * interval '1 millisecond' AS unnoted`, [useNotedEveryMs]),
    );
  if (!row) return undefined;
  if (row.unnoted) await db('sessions').where({ id: row.id }).update({ last_used_at: db.fn.now() });
  return {
    person: row.person,
    grants: row.grants,
    credential: `session ${row.id}`,
    ...(row.kind === 'oidc' && row.linked_by ? { mintedBy: row.linked_by } : {}),
    session: { id: row.id, kind: row.kind },
  };
}

export const endSession = (tx: Tx, id: number, move: Move) =>
  tx('sessions')
    .where({ id })
    .whereNull('ended_at')
    .update({ ended_at: tx.fn.now(), ...movedBy(move) });
