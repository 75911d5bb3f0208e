import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { describeDumpable, startDumpable, type Dumpable } from '../helpers/dumpable';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  cli,
  elsewhere,
  newFolder,
  runAlone,
  runProgram,
  startUp,
  stopUp,
  twoPeople,
  until,
  type Up,
} from '../helpers/up';

/**
 * Databases: deployments of a service whose data is in a real PostgreSQL (dumped, verified, migrated, and put back or
 * left), and Signalbox's own record, which goes back while targets and Temporal have gone on.
 */
const run = promisify(execFile);
describeDumpable()('a target with a database', () => {
  let database: Dumpable;
  let up: Up;
  let site: Server;
  let shop: pg.Client;
  let folder: string;
  let record: string;
  const config = () => join(folder, 'signalbox.config.yaml');
  const health = (path: string) => ({
    kind: 'http',
    url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/${path}`,
    version: 'revision',
    intervalMs: 50,
    requestTimeoutMs: 30_000,
    deadlineSeconds: 2,
  });
  /** A target without a database. */
  const plain = (name: string) => ({
    repository: './repository',
    build: { argv: ['sh', 'build.sh'] },
    driver: { kind: 'directory', root: `./${name}` },
    backup: { kind: 'files', paths: ['./data'] },
    health: health(name),
  });
  const writeConfig = (more = {}) =>
    writeFileSync(
      config(),
      JSON.stringify({
        targets: {
          shop: {
            repository: './repository',
            build: { argv: ['sh', 'build.sh'] },
            driver: { kind: 'directory', root: './live' },
            backup: { kind: 'postgres', database: { env: 'SHOP_DATABASE' }, ...more },
            migrate: {
              argv: ['sh', '-c', 'psql "$SHOP_DATABASE" --quiet -v ON_ERROR_STOP=1 -f migrate.sql'],
              restoreDataOnRollback: true,
            },
            secrets: { SHOP_DATABASE: { env: 'SHOP_DATABASE' } },
            health: health('live'),
          },
          depot: plain('depot'),
        },
      }),
    );

  beforeAll(async () => {
    folder = newFolder();
    for (const name of ['live', 'depot', 'alone', 'data']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, 'data', 'orders.txt'), 'one order');
    database = await startDumpable();
    record = Object.assign(new URL(database.url), { pathname: '/record' }).href;
    await database.asOwner('CREATE DATABASE record');
    shop = new pg.Client({ connectionString: database.url });
    // Its server is stopped once.
    shop.on('error', () => undefined);
    await shop.connect();
    await shop.query(`
      CREATE TABLE orders (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric);
      INSERT INTO orders (total) VALUES (10), (20), (30);`);
    const { write, commit } = await makeRepository(join(folder, 'repository'));
    const revision = async (name: string, build: string, sql: string) => {
      write('version.txt', name);
      write('build.sh', build);
      write('migrate.sql', sql);
      await commit(name, name);
    };
    const good = 'mkdir -p dist && cp version.txt migrate.sql dist/';
    await revision('v1', good, 'ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;');
    await revision(
      'sick',
      good,
      `DELETE FROM orders WHERE id > 1; ALTER TABLE orders DROP COLUMN note; CREATE TABLE discounts (code text);`,
    );
    await revision('unbuilt', 'echo no; exit 1', '');
    const same = 'ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;';
    for (const name of ['v2', 'v3']) await revision(name, good, same);
    site = createServer(({ url }, answer) => {
      const version = live(url!.slice(1));
      answer.writeHead(version === 'sick' ? 500 : 200).end(version);
    });
    await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
    writeConfig();
    up = await start();
  });
  const start = (state?: string) =>
    startUp({
      ...(state ? { state } : {}),
      args: ['--no-sample', '--config', config()],
      env: { SHOP_DATABASE: database.url, DATABASE_URL: record },
    });
  const live = (target: string) => readFileSync(join(folder, target, 'current', 'version.txt'), 'utf8');
  afterAll(async () => {
    await shop.end();
    await cleanUp();
    await new Promise((done) => site.close(done));
    await database.stop();
  });

  const orders = async () =>
    (await shop.query<{ row: unknown }>('SELECT to_jsonb(o) AS row FROM orders o ORDER BY id')).rows.map(
      ({ row }) => row,
    );
  async function ship(target: string, revision: string, ...more: string[]): Promise<string> {
    const { out, err } = await cli(up, 'ship', target, revision, '--json', ...more);
    if (out === '') throw new Error(err);
    return (JSON.parse(out) as { key: string }).key;
  }
  const approved = async (key: string) => {
    await cli(up, 'approve', key);
    return key;
  };
  async function deploy(revision: string, target = 'shop') {
    const key = await approved(await ship(target, revision));
    return { code: (await cli(up, 'deploy', key, '--wait')).code, attempt: `${key}.1` };
  }

  it('has its data put back where a migration had begun, and left alone where none had', async () => {
    expect((await deploy('v1')).code).toBe(0);
    await shop.query("INSERT INTO orders (total, note) VALUES (40, 'kept')");
    const before = await orders();
    expect(before).toHaveLength(4);

    const sick = await deploy('sick');
    expect(sick.code).toBe(3);
    expect(await orders()).toEqual(before);
    expect((await shop.query("SELECT to_regclass('discounts') AS there")).rows).toEqual([{ there: null }]);
    // What is numbered goes on where it was.
    await shop.query("INSERT INTO orders (total, note) VALUES (50, 'after')");
    expect((await orders()).at(-1)).toMatchObject({ id: 5, note: 'after' });
    const log = (await cli(up, 'watch', sick.attempt)).out;
    expect(log).toMatch(/undo-migrate: data restored from .*CP-2\.1/);
    expect(log).not.toContain(new URL(database.url).password);
    const backups = answerOf(await cli(up, 'backup', 'list', '--json')) as object[];
    expect(backups).toEqual([
      expect.objectContaining({ key: 'CP-2.1', kind: 'postgres' }),
      expect.objectContaining({ key: 'CP-1.1', kind: 'postgres' }),
    ]);

    // Nothing was backed up or migrated yet when its build failed: what was written since stays.
    const now = await orders();
    expect((await deploy('unbuilt')).code).toBe(3);
    expect(await orders()).toEqual(now);
  });

  const json = async <T>(...args: string[]) => answerOf(await cli(up, ...args, '--json')) as T;
  const inRecord = async <T>(url: string, sql: string): Promise<T[]> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(sql)).rows as T[];
    } finally {
      await client.end();
    }
  };
  const incarnation = async (url: string) =>
    (await inRecord<{ incarnation: string }>(url, 'SELECT incarnation FROM installation'))[0]!.incarnation;
  const aFreeze = [
    '--start',
    '2026-01-01T00:00',
    '--zone',
    'UTC',
    '--rrule',
    'FREQ=DAILY',
    '--minutes',
    '1440',
  ];
  const freeze = (name: string) => cli(up, 'window', 'add', 'freeze', name, ...aFreeze);
  /** Through the target's own journal: numbers only rise. */
  const fencesOf = (target: string) =>
    readFileSync(join(folder, target, '.signalbox', 'journal.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { fence: number }).fence);

  it('goes on from a dump of its record, whatever was deployed, said and asked for since', async () => {
    expect((await deploy('v1', 'depot')).code).toBe(0);
    const [deployedSince, submittedSince] = [
      await ship('depot', 'v2', '--draft'),
      await ship('depot', 'v3', '--draft'),
    ];
    const inApproval = await ship('shop', 'v2');
    const dump = join(folder, 'record.dump');
    await run('pg_dump', ['--format=custom', `--file=${dump}`, record]);

    await cli(up, 'submit', deployedSince);
    expect((await cli(up, 'deploy', await approved(deployedSince), '--wait')).code).toBe(0);
    expect((await cli(up, 'deploy', await approved(inApproval), '--wait')).code).toBe(0);
    expect((await cli(up, 'submit', submittedSince)).out).toContain('is submitted');
    const shippedSince = await ship('depot', 'v3');
    await freeze('lost');
    expect([live('live'), live('depot')]).toEqual(['v2', 'v2']);
    const known = Math.max(...fencesOf('depot'));
    await stopUp(up);
    await database.asOwner('DROP DATABASE record', 'CREATE DATABASE record');
    await run('pg_restore', ['--exit-on-error', `--dbname=${record}`, dump]);
    up = await start(up.state);

    const verified = await cli(up, 'audit', 'verify');
    expect(verified.out).toMatch(
      /The database was restored at entry \d+, .* as incarnation 2-[^]*were exported and are gone/,
    );
    expect(verified.code).toBe(0);
    // Besides the backups of what was deployed since the dump, which are named once they are a minute old.
    const lacks = async () =>
      (
        await json<{ differences: { kind: string; subject: string; todo: string }[] }>('doctor')
      ).differences.filter(({ kind }) => kind !== 'backup-unrecorded');
    const differences = await lacks();
    expect(differences.map(({ kind, subject }) => `${kind} ${subject}`).sort()).toEqual([
      'live depot',
      'live shop',
      // Who acted there last is no attempt of the record.
      `lost ${deployedSince}.1`,
      `lost ${inApproval}.1`,
    ]);
    for (const { todo } of differences.filter(({ kind }) => kind === 'live'))
      expect(todo).toMatch(/signalbox adopt .* or deploy over it/);
    // Nobody waits for what the record does not know, and it says so.
    await until('what began since to end', async () => {
      const { out } = await cli(up, 'audit', 'list', '--action', 'workflow.ended');
      return [submittedSince, shippedSince].every((key) => out.includes(key.replace('CP', 'RFC')));
    });

    // One target is taken as it is; its promotion in approval goes on.
    expect((await cli(up, 'adopt', 'shop', '--reason', 'the record was restored')).code).toBe(0);
    expect((await lacks()).map(({ subject }) => subject).sort()).toEqual([`${deployedSince}.1`, 'depot']);
    expect((await cli(up, 'deploy', await approved(inApproval), '--wait')).code).toBe(0);

    // The other one is deployed over: a rollback returns to what was live there, of which the record knows nothing.
    expect((await cli(up, 'submit', submittedSince)).out).toContain('is submitted');
    expect((await cli(up, 'deploy', await approved(submittedSince), '--wait')).code).toBe(0);
    expect(live('depot')).toBe('v3');
    expect(await cli(up, 'rollback', submittedSince, '--wait', '--reason', 'a drill')).toMatchObject({
      code: 0,
    });
    expect(live('depot')).toBe('v2');

    // A number comes again, and means something else.
    expect(await ship('depot', 'v3')).toBe(shippedSince);
    expect((await cli(up, 'deploy', await approved(shippedSince), '--wait')).code).toBe(0);
    const [newest] = await inRecord<{ owner: string }>(
      record,
      'SELECT owner FROM deployments ORDER BY id DESC',
    );
    expect(newest!.owner).toMatch(new RegExp(`^deploy/${shippedSince}/1~2-[0-9a-f]{6}$`));
    const fences = fencesOf('depot');
    expect(fences).toEqual([...fences].sort((a, b) => a - b));
    expect(fences.find((fence) => fence > known)).toBeGreaterThan(known + 500);
    expect(await lacks()).toEqual([]);
  });

  it('notices that a copy of the disk was put back: beside all that runs, and by an API that is there before any worker', async () => {
    const state = newFolder();
    const only = join(folder, 'alone.yaml');
    writeFileSync(only, JSON.stringify({ targets: { alone: plain('alone') } }));
    const env = await elsewhere(up, 'alone');
    const places = ['--config', only, '--state', state];
    const both = async () => {
      const worker = runAlone(env, 'worker', '--grace-seconds', '1', ...places);
      await worker.says(/polling/);
      return worker;
    };
    const api = () => runAlone(env, 'api', '--port', '0', ...places);
    const address = /http:\/\/127\.0\.0\.1:\d+/;
    let [worker, server] = [await both(), api()];
    let people = await twoPeople(env, await server.says(address));
    // After a start of PostgreSQL nothing begins until somebody has looked whether it is the database that it was.
    const shipAlone = (revision: string) =>
      until('it to be shipped', async () => {
        const { out, err } = await runProgram(['ship', 'alone', revision, '--json'], { env: people.carla });
        if (err.includes('database-moved')) return undefined;
        if (out === '') throw new Error(err);
        return JSON.parse(out) as { key: string; accepted?: string };
      });
    const ready = await approved(await ship('depot', 'v2'));
    const putBack = await database.copied();

    expect((await shipAlone('v2')).accepted).toBeUndefined();
    await freeze('lost');
    expect((await cli(up, 'window', 'status', 'depot')).code).toBe(1);
    await until(
      'what was done to be sealed',
      async () => (await inRecord(record, 'SELECT 1 FROM audit WHERE seq IS NULL')).length === 0,
    );
    await until('how far the trail has come to be known outside of it', async () => {
      const mark = JSON.parse(readFileSync(join(up.state, 'database-mark.json'), 'utf8')) as { seq: number };
      const [head] = await inRecord<{ seq: number }>(record, 'SELECT max(seq) AS seq FROM audit');
      return mark.seq >= Number(head!.seq);
    });
    for (const one of [worker, server]) {
      one.child.kill('SIGTERM');
      await one.ended;
    }
    await putBack();

    server = api();
    people = { ...people, carla: { ...people.carla, SIGNALBOX_URL: await server.says(address) } };
    expect(await shipAlone('v3')).toMatchObject({ key: 'CP-1' });
    expect(await incarnation(env.DATABASE_URL!)).toMatch(/^2-/);
    worker = await both();
    await until('what was accepted to be submitted', async () => {
      const [request] = await inRecord<{ status: string }>(
        env.DATABASE_URL!,
        'SELECT status FROM change_requests',
      );
      return request!.status === 'submitted';
    });

    await until('those that ran on to notice it', async () => (await incarnation(record)).startsWith('3-'));
    await freeze('made after');
    expect(await cli(up, 'deploy', ready)).toMatchObject({
      code: 1,
      err: expect.stringContaining('made after'),
    });
    await cli(up, 'window', 'remove', 'made after');
    expect((await cli(up, 'deploy', ready, '--wait')).code).toBe(0);
    expect((await cli(up, 'audit', 'verify')).code).toBe(0);
    for (const one of [worker, server]) {
      one.child.kill('SIGTERM');
      await one.ended;
    }
  });

  it('has a worker that does not start without the tools to back it up', async () => {
    const env = { ...(await elsewhere(up, 'toolless')), SHOP_DATABASE: database.url };
    const state = newFolder();
    writeConfig({ binaries: './nowhere' });
    const bare = runAlone(env, 'worker', '--config', config(), '--state', state);
    await expect(bare.says(/worker is polling/)).rejects.toThrow(
      /ended with 1: [^]*Target shop backs up a PostgreSQL database, but \S*nowhere\/pg_dump could not be run\. Install the client tools/,
    );
    // Tools of an old version, which say so.
    mkdirSync(join(folder, 'old'));
    for (const tool of ['pg_dump', 'pg_restore', 'psql'])
      writeFileSync(join(folder, 'old', tool), `#!/bin/sh\necho "${tool} (PostgreSQL) 9.6.24"\n`, {
        mode: 0o755,
      });
    writeConfig({ binaries: './old' });
    const old = runAlone(env, 'worker', '--config', config(), '--state', state);
    await expect(old.says(/worker is polling/)).rejects.toThrow(
      /ended with 1: [^]*old\/pg_dump is of version 9, which can not dump it/,
    );
    writeConfig();
    await stopUp(up);
  });
});
