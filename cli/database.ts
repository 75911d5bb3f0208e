import { hostname, userInfo } from 'node:os';
import { connect, connectOwner, migrate, type Db } from '../db/connect';
import { mintToken } from '../db/tokens';
import type { Grant } from '../domain/permissions';
import { required } from './settings';

/** What a person at the database does, without the API. */
const databaseUrl = () =>
  required('DATABASE_URL', 'the PostgreSQL database, postgres://user:password@host/name');

/** Brings the schema up to date as the owner of the tables: DATABASE_OWNER_URL, else DATABASE_URL. */
export async function migrateAsOwner(url: string, ownerUrl = process.env.DATABASE_OWNER_URL): Promise<void> {
  const owner = connectOwner(ownerUrl ?? url);
  try {
    await migrate(owner, loginOf(url));
  } finally {
    await owner.destroy();
  }
}

/** The login in a PostgreSQL URL, if it names one. */
const loginOf = (url: string): string | undefined => {
  try {
    return decodeURIComponent(new URL(url).username) || undefined;
  } catch {
    return undefined;
  }
};

/** Who is at this machine, as far as it knows; a user without a name by number. */
export function operator(): string {
  const user = () => {
    try {
      return userInfo().username;
    } catch {
      return `uid ${process.getuid?.()}`;
    }
  };
  return `operator ${user()}@${hostname()}`;
}

/** Makes a token straight in the database: how the first admin gets in. */
export async function tokenInDatabase(token: {
  person: string;
  grants: Grant[];
  label: string | undefined;
  expiresAt: Date | undefined;
}): Promise<string> {
  const url = databaseUrl();
  await migrateAsOwner(url);
  return withDatabase(url, async (db) => {
    const by = operator();
    const move = { by, why: 'made at the database' };
    const made = await db.transaction((tx) => mintToken(tx, { ...token, mintedBy: by }, move));
    return made!.value;
  });
}

export async function withDatabase<T>(url: string, work: (db: Db) => Promise<T>): Promise<T> {
  const db = connect(url);
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}
