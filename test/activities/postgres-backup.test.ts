import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync, truncateSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import pg from 'pg';
import { backupKind, type Made } from '../../activities/backups/kind';
import { connectionEnv } from '../../activities/backups/postgres';
import { summaryOf } from '../../activities/backups/checksums';
import { rightsOf } from '../../activities/backups/restorable';
import { whyUnusable } from '../../activities/backups/tools';
import { faultIn, judge } from '../../activities/causes';
import type { StepContext } from '../../activities/step';
import type { TargetConfig } from '../../domain/config';
import { redactor } from '../../activities/redact';
import { darkProxy } from '../helpers/dark-proxy';
import { describeDumpable, startDumpable, type Dumpable } from '../helpers/dumpable';
import { patienceMs } from '../helpers/until';

/** The postgres backup with real tools and a real server of a version that they can dump. */
describeDumpable()('the postgres backup', () => {
  let server: Dumpable;
  let folder: string;
  let url: string;
  let client: pg.Client;
  let tries = 0;
  const lines: string[] = [];
  const config = (more = {}): TargetConfig['backup'] => ({
    kind: 'postgres',
    database: { env: 'SHOP_DATABASE' },
    timeoutSeconds: patienceMs / 1000,
    keepDays: 30,
    ...more,
  });
  beforeAll(async () => {
    server = await startDumpable();
    ({ folder, url } = server);
    await server.asOwner("CREATE ROLE reader LOGIN PASSWORD 'reader'");
    process.env.SHOP_DATABASE = url;
    client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`
      CREATE TABLE orders (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric, at timestamptz DEFAULT now(), tags text[]);
      INSERT INTO orders (total, tags) SELECT n * 1.25, ARRAY['a', 'ü ''', NULL] FROM generate_series(1, 1000) n;
      CREATE SCHEMA stock;
      CREATE TABLE stock.items (name text PRIMARY KEY, photo bytea, weight double precision);
      INSERT INTO stock.items VALUES ('nut', '\\xdeadbeef', 0.1), ('bolt', NULL, 'NaN');
      CREATE TABLE parted (day date, n integer) PARTITION BY RANGE (day);
      CREATE TABLE parted_2026 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
      INSERT INTO parted VALUES ('2026-11-25', 1), ('2026-11-26', 2);
      CREATE VIEW totals AS SELECT sum(total) AS total FROM orders;
      GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON orders TO reader;
      SELECT lo_from_bytea(0, '\\x0102');`);
  });
  afterAll(async () => {
    await client.end();
    await server.stop();
  });

  const contextOf = (): StepContext => {
    const tryName = `backup-1-${++tries}`;
    return {
      step: 'backup',
      key: 'CP-1.1',
      name: 'CP-1.1@0a1b2c3d',
      tryName,
      target: { name: 'shop' },
      driver: { room: join(folder, 'room') },
      room: { workspace: join(folder, 'work', tryName), backups: join(folder, 'backups') },
      log: { write: (_stream: string, text: string) => void lines.push(text), ready: () => undefined },
      signal: new AbortController().signal,
      goesOn: () => Promise.resolve(),
      secrets: {},
      redact: redactor({}),
    } as unknown as StepContext;
  };
  // What fails here is meant to.
  const activity = () =>
    new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR', () => undefined) });
  const file = () => join(folder, 'backups', `CP-1.1.backup-1-${tries + 1}.dump`);
  async function make(more = {}) {
    const place = file();
    const context = contextOf();
    const made = (await activity().run(() => backupKind(config(more)).make(context, place))) as Made;
    return { place, made, context };
  }
  const restore = (place: string, fence: number) =>
    activity().run(() => backupKind(config()).restore(contextOf(), place, fence));
  const databases = async () =>
    (await client.query("SELECT datname FROM pg_database WHERE datname LIKE 'signalbox_scratch%'")).rows;
  const now = async () => {
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    try {
      return await summaryOf(other);
    } finally {
      await other.end();
    }
  };

  it('is proven to restore before it counts, and leaves nothing behind', async () => {
    const { place, made } = await make();
    // orders, stock.items, the partition, and the large objects.
    expect(made).toMatchObject({ entries: 4, bytes: statSync(place).size });
    expect(await backupKind(config()).isWhole(place, made)).toBe(true);
    expect(await databases()).toEqual([]);
    expect(existsSync(`${place}.new`)).toBe(false);
    expect(statSync(place).mode & 0o077).toBe(0);
    // Passwords are nobody's to read: neither in the log nor among the processes' arguments.
    expect(lines.join('\n')).not.toContain(new URL(url).password);
  });

  it('holds one moment, whatever is written while it is taken', async () => {
    let stop = false;
    const writer = new pg.Client({ connectionString: url });
    await writer.connect();
    const writing = (async () => {
      while (!stop) await writer.query('INSERT INTO orders (total) VALUES (1)');
    })();
    await make();
    stop = true;
    await writing;
    await writer.end();
  });

  it('removes the scratch databases of earlier tries, and none of a later one or of another Signalbox', async () => {
    const digest = createHash('sha256').update('CP-1.1@0a1b2c3d').digest('hex').slice(0, 8);
    const [lower, ...stay] = [
      `${digest}_backup-1-0`,
      `${digest}_backup-2-1`,
      `${digest}_by-hand`,
      // Of the same server, under the same number.
      'f00df00d_backup-1-0',
      'backup-1-0',
    ].map((name) => `signalbox_scratch_cp-1.1_${name}`);
    for (const name of [lower, ...stay]) await client.query(`CREATE DATABASE "${name}"`);
    try {
      await make();
      expect((await databases()).map(({ datname }) => datname).sort()).toEqual(stay.sort());
    } finally {
      for (const name of [lower, ...stay]) await client.query(`DROP DATABASE IF EXISTS "${name}"`);
    }
  });

  it('is not whole any more when a bit or its end is missing', async () => {
    const { place, made } = await make();
    const bytes = readFileSync(place);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    writeFileSync(place, bytes);
    expect(await backupKind(config()).isWhole(place, made)).toBe(false);
    truncateSync(place, 100);
    expect(await backupKind(config()).isWhole(place, made)).toBe(false);
    rmSync(place);
    expect(await backupKind(config()).isWhole(place, made)).toBe(false);
  });

  it('stops the deployment when it would not restore as it was', async () => {
    // A check that depends on another table holds here, and can not hold while the tables come one after the other.
    await client.query(`
      CREATE FUNCTION known(text) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM stock.items WHERE name = $1)';
      CREATE TABLE a_first (item text CHECK (public.known(item))); INSERT INTO a_first VALUES ('nut')`);
    await expect(make()).rejects.toThrow(/backup failed: pg_restore .* exited with 1/);
    expect(await databases()).toEqual([]);
    await client.query('DROP TABLE a_first; DROP FUNCTION known');
  });

  it('restores everything as it was, also what the migration added, dropped and changed', async () => {
    const { place } = await make();
    const before = await now();
    await client.query(`
      DELETE FROM orders WHERE id < 500; DROP TABLE stock.items; CREATE TABLE added (n integer); CREATE SCHEMA more;
      ALTER TABLE orders ADD COLUMN note text; SELECT lo_from_bytea(0, '\\x03'); UPDATE parted SET n = 9`);
    expect(await now()).not.toEqual(before);
    await restore(place, 1);
    expect(await now()).toEqual(before);
    // Grants are there again, also on the schema that no dump makes.
    const reader = new pg.Client({
      connectionString: Object.assign(new URL(url), { username: 'reader', password: 'reader' }).href,
    });
    await reader.connect();
    expect((await reader.query('SELECT count(*)::int AS n FROM orders')).rows[0].n).toBeGreaterThan(999);
    await reader.end();
    // Again without harm; under a lower number not at all.
    await restore(place, 2);
    await client.query('INSERT INTO orders (total) VALUES (7)');
    const since = await now();
    await expect(restore(place, 1)).rejects.toThrow('Fencing number 1 was refused');
    expect(await now()).toEqual(since);
  });

  describe('for a login that is no superuser', () => {
    let shop: string;
    let owner: pg.Client;
    let root: pg.Client;
    const query = async (place: string, ...statements: string[]) => {
      const other = new pg.Client({ connectionString: place });
      await other.connect();
      try {
        for (const statement of statements) await other.query(statement);
      } finally {
        await other.end();
      }
    };
    beforeAll(async () => {
      await server.asOwner(
        "CREATE ROLE keeper LOGIN CREATEDB PASSWORD 'keeper-password'",
        'CREATE ROLE stranger',
        'CREATE DATABASE plain OWNER keeper',
      );
      const place = (username: string, password: string) =>
        Object.assign(new URL(url), { pathname: '/plain', username, password }).href;
      shop = place('keeper', 'keeper-password');
      process.env.PLAIN_DATABASE = shop;
      owner = new pg.Client({ connectionString: shop });
      root = new pg.Client({ connectionString: Object.assign(new URL(url), { pathname: '/plain' }).href });
      await owner.connect();
      await root.connect();
      await owner.query(`
        CREATE TABLE notes (id integer PRIMARY KEY, text text); INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 50) n;
        GRANT SELECT ON notes TO reader; GRANT UPDATE (text) ON notes TO reader; GRANT USAGE ON SCHEMA public TO reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
        CREATE PUBLICATION chosen FOR TABLE notes;
        CREATE EXTENSION pgcrypto;
        CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM notes;
        SELECT lo_from_bytea(0, 'of the keeper')`);
      await root.query('CREATE PUBLICATION all_of_it FOR ALL TABLES');
    }, 60_000);
    afterAll(async () => {
      await owner.end();
      await root.end();
    });
    const taking = () => make({ database: { env: 'PLAIN_DATABASE' } });
    const published = async () =>
      (await root.query('SELECT pubname, tablename FROM pg_publication_tables ORDER BY 1, 2')).rows;

    it('is taken, says what it did not compare, and puts owners, grants and publications back', async () => {
      const { place, made } = await taking();
      expect(made.detail).toContain('not compared: the contents of the materialized view');
      const before = { rights: await rightsOf(root), published: await published() };
      expect(before.published).toContainEqual({ pubname: 'chosen', tablename: 'notes' });
      await query(
        shop,
        'DROP PUBLICATION chosen',
        'REVOKE ALL ON notes FROM reader',
        'ALTER TABLE notes ADD COLUMN more text',
        'DROP EXTENSION pgcrypto',
      );
      await activity().run(() =>
        backupKind(config({ database: { env: 'PLAIN_DATABASE' } })).restore(contextOf(), place, 20),
      );
      expect({ rights: await rightsOf(root), published: await published() }).toEqual(before);
    });

    it.each([
      [
        'an extension of a superuser',
        'CREATE EXTENSION pageinspect',
        'DROP EXTENSION pageinspect',
        /the extension pageinspect needs a superuser/,
      ],
      [
        'a table of somebody else',
        'CREATE TABLE theirs (n integer); ALTER TABLE theirs OWNER TO stranger',
        'DROP TABLE theirs',
        /the relation theirs belongs to stranger/,
      ],
      [
        'a schema of somebody else',
        'CREATE SCHEMA theirs AUTHORIZATION stranger',
        'DROP SCHEMA theirs',
        /the schema theirs belongs to stranger/,
      ],
      [
        'a function of somebody else',
        "CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        'DROP FUNCTION f',
        /the function f\(\) belongs to/,
      ],
      [
        'a large object of somebody else',
        'SELECT lo_create(4711)',
        'SELECT lo_unlink(4711)',
        /the large object 4711 belongs to/,
      ],
      [
        'a publication of somebody else',
        'CREATE PUBLICATION theirs FOR TABLE notes',
        'DROP PUBLICATION theirs',
        /the publication theirs belongs to/,
      ],
      [
        'default privileges of somebody else',
        'ALTER DEFAULT PRIVILEGES FOR ROLE stranger GRANT SELECT ON TABLES TO reader',
        'ALTER DEFAULT PRIVILEGES FOR ROLE stranger REVOKE SELECT ON TABLES FROM reader',
        /default privileges are those of stranger/,
      ],
      [
        'an event trigger',
        "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION e() OWNER TO keeper; CREATE EVENT TRIGGER watch ON sql_drop EXECUTE FUNCTION e()",
        'DROP EVENT TRIGGER watch; DROP FUNCTION e',
        /the event trigger watch needs a superuser/,
      ],
    ])('is refused by name before anything is swapped: %s', async (_what, given, gone, message) => {
      await root.query(given);
      try {
        await expect(taking()).rejects.toMatchObject({
          type: 'BackupFailed',
          message: expect.stringMatching(message),
        });
        expect(existsSync(join(folder, 'backups', `CP-1.1.backup-1-${tries}.dump`))).toBe(false);
      } finally {
        await root.query(gone);
      }
      await taking();
    });
  });

  it('changes nothing when it fails after the large objects, which a dump puts into a transaction of their own', async () => {
    await server.asOwner('CREATE DATABASE late', 'CREATE ROLE viewer');
    const late = Object.assign(new URL(url), { pathname: '/late' }).href;
    const other = new pg.Client({ connectionString: late });
    await other.connect();
    try {
      await other.query(`
        CREATE TABLE kept (id integer PRIMARY KEY); INSERT INTO kept VALUES (1); SELECT lo_from_bytea(0, 'large');
        GRANT ALL ON SCHEMA public TO viewer; ALTER TABLE kept OWNER TO viewer;
        CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM kept; ALTER MATERIALIZED VIEW counted OWNER TO viewer;
        ALTER TABLE kept ENABLE ROW LEVEL SECURITY; ALTER TABLE kept FORCE ROW LEVEL SECURITY`);
      const dump = join(folder, 'late.dump');
      const args = ['--format=custom', `--file=${dump}`];
      const dumped = spawnSync('pg_dump', args, {
        encoding: 'utf8',
        env: { ...process.env, ...connectionEnv(late) },
      });
      expect([dumped.status, dumped.stderr]).toEqual([0, '']);
      await other.query('INSERT INTO kept VALUES (2)');
      const before = [await summaryOf(other), await rightsOf(other)];
      process.env.LATE_DATABASE = late;
      mkdirSync(join(folder, 'backups'), { recursive: true });
      const restoring = activity().run(() =>
        backupKind(config({ database: { env: 'LATE_DATABASE' } })).restore(contextOf(), dump, 40),
      );
      await expect(restoring).rejects.toThrow('restore failed');
      expect(lines.at(-1)).toMatch(/row-level security policy for table "kept"; nothing was changed/);
      expect([await summaryOf(other), await rightsOf(other)]).toEqual(before);
    } finally {
      await other.end();
    }
  });

  it('changes nothing when the dump ends early', async () => {
    const { place } = await make();
    truncateSync(place, Math.floor(statSync(place).size * 0.8));
    await client.query('INSERT INTO orders (total) VALUES (8)');
    const before = await now();
    await expect(restore(place, 50)).rejects.toThrow('restore failed');
    expect(await now()).toEqual(before);
  });

  describe('a database that goes away is a fault', () => {
    const judged = async (work: Promise<unknown>) => {
      const { is, cause, message } = judge(await work.catch((thrown: unknown) => thrown));
      return `${is} ${cause}: ${message}`;
    };
    /** Ends the session of a tool that waits for a lock, as a server does that is stopped. */
    async function endedWhileItWaits(work: () => Promise<unknown>, tool: string): Promise<string> {
      await client.query('BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
      const judging = judged(work());
      const admin = new pg.Client({ connectionString: url });
      await admin.connect();
      try {
        for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(20)) {
          const { rowCount } = await admin.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          );
          if (rowCount) return await judging;
        }
        throw new Error(`${tool} never waited`);
      } finally {
        await admin.end();
        await client.query('ROLLBACK');
      }
    }

    it('before it is asked', async () => {
      process.env.AWAY_DATABASE = Object.assign(new URL(url), { port: '1' }).href;
      expect(await judged(make({ database: { env: 'AWAY_DATABASE' } }))).toMatch(
        /^fault database-away: The target's database did not answer: .*ECONNREFUSED/,
      );
    });
    it('while pg_dump reads it', async () => {
      expect(await endedWhileItWaits(make, 'pg_dump')).toMatch(
        /^fault database-away: backup failed: pg_dump .* exited with 1: .*terminating connection/,
      );
      expect(await databases()).toEqual([]);
    });
    it('while it is restored, which then changes nothing', async () => {
      const { place } = await make();
      const before = await now();
      expect(await endedWhileItWaits(() => restore(place, 100), 'psql')).toMatch(
        /^fault database-away: restore failed: putting back .* exited with 1: .*(terminating|closed the) connection/,
      );
      expect(await now()).toEqual(before);
      await restore(place, 101);
    });
    it('without a word, while its sums are taken', async () => {
      const proxy = await darkProxy(url);
      process.env.DARK_DATABASE = proxy.url;
      (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier = async (name: string) =>
        name === 'backup/middle' && proxy.goDark('all');
      try {
        expect(await judged(make({ database: { env: 'DARK_DATABASE' } }))).toMatch(
          /^fault database-away: .*passed nothing any more/,
        );
      } finally {
        delete (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier;
        await proxy.close();
      }
    });
    it('or its disk is full; a login that it refuses to the tools is none', () => {
      expect(
        [
          'psql:<stdin>:3: ERROR:  could not extend file "base/5/1259": No space left on device',
          'pg_dump: error: could not write to output file: No space left on device',
          'pg_dump: error: connection to server at "db" (10.0.0.7), port 5432 failed: Connection refused',
          'psql: error: connection to server on socket "/run/.s.PGSQL.5432" failed: FATAL:  the database system is starting up',
          'pg_dump: error: connection to server at "db", port 5432 failed: FATAL:  password authentication failed for user "shop"',
          'pg_restore: error: could not execute query: ERROR:  relation "orders" already exists',
        ].map(faultIn),
      ).toEqual(['disk-full', 'disk-full', 'database-away', 'database-away', undefined, undefined]);
    });
  });

  it('its tools are looked at before anything is deployed', async () => {
    const target = (backup: TargetConfig['backup']) => ({ name: 'shop', backup }) as TargetConfig;
    expect(await whyUnusable(target(config()))).toBeUndefined();
    expect(await whyUnusable(target(config({ binaries: '/no/such/folder' })))).toBe(
      'Target shop backs up a PostgreSQL database, but /no/such/folder/pg_dump could not be run. Install the client tools of PostgreSQL, or name their folder in backup.binaries.',
    );
    const old = join(folder, 'old');
    spawnSync('mkdir', ['-p', old]);
    for (const name of ['pg_dump', 'pg_restore', 'psql'])
      writeFileSync(join(old, name), `#!/bin/sh\necho "${name} (PostgreSQL) 9.6.1"\n`, { mode: 0o755 });
    expect(await whyUnusable(target(config({ binaries: old })))).toBe(
      `Target shop backs up a PostgreSQL ${server.major} database, but ${old}/pg_dump is of version 9, which can not dump it. Install the client tools of PostgreSQL ${server.major} or newer, or name their folder in backup.binaries.`,
    );
  });
});

it('a URL is passed to the tools by the environment, its parts decoded', () => {
  expect(connectionEnv('postgres://a%40b:p%2Fw@db.example:5433/my%20shop?sslmode=require')).toMatchObject({
    PGHOST: 'db.example',
    PGPORT: '5433',
    PGUSER: 'a@b',
    PGPASSWORD: 'p/w',
    PGDATABASE: 'my shop',
    PGSSLMODE: 'require',
  });
});
