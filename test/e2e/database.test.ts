import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { describeDumpable, startDumpable, type Dumpable } from '../helpers/dumpable';
import { makeRepository } from '../helpers/repository';
import { cleanUp, cli, elsewhere, newFolder, runAlone, startUp, stopUp, type Up } from '../helpers/up';

/** Deployments of a service whose data is in a real PostgreSQL: dumped, verified, migrated, and put back or left. */
describeDumpable()('a target with a database', () => {
  let database: Dumpable;
  let up: Up;
  let site: Server;
  let shop: pg.Client;
  let folder: string;
  const config = () => join(folder, 'signalbox.config.yaml');
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
            health: {
              kind: 'http',
              url: `http://127.0.0.1:${(site.address() as AddressInfo).port}/`,
              version: 'revision',
              intervalMs: 50,
              requestTimeoutMs: 30_000,
              deadlineSeconds: 2,
            },
          },
        },
      }),
    );

  beforeAll(async () => {
    folder = newFolder();
    mkdirSync(join(folder, 'live'));
    database = await startDumpable();
    shop = new pg.Client({ connectionString: database.url });
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
    site = createServer((_request, answer) => {
      const version = readFileSync(join(folder, 'live', 'current', 'version.txt'), 'utf8');
      answer.writeHead(version === 'sick' ? 500 : 200).end(version);
    });
    await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
    writeConfig();
    up = await startUp({
      args: ['--no-sample', '--config', config()],
      env: { SHOP_DATABASE: database.url },
    });
  });
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
  async function deploy(revision: string): Promise<{ code: number | null; attempt: string }> {
    const { out } = await cli(up, 'ship', 'shop', revision, '--json');
    const { key } = JSON.parse(out) as { key: string };
    await cli(up, 'approve', key);
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
    const backups = JSON.parse((await cli(up, 'backup', 'list', '--json')).out) as object[];
    expect(backups).toEqual([
      expect.objectContaining({ key: 'CP-2.1', kind: 'postgres' }),
      expect.objectContaining({ key: 'CP-1.1', kind: 'postgres' }),
    ]);

    // Nothing was backed up or migrated yet when its build failed: what was written since stays.
    const now = await orders();
    expect((await deploy('unbuilt')).code).toBe(3);
    expect(await orders()).toEqual(now);
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
