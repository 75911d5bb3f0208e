import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { whyAway } from '../../db/away';
import { createHalfOpen, cut, socketLimits } from '../../db/half-open';
import type { TargetConfig } from '../../domain/config';
import { failpoint } from '../../domain/failpoint';
import { removeTree, settle } from '../archive';
import { runTargetCommand } from '../build';
import { valueOf } from '../secrets';
import { faultIn, FaultError, scarcity } from '../causes';
import { verdict, type StepContext } from '../step';
import { differences, outside, sequencesOf, summaryOf } from './checksums';
import type { BackupKind } from './kind';
import { keptPublications, restorable, rightsOf } from './restorable';
import { isLaterTry } from './tries';
import { sentences } from '../../domain/sentences';

/**
 * A PostgreSQL database, by pg_dump. It is proven for where it would be restored: the same login restores it into a
 * scratch database, in the same way, and every table, owner and grant is compared with what the dump's own snapshot held.
 * What the login could not put back is named first, so that nothing is swapped that could not be undone.
 *
 * Restored in one transaction: everything that the database holds is dropped and made anew from the dump, or nothing is.
 */
export type PostgresConfig = Extract<TargetConfig['backup'], { kind: 'postgres' }>;

const restorer = join(__dirname, 'restore-postgres.js');

/** As pg_dump and its like take it: never as an argument, which everybody on the host could read. */
export function connectionEnv(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname, searchParams } = new URL(url);
  const sslmode = searchParams.get('sslmode');
  return {
    PGHOST: searchParams.get('host') ?? hostname,
    PGPORT: port || '5432',
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: decodeURIComponent(pathname.slice(1)),
    PGAPPNAME: 'signalbox-backup',
    PGCONNECT_TIMEOUT: '10',
    ...(sslmode ? { PGSSLMODE: sslmode } : {}),
  };
}
/** For what the tools cannot take by their environment: the network says within half a minute that the other end is gone. */
const socket = 'keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=30000';
export const programOf = ({ binaries }: PostgresConfig, name: string) =>
  binaries ? join(binaries, name) : name;

export function postgresBackup(config: PostgresConfig): BackupKind {
  const timeoutSeconds = config.timeoutSeconds;
  const limitMs = timeoutSeconds * 1000;
  const urlOf = ({ target }: StepContext) => valueOf('backup.database', target.name, config.database);
  const tool = (context: StepContext, program: string, args: string[], url: string) =>
    runTargetCommand(
      context,
      'backup',
      {
        argv: [programOf(config, program), `--dbname=${socket}`, ...args],
        timeoutSeconds,
        own: true,
        faultIn,
      },
      context.room.workspace,
      connectionEnv(url),
    );

  const restoreInto = (context: StepContext, url: string, order: object) =>
    runTargetCommand(
      context,
      'backup',
      {
        argv: [process.execPath, restorer, JSON.stringify({ ...toolsOf(config), ...order })],
        timeoutSeconds,
        shown: 'pg_restore into a scratch database',
        own: true,
        faultIn,
      },
      context.room.workspace,
      connectionEnv(url),
    );

  return {
    extension: 'dump',
    what: 'its PostgreSQL database',
    async make(context, file) {
      const url = urlOf(context);
      await mkdir(dirname(file), { recursive: true });
      const fresh = `${file}.new`;
      const source = await connected(url, limitMs);
      try {
        // What the dump sees and what is compared with it are one snapshot, whatever is written meanwhile.
        await source.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
        await source.query('SET LOCAL idle_in_transaction_session_timeout = 0');
        const { refused, notCompared } = await restorable(source);
        if (refused.length > 0)
          throw verdict(
            'BackupFailed',
            sentences(
              `The login ${connectionEnv(url).PGUSER} could not put back what the database holds: ${few(refused)}`,
              'Let it own that (or be a member of who does), or make it a superuser',
              'Nothing was changed',
            ),
          );
        const kept = await keptPublications(source);
        const first = await sequencesOf(source);
        const { rows } = await source.query<{ snapshot: string }>('SELECT pg_export_snapshot() AS snapshot');
        await tool(
          context,
          'pg_dump',
          ['--format=custom', '--no-password', `--snapshot=${rows[0]!.snapshot}`, `--file=${fresh}`],
          url,
        );
        await settle(fresh, file);
        await failpoint('backup/middle');
        const before = await summaryOf(source);
        const rights = config.scratch ? {} : await rightsOf(source);
        const last = await sequencesOf(source);
        await source.query('COMMIT');
        const scratchUrl = config.scratch
          ? valueOf('backup.scratch', context.target.name, config.scratch)
          : url;
        await withScratch(scratchUrl, url, context, limitMs, async (scratch) => {
          // As it would be restored, by the same login. Another server has roles of its own.
          const args = config.scratch ? ['--no-owner', '--no-acl', '--no-publications'] : [];
          await restoreInto(context, scratch, { file, kept, args });
          const restored = await connected(scratch, limitMs);
          try {
            const wrong = [
              ...differences(before, await summaryOf(restored)),
              ...(config.scratch ? [] : differences(rights, await rightsOf(restored))),
              ...outside(first, last, await sequencesOf(restored)),
            ];
            if (wrong.length > 0)
              throw verdict(
                'BackupFailed',
                `The backup does not restore to what the database held: ${few(wrong)}.`,
              );
          } finally {
            await close(restored);
          }
          // What a restore meets is not an empty database: all that this one holds now is dropped and made again.
          await restoreInto(context, scratch, {
            file,
            kept,
            args: [...args, '--schema-only'],
            rehearse: true,
          });
        });
        const unproven = [
          ...notCompared,
          ...(config.scratch
            ? ['owners, grants and publications, because it was proven on another server']
            : []),
        ];
        const detail = unproven.length === 0 ? {} : { detail: `not compared: ${few(unproven)}` };
        return { ...(await digestOf(file)), entries: Object.keys(before).length, ...detail };
      } catch (thrown) {
        // What did not come to its end must not take the room that the next try needs.
        await removeTree(fresh);
        await removeTree(file);
        throw asFault(thrown);
      } finally {
        await close(source);
      }
    },
    async isWhole(file, made) {
      if (!existsSync(file)) return false;
      const { sha256, bytes } = await digestOf(file);
      return sha256 === made.sha256 && bytes === made.bytes;
    },
    async restore(context, file, fence, more) {
      const order = JSON.stringify({ file, ...toolsOf(config) });
      await runTargetCommand(
        context,
        'restore',
        {
          argv: [process.execPath, restorer, order],
          timeoutSeconds,
          shown: `putting back ${file}`,
          own: true,
          faultIn,
        },
        context.room.backups,
        connectionEnv(urlOf(context)),
        fence,
        more,
      );
    },
  };
}

