import { randomUUID } from 'node:crypto';
import { parseTargets } from '../../domain/config';
import { laneHolding } from '../../domain/machines';
import { acquireLane, admit } from '../../db/admission';
import { decide, submit } from '../../db/change-requests';
import { relatedTo } from '../../db/conflicts';
import { recordEnd, type DeploymentRow } from '../../db/deployments';
import { firstInLine, freeLanesWaitedFor } from '../../db/lane';
import { ship } from '../../db/promotions';
import { registerTargets } from '../../db/targets';
import { createWindows } from '../../db/windows';
import { introducePeople } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';
import { until } from '../helpers/until';

/** The lanes of targets that must not run beside each other: at the same moment, in order, and never stuck. */
const relations: Record<string, string[]> = { a: ['b'], b: ['c'], c: [], d: ['a', 'c'], e: [] };
const targets = parseTargets(
  `targets:\n${Object.entries(relations)
    .map(
      ([name, others]) => `  ${name}:
    repository: /r
    build: { argv: [x] }
    driver: { kind: directory, root: "/d/${name}" }
    backup: { kind: files, paths: [/b] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
    dependsOn: [${others.join(', ')}]
`,
    )
    .join('')}`,
  'test',
);
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await introducePeople(database.db);
  await registerTargets(database.db, Object.keys(relations));
});
afterAll(() => database.drop());

async function approved(target: string, conflictsAccepted?: string): Promise<number> {
  const { db } = database;
  const change = { type: 'normal', risk: 'medium', description: '', conflictsAccepted } as const;
  const id = await ship(db, {
    target,
    title: 't',
    revision: 'v1',
    commit: 'c'.repeat(40),
    shippedBy: 'carla',
    change,
  });
  await submit(db, id, 1, { by: 'carla' });
  await decide(db, {
    id: randomUUID(),
    changeRequest: id,
    submission: 1,
    approver: 'amir',
    decision: 'approve',
  });
  return id;
}
const rules = () => ({ windows: createWindows(database.db), targets: () => targets });
const start = (promotion: number) =>
  admit(
    database.db,
    {
      promotion,
      attempt: 1,
      trigger: 'deploy',
      startedBy: 'rosa',
      owner: `deploy/CP-${promotion}/1`,
      runId: 'r',
    },
    rules(),
  );
const rowsIn = async (...states: string[]) =>
  (await database.db('deployments').whereIn('status', states).orderBy('id')) as DeploymentRow[];
const end = (row: DeploymentRow) => recordEnd(database.db, row.id, row.owner, 'succeeded', 'done');
const endAll = async () => {
  for (let row; (row = (await rowsIn(...laneHolding))[0]);) {
    await end(row);
    for (const owner of await firstInLine(database.db, relatedTo(targets, row.target))) await look(owner);
  }
};
async function look(owner: string) {
  const row = (await database.db('deployments').where({ owner }).first()) as DeploymentRow;
  return acquireLane(database.db, row.id, owner, rules());
}
/** Pairs that run beside each other and must not. */
const beside = async () => {
  const running = (await rowsIn(...laneHolding)).map(({ target }) => target);
  return running.flatMap((one) =>
    running
      .filter((other) => other !== one && relatedTo(targets, one).includes(other))
      .map((other) => `${one} beside ${other}`),
  );
};
const deadlocks = async () =>
  Number(
    (await database.db.raw('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'))
      .rows[0].deadlocks,
  );

it('two that are admitted at the same moment on related targets do not both get their lanes', async () => {
  const { db } = database;
  const [one, other] = [await approved('a'), await approved('b')];
  // Both are stopped where they have seen who holds which lane, and have not taken theirs yet.
  const { admitted } = await db.transaction(async (tx) => {
    await tx('change_requests').whereIn('id', [one, other]).orderBy('id').forUpdate();
    const admitted = Promise.all([start(one), start(other)]);
    await until('both to be stopped', async () => {
      const { rows } = await database.owner.raw(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return Number(rows[0].n) === 2;
    });
    return { admitted };
  });
  const both = await admitted;
  expect(both.map(({ lane }) => lane?.kind).sort()).toEqual(['acquired', 'waiting']);
  const behind = both.find(({ lane }) => lane?.kind === 'waiting')!;
  const { row } = both.find(({ lane }) => lane?.kind === 'acquired')!;
  expect((await rowsIn('queued'))[0]!.waiting_for).toBe(
    `the lane of ${behind.row.target}: position 1, behind CP-${row.promotion}.1 on ${row.target}, which must not run beside ${behind.row.target}`,
  );
  await endAll();
});

it('it waits behind who asked earlier on a related target, so that nobody is overtaken for good', async () => {
  const [held, early, late, apart] = [
    await approved('c'),
    await approved('b'),
    await approved('a'),
    await approved('e'),
  ];
  expect((await start(held)).lane).toMatchObject({ kind: 'acquired' });
  expect((await start(early)).lane).toMatchObject({
    kind: 'waiting',
    behind: expect.stringContaining('on c'),
  });
  expect((await start(late)).lane).toMatchObject({
    kind: 'waiting',
    behind: expect.stringContaining('on b'),
  });
  expect((await start(apart)).lane).toMatchObject({ kind: 'acquired' });
  await end((await rowsIn('running')).find(({ target }) => target === 'c')!);
  expect(await firstInLine(database.db, relatedTo(targets, 'c'))).toEqual([`deploy/CP-${early}/1`]);
  // A lost signal is repaired for who can go on, and nobody else is woken.
  expect(await freeLanesWaitedFor(database.db, targets)).toEqual([`deploy/CP-${early}/1`]);
  expect(await look(`deploy/CP-${late}/1`)).toMatchObject({ kind: 'waiting' });
  expect(await look(`deploy/CP-${early}/1`)).toMatchObject({ kind: 'acquired' });
  expect(await freeLanesWaitedFor(database.db, targets)).toEqual([]);
  await endAll();
  expect(await rowsIn('queued', ...laneHolding)).toEqual([]);
});

it('an overlap that was accepted with the change is waited for by nobody but those who did not accept it', async () => {
  const [held, accepted, not] = [
    await approved('c'),
    await approved('b', 'both are small'),
    await approved('b'),
  ];
  await start(held);
  expect((await start(accepted)).lane).toMatchObject({ kind: 'acquired' });
  expect((await start(not)).lane).toMatchObject({ kind: 'waiting' });
  await endAll();
});

it('fifty at once on targets that depend on each other: never beside each other, never stuck, no deadlock', async () => {
  const before = await deadlocks();
  const names = Object.keys(relations);
  const ids: number[] = [];
  for (let n = 0; n < 50; n++) ids.push(await approved(names[n % names.length]!));
  await Promise.all(ids.map((id) => start(id)));
  let rounds = 0;
  for (;;) {
    expect(await beside()).toEqual([]);
    const holding = await rowsIn(...laneHolding);
    if (holding.length === 0) break;
    // All of them end at once, and whoever waits first looks at once.
    await Promise.all(holding.map(end));
    const woken = new Set<string>();
    for (const { target } of holding)
      for (const owner of await firstInLine(database.db, relatedTo(targets, target))) woken.add(owner);
    await Promise.all([...woken].map(look));
    if (++rounds > 60) throw new Error('it does not come to an end');
  }
  expect(await rowsIn('queued')).toEqual([]);
  expect(await database.db('promotions').whereIn('id', ids).whereNot({ status: 'deployed' })).toEqual([]);
  expect(await deadlocks()).toBe(before);
});
