import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { connectOwner, migrate, type Db } from '../../db/connect';

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