const toolsOf = (config: PostgresConfig) => ({
  pgRestore: programOf(config, 'pg_restore'),
  psql: programOf(config, 'psql'),
  socket,
});
const few = (lines: string[]) =>
  lines.slice(0, 5).join('; ') + (lines.length > 5 ? `; and ${lines.length - 5} more` : '');

/**
 * @param limitMs how long one statement may take.
 * @throws an error without the URL in it, which holds a password.
 */
export async function connected(url: string, limitMs: number): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'signalbox-backup',
    connectionTimeoutMillis: 10_000,
    ...socketLimits,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    createHalfOpen(url).watch(client);
    await client.query(`SET statement_timeout = ${limitMs}`);
    return client;
  } catch (thrown) {
    cut(client);
    throw asFault(thrown);
  }
}

/** Says goodbye, but waits for no answer from a server that gives none. */
export async function close(client: pg.Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), sleep(1_000)]);
  cut(client);
}

/** That a target's own database is away says nothing about what is deployed. */
function asFault(thrown: unknown): unknown {
  if (!whyAway(thrown) || scarcity(thrown)) return thrown;
  return new FaultError('database-away', "The target's database did not answer", { cause: thrown });
}

/**
 * Makes a scratch database beside the one backed up, and drops it, whatever happens; also what an earlier try left. Only
 * of lower tries, because this one may have been stopped since it began.
 */
async function withScratch(
  serverUrl: string,
  sourceUrl: string,
  { key, name: attempt, tryName }: StepContext,
  limitMs: number,
  work: (url: string) => Promise<void>,
): Promise<void> {
  // Of its name a digest: a database is called by 63 characters at most.
  const mine = createHash('sha256').update(attempt).digest('hex').slice(0, 8);
  const family = `signalbox_scratch_${key}_${mine}_`.toLowerCase();
  const name = `${family}${tryName}`;
  const admin = await connected(serverUrl, limitMs);
  const drop = (database: string) => admin.query(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`);
  try {
    const left = await admin.query<{ datname: string }>(
      'SELECT datname FROM pg_database WHERE starts_with(datname, $1)',
      [family],
    );
    for (const { datname } of left.rows)
      if (!isLaterTry(datname.slice(family.length), tryName)) await drop(datname);
    const source = await connected(sourceUrl, limitMs);
    const { rows } = await source
      .query<{ encoding: string; collate: string; ctype: string }>(
        `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype
           FROM pg_database WHERE datname = current_database()`,
      )
      .finally(() => close(source));
    const { encoding, collate, ctype } = rows[0]!;
    await admin.query(
      `CREATE DATABASE "${name}" TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE '${collate}' LC_CTYPE '${ctype}'`,
    );
    await work(Object.assign(new URL(serverUrl), { pathname: `/${name}` }).href);
  } finally {
    await drop(name).catch(() => undefined);
    await close(admin);
  }
}

async function digestOf(file: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return { sha256: hash.digest('hex'), bytes: (await stat(file)).size };
}
