import { createHash } from 'node:crypto';
import type { Role } from '../domain/machines';
import type { Db } from './connect';

export interface Person {
  person: string;
  roles: Role[];
}
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** Who a bearer token belongs to. Only the token's SHA-256 is stored. */
export const personByToken = async (db: Db, token: string): Promise<Person | undefined> =>
  (await db('tokens')
    .where({ token_sha256: sha256(token) })
    .first('person', 'roles')) as Person | undefined;

export async function putToken(db: Db, token: string, { person, roles }: Person): Promise<void> {
  await db('tokens')
    .insert({ token_sha256: sha256(token), person, roles })
    .onConflict('token_sha256')
    .ignore();
}
