import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connect, connectOwner, migrate, type Db } from '../../db/connect';
import { grantRights } from '../../db/rights';

/** Migrating from several processes at once, and after one was killed while it migrated. */
let admin: Db;
let name: string;
let pools: Db[];
beforeEach(async () => {
  admin = connectOwner(process.env.TEST_POSTGRES!);
  name = `migrate_${randomBytes(6).toString('hex')}`;
  await admin.raw(`CREATE DATABASE ${name}`);
  const url = Object.assign(new URL(process.env.TEST_POSTGRES!), { pathname: `/${name}` }).href;
  pools = Array.from({ length: 6 }, () => connectOwner(url));
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.destroy()));
  await admin.raw(`DROP DATABASE ${name}`);
  await admin.destroy();
});

it('six that start together on an empty database all find it migrated, once', async () => {
  await Promise.all(pools.map((pool) => migrate(pool)));
  expect(await pools[0]!('knex_migrations')).toHaveLength(readdirSync('db/migrations').length);
});

it('a lock row that a killed process left does not stand in the way', async () => {
  await migrate(pools[0]!);
  await pools[0]!('knex_migrations_lock').update({ is_locked: 1 });
  await migrate(pools[1]!);
});

it('starts on the schema of a later version, and leaves it as it is', async () => {
  await migrate(pools[0]!);
  await pools[0]!('knex_migrations').insert({ name: '999-of-a-later-version', batch: 9 });
  await migrate(pools[1]!);
  expect(await pools[0]!('knex_migrations').where({ name: '999-of-a-later-version' })).toHaveLength(1);
});

it('says in the trail what it corrects of numbers that nobody gave out, and who moves a row from then on', async () => {
  const owner = pools[0]!;
  const files = readdirSync('db/migrations').sort();
  const up = async (names: string[]) => {
    for (const file of names) {
      const { up: migration } = (await import(`../../db/migrations/${file}`)) as {
        up(knex: Db): Promise<void>;
      };
      await migration(owner);
    }
    await grantRights(owner);
  };
  await up(files.filter((file) => file < '036'));
  await owner('targets').insert([
    { name: 'full', fence: '9223372036854775807' },
    { name: 'well', fence: 7 },
  ]);
  await up(files.filter((file) => file >= '036'));
  expect(await owner('targets').orderBy('name').select('name', 'fence', 'lost_fence')).toEqual([
    { name: 'full', fence: 1_000, lost_fence: 0 },
    { name: 'well', fence: 7, lost_fence: 0 },
  ]);
  expect(await owner('audit').where({ action: 'target.fence-raised' }).pluck('subject')).toEqual(['full']);
  const { rows } = await owner.raw(
    `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosrc ~ 'NEW[.]moved ->> ''by'''`,
  );
  expect(rows).toEqual([]);
});

it('works once an administrator has granted what a first start was not allowed to', async () => {
  await migrate(pools[0]!);
  const owner = `owner_${name}`;
  const app = `app_${name}`;
  const url = (user: string, database: string) =>
    Object.assign(new URL(process.env.TEST_POSTGRES!), {
      username: user,
      password: 'x',
      pathname: `/${database}`,
    }).href;
  for (const role of [owner, app]) await admin.raw(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
  await admin.raw(`CREATE DATABASE own_${name} OWNER ${owner}`);
  const theirs = connectOwner(url(owner, `own_${name}`));
  const works = connect(url(app, `own_${name}`));
  try {
    await expect(migrate(theirs, app)).rejects.toThrow(
      new RegExp(`let an administrator run "GRANT signalbox_app TO ${owner}, ${app}"`),
    );
    await admin.raw(`GRANT signalbox_app TO ${owner}, ${app}`);
    await migrate(theirs, app);
    expect(await works('targets').select('name')).toEqual([]);
  } finally {
    await Promise.all([theirs.destroy(), works.destroy()]);
    await admin.raw(`DROP DATABASE own_${name} WITH (FORCE)`);
    for (const role of [owner, app]) await admin.raw(`DROP ROLE ${role}`);
  }
});
