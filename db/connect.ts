import createKnex, { type Knex } from 'knex';
import pg from 'pg';
import { createHalfOpen, socketLimits, type HalfOpen } from './half-open';
import * as deployNow from './migrations/001-deploy-now';
import * as accountable from './migrations/002-accountable';
import * as governed from './migrations/003-governed';
import * as backlog from './migrations/004-backlog';
import * as operations from './migrations/005-operations';
import * as backups from './migrations/006-backups';
import * as retention from './migrations/007-retention';
import * as runners from './migrations/008-runners';
import * as wholeAuthors from './migrations/035-whole-authors';
import * as observed from './migrations/010-observed';
import * as troubles from './migrations/014-troubles';
import * as installation from './migrations/012-installation';
import * as inbox from './migrations/011-inbox';
import * as idempotency from './migrations/013-idempotency';
import * as decisionsHeard from './migrations/015-decisions-heard';
import * as runnerActs from './migrations/017-runner-acts';
import * as adoptedReturn from './migrations/019-adopted-return';
import * as sameStart from './migrations/022-same-start';
import * as targetRoots from './migrations/023-target-roots';
import * as believed from './migrations/025-believed';
import * as signedSteps from './migrations/026-signed-steps';
import * as wordsSettled from './migrations/027-words-settled';
import * as authors from './migrations/028-authors';
import * as ownLogin from './migrations/029-own-login';
import * as endedStays from './migrations/031-ended-stays';
import * as sandboxes from './migrations/034-sandboxes';
import * as whoActs from './migrations/037-who-acts';
import * as bounded from './migrations/038-bounded';
import * as words from './migrations/040-words';
import { applicationRole, closeDatabase, grantRights } from './rights';

export type Db = Knex;
/** A connection or an open transaction: repositories take either. */
export type Tx = Knex | Knex.Transaction;

// bigint columns hold fencing numbers and byte counts, both far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
// A date is a day of the calendar, not an instant.
pg.types.setTypeParser(pg.types.builtins.DATE, (day) => day);

/**
 * Limits of a session in which Signalbox works. None of its statements takes long: what does is stuck, and is tried
 * again. A migration may take long and wait for locks as long as it must, so its connection has none of them.
 */
const sessionLimits = {
  // A process that was stopped in the middle of a transaction (a paused machine, a debugger) would otherwise hold its
  // locks, and with them every other worker, until somebody lets it go on.
  idle_in_transaction_session_timeout: 10_000,
  lock_timeout: 10_000,
  statement_timeout: 60_000,
  // A client that is gone without a word holds its locks no longer than this.
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
  tcp_user_timeout: 20_000,
};
/** How long a new connection may take, and how long one is waited for while the pool has none. */
const connectMs = 4_000;
const acquireMs = 5_000;

/**
 * @param url a PostgreSQL URL. The pool connects when first used.
 * @param told hears of connections that were lost or refused. What used one is rejected by itself.
 */
export const connect = (url: string, poolSize = 10, told: Told = () => undefined): Db =>
  open(url, poolSize, told, asApplication());
const asApplication = (more: string[] = []) => ({
  options: [
    `-c role=${applicationRole}`,
    ...Object.entries(sessionLimits).map(([name, limit]) => `-c ${name}=${limit}`),
    ...more,
  ].join(' '),
});
type Told = (message: string) => void;

/** A connection that changes nothing: the server refuses whatever would. */
export const connectReadOnly = (url: string): Db =>
  open(url, 4, () => undefined, asApplication(['-c default_transaction_read_only=on']));

/** A connection as the owner of the tables, for migrations. */
export const connectOwner = (url: string): Db => open(url, 2, () => undefined);

