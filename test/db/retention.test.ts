import { appendLog, readLog } from '../../db/log';
import { dropHistories, dropLogs, historiesOf, historiesToKeep, keepHistories } from '../../db/retention';
import { ship } from '../../db/promotions';
import { registerTargets } from '../../db/targets';
import { introducePeople } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** Logs lie in partitions that are made in time and dropped by policy; histories are kept until policy ends. */
let database: TestDatabase;
let promotion: number;
beforeAll(async () => {
  database = await testDatabase();
  await introducePeople(database.db);
  await registerTargets(database.db, ['shop']);
  promotion = await ship(database.db, {
    target: 'shop',
    title: 't',
    revision: 'v1',
    commit: 'c'.repeat(40),
    shippedBy: 'carla',
    change: { type: 'normal', risk: 'low', description: '' },
  });
});
afterAll(() => database.drop());

let attempt = 0;
/** @param daysAgo when it ended; undefined: it runs. */
async function attempts(count: number, daysAgo?: number): Promise<number[]> {
  const rows = Array.from({ length: count }, () => ({
    promotion,
    attempt: ++attempt,
    target: 'shop',
    trigger: 'deploy',
    started_by: 'rosa',
    owner: `deploy/CP-1/${attempt}`,
    run_id: 'run',
    ...(daysAgo === undefined
      ? { status: 'queued' }
      : { status: 'cancelled', finished_at: new Date(Date.now() - daysAgo * 86_400_000) }),
  }));
  const made = (await database.owner('deployments').insert(rows).returning('id')) as { id: number }[];
  return made.map(({ id }) => id);
}
const say = (deployment: number) =>
  appendLog(database.db, deployment, 'build', [{ at: new Date(), stream: 'out', text: `of ${deployment}` }]);
const parts = async () =>
  (
    await database.owner.raw(
      "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'deployment_log'::regclass ORDER BY length(inhrelid::regclass::text), 1",
    )
  ).rows.map(({ name }: { name: string }) => name);

it('makes the parts of the log before they are needed, and reads across them', async () => {
  const ids = await attempts(1_100, 100);
  expect(await parts()).toEqual([0, 250, 500, 750, 1000].map((first) => `deployment_log_${first}`));
  for (const id of [ids[0]!, ids[249]!, ids[250]!, ids.at(-1)!]) {
    await say(id);
    expect(await readLog(database.db, id, { limit: 10 })).toMatchObject([{ seq: 1, text: `of ${id}` }]);
  }
  // Twenty that come together where a part begins make it once.
  await attempts(120, 1);
  await Promise.all(Array.from({ length: 20 }, () => attempts(2, 1)));
  expect(await parts()).toContain('deployment_log_1250');
});

it('lets Signalbox itself neither change, remove nor reach around a line', async () => {
  for (const statement of [
    'UPDATE deployment_log SET text = 1',
    'DELETE FROM deployment_log',
    'SELECT * FROM deployment_log_0',
    "INSERT INTO deployment_log_0 VALUES (1, 9, now(), 'build', 'out', 'x')",
    'DROP TABLE deployment_log_0',
    'UPDATE deployment_log_250 SET text = 1',
  ])
    await expect(database.db.raw(statement)).rejects.toThrow(/permission denied|must be owner/);
});

it('drops what is old enough, as a whole, and says so', async () => {
  await expect(dropLogs(database.db, 29)).rejects.toThrow('kept for 30 days at least');
  expect(await dropLogs(database.db, 101)).toEqual([]);
  const [running] = await database
    .owner('deployments')
    .where({ id: 600 })
    .update({ status: 'queued', finished_at: null })
    .returning('id');
  expect(running).toEqual({ id: 600 });
  expect(await dropLogs(database.db, 99)).toEqual([
    { first: 0, last: 249 },
    { first: 250, last: 499 },
    { first: 750, last: 999 },
  ]);
  expect(await parts()).toEqual(['deployment_log_500', 'deployment_log_1000', 'deployment_log_1250']);
  expect(await readLog(database.db, 1, { limit: 10 })).toEqual([]);
  const removed = database.db('deployments').whereNotNull('log_removed_at');
  expect(await removed.clone().count()).toEqual([{ count: 749 }]);
  expect(await database.db('audit').where({ action: 'log.removed' })).toHaveLength(3);
  // Nothing was removed of what is younger, or stands beside what still runs.
  expect(await removed.clone().where('id', '>=', 1000)).toEqual([]);
});

it('keeps histories once, until policy removes them', async () => {
  const [first] = await historiesToKeep(database.db, 1);
  const history = { workflow_id: 'deploy/CP-1/1', run_id: 'r1', history: Buffer.from('gz'), why_none: null };
  await keepHistories(database.db, first!.id, [history]);
  await keepHistories(database.db, first!.id, [{ ...history, history: Buffer.from('another') }]);
  expect(await historiesOf(database.db, first!.id)).toMatchObject([{ history: Buffer.from('gz') }]);
  expect((await historiesToKeep(database.db, 2_000)).map(({ id }) => id)).not.toContain(first!.id);
  expect(await dropHistories(database.db, 1)).toBe(0);
  await database.owner('workflow_histories').update({ kept_at: new Date(Date.now() - 2 * 86_400_000) });
  expect(await dropHistories(database.db, 1)).toBe(1);
  expect(await historiesOf(database.db, first!.id)).toMatchObject([
    { history: null, why_none: 'removed after 1 days (retention.historyDays)' },
  ]);
  expect(await dropHistories(database.db, 1)).toBe(0);
});
