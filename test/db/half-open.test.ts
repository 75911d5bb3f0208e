import { setTimeout as sleep } from 'node:timers/promises';
import { followChanges, type Changes } from '../../db/changes';
import { connect, type Db } from '../../db/connect';
import { whyAway } from '../../db/away';
import { darkProxy, type DarkProxy } from '../helpers/dark-proxy';
import { testDatabase, type TestDatabase } from '../helpers/postgres';
import { until } from '../helpers/until';

/** Packets vanish and nothing is closed: nobody may believe in such a connection for long. */
let database: TestDatabase;
let proxy: DarkProxy;
let open: { changes?: Changes; pool?: Db };
beforeAll(async () => {
  database = await testDatabase();
});
beforeEach(async () => {
  proxy = await darkProxy(database.url);
  open = {};
});
afterEach(async () => {
  await open.changes?.close();
  // First, so that a query that hangs fails the test and does not hang its end too.
  await proxy.close();
  await open.pool?.destroy();
});
afterAll(() => database.drop());

/** For hangs only: it is noticed after about five seconds. */
const noticedMs = 30_000;
const announce = () => database.owner.raw("SELECT pg_notify('signalbox', 'deployment CP-1.1 1')");

async function following() {
  const changes = (open.changes = followChanges(proxy.url));
  const heard: unknown[] = [];
  changes.listen((change) => heard.push(change));
  await until('it follows', () => changes.following(), noticedMs);
  await announce();
  await until('an announcement', () => heard.some((change) => change), noticedMs);
  heard.length = 0;
  return { changes, heard };
}

describe('the connection that follows', () => {
  it('is replaced when it alone passes nothing any more, and everybody reads again', async () => {
    const { changes, heard } = await following();
    proxy.goDark('present');
    await until('a re-read', () => heard.includes(undefined), noticedMs);
    await announce();
    await until('announcements again', () => heard.some((change) => change), noticedMs);
    expect(changes.following()).toBe(true);
  });

  it('does not say that it follows while the network is dark, and follows again afterwards', async () => {
    const { changes, heard } = await following();
    proxy.goDark('all');
    await until('it says so', () => !changes.following(), noticedMs);
    proxy.lighten();
    await until('it follows again', () => changes.following() && heard.includes(undefined), noticedMs);
  });

  it('stays the same as long as it passes something', async () => {
    await following();
    const before = proxy.opened();
    await sleep(8_000);
    expect(proxy.opened()).toBe(before);
  });

  it('is closed at once in the dark', async () => {
    const { changes } = await following();
    proxy.goDark('all');
    const begun = Date.now();
    await changes.close();
    expect(Date.now() - begun).toBeLessThan(noticedMs / 2);
  });
});

describe('a pooled connection', () => {
  const pooled = async (size = 3) => {
    const pool = (open.pool = connect(proxy.url, size));
    // As many connections as it may have.
    await Promise.all(Array.from({ length: size }, () => pool.raw('SELECT pg_sleep(0.2)')));
    return pool;
  };
  const answered = async (work: PromiseLike<unknown>) => {
    const begun = Date.now();
    const result = await Promise.race([
      Promise.resolve(work).then(
        () => 'answered',
        (thrown: unknown) => whyAway(thrown)?.code ?? `unknown: ${String(thrown)}`,
      ),
      sleep(noticedMs, 'still pending', { ref: false }),
    ]);
    return { result, ms: Date.now() - begun };
  };

  it('that is dead costs who gets it a few seconds, and nobody else anything', async () => {
    const pool = await pooled();
    await sleep(1_500);
    proxy.goDark('present');
    const first = await answered(pool.raw('SELECT 1'));
    expect(['answered', 'database-unreachable']).toContain(first.result);
    expect(first.ms).toBeLessThan(10_000);
    for (let i = 0; i < 5; i++) expect((await answered(pool.raw('SELECT 1'))).result).toBe('answered');
  });

  it('in the dark is refused as "database-unreachable", also in the middle of a statement or a transaction', async () => {
    const pool = await pooled();
    const begun = pool.transaction(async (tx) => {
      await tx.raw('SELECT 1');
      await sleep(500);
      await tx.raw('SELECT 2');
    });
    const middle = pool.raw('SELECT pg_sleep(1)');
    await sleep(200);
    proxy.goDark('all');
    const ends = await Promise.all([begun, middle, pool.raw('SELECT 1')].map(answered));
    expect(ends.map(({ result }) => result)).toEqual(Array(3).fill('database-unreachable'));
    for (const { ms } of ends) expect(ms).toBeLessThan(15_000);
    proxy.lighten();
    expect((await answered(pool.raw('SELECT 1'))).result).toBe('answered');
  });

  it('on which a statement takes long is left alone', async () => {
    const pool = await pooled();
    const before = proxy.opened();
    expect((await answered(pool.raw('SELECT pg_sleep(7)'))).result).toBe('answered');
    // Looking at it took a connection; the statement kept its own.
    expect(proxy.opened()).toBeGreaterThan(before);
  });

  it('waits for a lock of another only so long, and says that the database is busy', async () => {
    const pool = await pooled();
    const holder = await database.owner.transaction();
    await holder.raw('LOCK TABLE people IN ACCESS EXCLUSIVE MODE');
    const waits = await answered(pool('people').first());
    await holder.rollback();
    expect(waits.result).toBe('database-busy');
  });
});