function open(url: string, poolSize: number, told: Told, more: object = {}): Db {
  const halfOpen = createHalfOpen(url);
  const db = createKnex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: 'signalbox',
      connectionTimeoutMillis: connectMs,
      ...socketLimits,
      ...more,
    },
    pool: {
      min: 0,
      max: poolSize,
      acquireTimeoutMillis: acquireMs,
      afterCreate(connection: pg.Client, done: (error: null, connection: pg.Client) => void) {
        halfOpen.watch(connection);
        done(null, connection);
      },
    },
    // Left out, each of them is printed, in yellow, into whatever this process prints.
    log: { warn: told, error: told, deprecate: told, debug: () => undefined },
  });
  // Knex asks this before it hands out a connection that was idle.
  (db.client as { validateConnection: HalfOpen['usable'] }).validateConnection = halfOpen.usable;
  return db;
}

const migrations: Record<string, Knex.Migration> = {
  '001-deploy-now': deployNow,
  '002-accountable': accountable,
  '003-governed': governed,
  '004-backlog': backlog,
  '005-operations': operations,
  '006-backups': backups,
  '007-retention': retention,
  '008-runners': runners,
  '010-observed': observed,
  '014-troubles': troubles,
  '011-inbox': inbox,
  '013-idempotency': idempotency,
  '015-decisions-heard': decisionsHeard,
  '017-runner-acts': runnerActs,
  '012-installation': installation,
  '019-adopted-return': adoptedReturn,
  '022-same-start': sameStart,
  '023-target-roots': targetRoots,
  '025-believed': believed,
  '026-signed-steps': signedSteps,
  '028-authors': authors,
  '029-own-login': ownLogin,
  '031-ended-stays': endedStays,
  '027-words-settled': wordsSettled,
  '034-sandboxes': sandboxes,
  '035-whole-authors': wholeAuthors,
  '037-who-acts': whoActs,
  '038-bounded': bounded,
  '040-words': words,
};

const migrationLock = 4_600_001;
const migrationSource = {
  getMigrations: () => Promise.resolve(Object.keys(migrations)),
  getMigrationName: (name: string) => name,
  getMigration: (name: string) => Promise.resolve(migrations[name]!),
};

/**
 * Brings the schema up to date. Processes that start together take turns under an advisory lock, which ends with
 * its holder. Knex's own lock is a row: it races on an empty database, and stays when its holder is killed.
 * @param owner a connection of `connectOwner`.
 * @param login the login that Signalbox works by; it is let be the application's role.
 */
export async function migrate(owner: Db, login?: string): Promise<void> {
  await owner.transaction(async (tx) => {
    await tx.raw('SELECT pg_advisory_xact_lock(?)', [migrationLock]);
    await owner.migrate.forceFreeMigrationsLock({ migrationSource });
    const [, applied] = (await owner.migrate.latest({
      migrationSource,
      // A version may start on the schema of a later one, which only adds to it.
      disableMigrationsListValidation: true,
    })) as [number, string[]];
    if (applied.length > 0 || !(await isGranted(owner))) await grantRights(owner);
    await closeDatabase(owner);
    await admit(owner, login);
  });
}

/** Not where an earlier start migrated and was not allowed to grant. */
async function isGranted(owner: Db): Promise<boolean> {
  const { rows } = await owner.raw(
    `SELECT has_table_privilege(rolname, 'knex_migrations', 'SELECT') AS granted FROM pg_roles WHERE rolname = ?`,
    [applicationRole],
  );
  return rows[0]?.granted === true;
}

/** Lets the owner, and the login that Signalbox works by, be the application's role. */
async function admit(owner: Db, login: string | undefined): Promise<void> {
  const { rows } = await owner.raw(
    `SELECT rolname FROM pg_roles WHERE rolname IN (current_user, ?) AND NOT pg_has_role(rolname, ?, 'MEMBER') ORDER BY rolname = current_user DESC`,
    [login ?? null, applicationRole],
  );
  const names = (rows as { rolname: string }[]).map(({ rolname }) => rolname);
  if (names.length === 0) return;
  await owner
    .raw(`GRANT ${applicationRole} TO ${names.map(() => '??').join(', ')}`, names)
    .catch((thrown: unknown) => {
      throw new Error(
        `This login may not grant the role ${applicationRole}; let an administrator run "GRANT ${applicationRole} TO ${names.join(', ')}" once.`,
        { cause: thrown },
      );
    });
}
