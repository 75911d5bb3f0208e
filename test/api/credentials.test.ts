import { createCredentials, type Credentials } from '../../api/credentials';
import { followChanges, type Changes } from '../../db/changes';
import { mintToken } from '../../db/tokens';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** What the API remembers of tokens, and when it forgets it. */
let database: TestDatabase;
let changes: Changes;
let credentials: Credentials;
beforeAll(async () => {
  database = await testDatabase();
  changes = followChanges(database.url);
  await until(() => changes.following());
});
afterAll(async () => {
  await changes.close();
  await database.drop();
});
beforeEach(() => {
  credentials = createCredentials({ db: database.db, changes });
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5));
}
let made = 0;
const token = async (expiresAt?: Date) => {
  made += 1;
  const person = `person-${made}`;
  const minted = await mintToken(database.db, { person, grants: ['sre'], expiresAt }, { by: 'ada' });
  return { ...minted!, person };
};
const who = async (value: string) => (await credentials.byToken(value))?.person;
const revoke = (id: number) => database.db('tokens').where({ id }).update({ revoked_at: new Date() });
/** Nobody hears of what is done in here. */
async function unheard(work: () => Promise<unknown>): Promise<void> {
  await database.owner.raw('ALTER TABLE tokens DISABLE TRIGGER announce_access');
  await work();
  await database.owner.raw('ALTER TABLE tokens ENABLE TRIGGER announce_access');
}

it('a token is looked up once, and again when a change is announced', async () => {
  const { id, value, person } = await token();
  expect(await who(value)).toBe(person);
  await unheard(() => revoke(id));
  // Remembered: this shows that the other cases mean something.
  expect(await who(value)).toBe(person);
  await database.owner.raw("SELECT announce('access', 'ACCESS', 0)");
  await until(async () => (await who(value)) === undefined);
});

it('a revoked token, and one of a disabled person, are announced', async () => {
  let heard = 0;
  const stop = changes.listen((change) => void (change?.entity === 'access' && (heard += 1)));
  const { id, value, person } = await token();
  await who(value);
  await revoke(id);
  await until(() => heard === 1);
  expect(await who(value)).toBeUndefined();
  await database.db('people').where({ name: person }).update({ disabled_at: new Date() });
  await until(() => heard === 2);
  stop();
});

it('whoever changed it here is not waited for', async () => {
  const { id, value } = await token();
  await who(value);
  await unheard(() => revoke(id));
  credentials.forget();
  expect(await who(value)).toBeUndefined();
});

it('what was being read when something changed is not remembered', async () => {
  const { id, value, person } = await token();
  const reading = who(value);
  credentials.forget();
  expect(await reading).toBe(person);
  await unheard(() => revoke(id));
  expect(await who(value)).toBeUndefined();
});

it('nothing is remembered while announcements do not arrive', async () => {
  const { id, value } = await token();
  await who(value);
  await unheard(() => revoke(id));
  await database.owner.raw(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'signalbox-changes' AND datname = current_database()",
  );
  await until(() => !changes.following());
  expect(await who(value)).toBeUndefined();
  await until(() => changes.following());
});

it('a token that runs out is over to the moment', async () => {
  const { value, person } = await token(new Date(Date.now() + 3_000));
  expect(await who(value)).toBe(person);
  await until(async () => (await who(value)) === undefined);
});

it('after a second it is looked up again', async () => {
  const { id, value, person } = await token();
  expect(await who(value)).toBe(person);
  await unheard(() => revoke(id));
  const began = Date.now();
  await until(async () => (await who(value)) === undefined);
  expect(Date.now() - began).toBeLessThan(60_000);
});
