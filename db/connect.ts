import createKnex, { type Knex } from 'knex';
import pg from 'pg';
import * as deployNow from './migrations/001-deploy-now';

export type Db = Knex;
/** A connection or an open transaction: repositories take either. */
export type Tx = Knex | Knex.Transaction;

// bigint columns hold fencing numbers and byte counts, both far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** @param url a PostgreSQL URL. The pool connects when first used. */
export function connect(url: string, poolSize = 10): Db {
  return createKnex({
    client: 'pg',
    connection: { connectionString: url, application_name: 'signalbox', connectionTimeoutMillis: 10_000 },
    pool: { min: 0, max: poolSize, acquireTimeoutMillis: 15_000 },
  });
}

const migrations: Record<string, Knex.Migration> = { '001-deploy-now': deployNow };

const migrationLock = 4_600_001;
const migrationSource = {
  getMigrations: () => Promise.resolve(Object.keys(migrations)),
  getMigrationName: (name: string) => name,
  getMigration: (name: string) => Promise.resolve(migrations[name]!),
};

/**
 * Brings the schema up to date. Processes that start together take turns under an advisory lock, which ends with
 * its holder. Knex's own lock is a row: it races on an empty database, and stays when its holder is killed.
 */
export async function migrate(db: Db): Promise<void> {
  await db.transaction(async (tx) => {
    await tx.raw('SELECT pg_advisory_xact_lock(?)', [migrationLock]);
    await db.migrate.forceFreeMigrationsLock({ migrationSource });
    await db.migrate.latest({ migrationSource });
  });
}
