import { createHash, randomBytes } from 'node:crypto';
import type { Grant } from '../domain/permissions';
import type { Db, Tx } from './connect';
import { voidLapsedApprovals, type Voided } from './approvals';
import { addPerson, type Person } from './people';
import { movedBy, type Move } from './transition';

/** API tokens. The token itself is shown once, when it is made; only its SHA-256 is kept. */
export interface TokenRow {
  id: number;
  person: string;
  roles: Grant[];
  label: string;
  minted_by: string | null;
  expires_at: Date | null;
  revoked_at: Date | null;
  last_used_at: Date | null;
  created_at: Date;
}
export interface NewToken {
  person: string;
  grants: Grant[];
  label?: string;
  /** Who makes it, when that is not who it is for. */
  mintedBy?: string;
  expiresAt?: Date;
  /** `feed`: good for reading the calendar by its address, and for nothing else. */
  kind?: 'api' | 'feed';
}

export const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
/** 192 random bits; the prefix lets scanners for leaked secrets know it. */
export const randomToken = (prefix: 'sb' | 'sbs') => `${prefix}_${randomBytes(24).toString('base64url')}`;

/** Makes a token. @param token a value to keep instead of a new one; known already, it stays as it is. */
export async function mintToken(
  tx: Tx,
  token: NewToken,
  move: Move,
  value = randomToken('sb'),
): Promise<{ id: number; value: string } | undefined> {
  const person = await addPerson(tx, token.person, move);
  const [row] = (await tx('tokens')
    .insert({
      token_sha256: sha256(value),
      person,
      roles: token.grants,
      label: token.label ?? '',
      kind: token.kind ?? 'api',
      minted_by: token.mintedBy === token.person ? null : (token.mintedBy ?? null),
      expires_at: token.expiresAt ?? null,
      ...movedBy(move),
    })
    .onConflict('token_sha256')
    .ignore()
    .returning('id')) as { id: number }[];
  return row && { id: row.id, value };
}

/** @returns undefined when there is no such token, or it was revoked before. */
export async function revokeToken(tx: Tx, id: number, move: Move): Promise<Voided[] | undefined> {
  const changed = await tx('tokens')
    .where({ id })
    .whereNull('revoked_at')
    .update({ revoked_at: tx.fn.now(), ...movedBy(move) });
  return changed === 1 ? voidLapsedApprovals(tx, move) : undefined;
}

/** Noted at most once a minute, so that reading does not become writing. */
export const useNotedEveryMs = 60_000;

/**
 * Who a bearer token belongs to, and until when (milliseconds since 1970); undefined when it is unknown, revoked, expired
 * or its person disabled.
 */
export async function personByToken(
  db: Db,
  value: string,
  kind: 'api' | 'feed' = 'api',
): Promise<{ person: Person; goodForMs: number } | undefined> {
  const { rows } = await db
    .raw(
      `SELECT t.id, t.person, t.roles, t.minted_by, t.last_used_at < now() - ? * interval '1 millisecond' IS NOT FALSE AS unnoted,
              extract(epoch FROM t.expires_at - now()) * 1000 AS left FROM tokens t JOIN people p ON p.name = t.person
        WHERE t.token_sha256 = ? AND t.kind = ? AND t.revoked_at IS NULL AND p.disabled_at IS NULL
          AND (t.expires_at IS NULL OR t.expires_at > now())`,
      [useNotedEveryMs, sha256(value), kind],
    )
    .options({ name: 'person by token' });
  const [row] = rows as (TokenRow & { unnoted: boolean; left: string | null })[];
  if (!row) return undefined;
  if (row.unnoted) await db('tokens').where({ id: row.id }).update({ last_used_at: db.fn.now() });
  return {
    person: {
      person: row.person,
      grants: row.roles,
      credential: `token ${row.id}`,
      ...(row.minted_by ? { mintedBy: row.minted_by } : {}),
    },
    goodForMs: row.left === null ? Infinity : Number(row.left),
  };
}
