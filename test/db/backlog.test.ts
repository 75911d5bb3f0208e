import fc from 'fast-check';
import { longestRank } from '../../domain/backlog/ranking';
import { SignalboxError } from '../../domain/errors';
import { raiseBlocker } from '../../db/backlog/blockers';
import { addEpic, findEpic, viewEpic } from '../../db/backlog/epics';
import { addItem, changeItems, resolveBlockers, type NewItem } from '../../db/backlog/items';
import { listItems } from '../../db/backlog/list';
import { moveItem, renewRanks } from '../../db/backlog/ranks';
import { setWipLimits, viewWipLimits } from '../../db/backlog/wip';
import { connect, type Db } from '../../db/connect';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** The backlog's promises while many write at once, on a real database. */
let database: TestDatabase;
let db: Db;
beforeAll(async () => {
  database = await testDatabase();
  db = connect(database.url, 50);
});
afterAll(async () => {
  await db.destroy();
  await database.drop();
});

const by = { by: 'carla' };
const fresh: NewItem = {
  title: 'an item',
  description: '',
  status: 'open',
  priority: 'medium',
  epic: null,
  owner: null,
  dueDate: null,
  labels: [],
};
const add = async (more: Partial<NewItem> = {}) =>
  Number((await db.transaction((tx) => addItem(tx, { ...fresh, ...more }, by))).key.slice(5));
const change = (id: number, edit: object, reason = 'why') =>
  db.transaction((tx) => changeItems(tx, [{ id, edit }], reason, by));
const limit = (...limits: [string, number][]) =>
  db.transaction((tx) =>
    setWipLimits(
      tx,
      limits.map(([scope, most]) => ({ scope, limit: most })),
      by,
    ),
  );
const clear = () =>
  database.owner.raw('TRUNCATE backlog_items, blockers, renewed_ranks, rank_renewals, epics CASCADE');
/** What was refused, by code; anything else that went wrong is thrown. */
async function codes(runs: Promise<unknown>[]): Promise<string[]> {
  const ended = await Promise.allSettled(runs);
  return ended.map((end) => {
    if (end.status === 'fulfilled') return 'done';
    if (end.reason instanceof SignalboxError) return end.reason.code;
    throw end.reason;
  });
}
const order = async () =>
  ((await db('backlog_items').whereNull('deleted_at').orderBy('rank').select('id')) as { id: number }[]).map(
    ({ id }) => id,
  );

describe('limits on work in progress', () => {
  beforeEach(clear);
  afterEach(() => limit());

  it('fifty race for the last place, twenty times: one wins', async () => {
    await limit(['board', 3]);
    await add({ status: 'in-progress' });
    await add({ status: 'in-progress' });
    const ids: number[] = [];
    for (let n = 0; n < 50; n++) ids.push(await add());
    for (let round = 0; round < 20; round++) {
      const ended = await codes(ids.map((id) => change(id, { status: 'in-progress' })));
      expect(ended.filter((end) => end === 'done')).toHaveLength(1);
      expect(ended.filter((end) => end === 'wip-limit')).toHaveLength(49);
      const winner = ids[ended.indexOf('done')]!;
      await change(winner, { status: 'open' });
    }
  });

  it('new items, owners and epics race too: no scope ends above its limit', async () => {
    const epic = await addEpic(db, { title: 'e', outcome: '', owner: null, targetDate: null }, by);
    await limit(['board', 6], ['owner:olga', 2], [`epic:EPIC-${epic}`, 3]);
    const ids: number[] = [];
    for (let n = 0; n < 20; n++) ids.push(await add({ owner: n % 2 ? 'olga' : 'omar' }));
    const ended = await codes([
      ...ids.map((id) => change(id, { status: 'in-progress' })),
      ...ids.slice(0, 10).map((id) => change(id, { owner: 'olga' })),
      ...ids.slice(5, 15).map((id) => change(id, { epic })),
      ...Array.from({ length: 10 }, () => add({ status: 'in-progress', owner: 'olga', epic })),
    ]);
    expect(ended).toContain('wip-limit');
    const { limits } = await viewWipLimits(db);
    expect(limits.filter(({ over }) => over)).toEqual([]);
    expect(limits.find(({ scope }) => scope === 'owner:olga')!.inProgress).toBe(2);
  });

  it('lowering a limit ends no work, is shown, and lets nothing more begin', async () => {
    await add({ status: 'in-progress', title: 'first' });
    await add({ status: 'in-progress', title: 'second' });
    await limit(['board', 1]);
    expect((await viewWipLimits(db)).limits).toMatchObject([
      {
        scope: 'board',
        limit: 1,
        inProgress: 2,
        over: true,
        holders: [{ title: 'first' }, { title: 'second' }],
      },
    ]);
    const third = await add();
    expect(await codes([change(third, { status: 'in-progress' })])).toEqual(['wip-limit']);
  });

  it('without the lock the race would be lost: two that only count both begin', async () => {
    await limit(['board', 1]);
    const [a, b] = [await add(), await add()];
    const count = async (tx: Db) =>
      Number((await tx('backlog_items').where({ status: 'in-progress' }).count().first())!.count);
    const begin = (id: number) =>
      db.transaction(async (tx) => {
        const before = await count(tx);
        await bothCounted();
        if (before < 1) await tx('backlog_items').where({ id }).update({ status: 'in-progress' });
      });
    let arrived = 0;
    let go: () => void;
    const all = new Promise<void>((resolve) => (go = resolve));
    const bothCounted = () => {
      arrived += 1;
      if (arrived === 2) go();
      return all;
    };
    await Promise.all([begin(a), begin(b)]);
    expect(await count(db)).toBe(2);
  });
});

describe('the order', () => {
  beforeEach(clear);

  it('any sequence of moves equals a plain list, with ranks renewed on the way', async () => {
    const list: number[] = [];
    for (let n = 0; n < 12; n++) list.push(await add());
    const moves = fc.sample(
      fc.record({ which: fc.nat({ max: 11 }), anchor: fc.nat({ max: 11 }), after: fc.boolean() }),
      { numRuns: 300, seed: 7 },
    );
    for (const [n, { which, anchor, after }] of moves.entries()) {
      const [id, beside] = [list[which]!, list[anchor]!];
      if (id !== beside) {
        list.splice(which, 1);
        list.splice(list.indexOf(beside) + (after ? 1 : 0), 0, id);
        await moveItem(db, id, after ? { after: beside } : { before: beside }, by);
      }
      if (n % 50 === 0) {
        const { rank } = await db('backlog_items').where({ id }).first();
        await renewRanks(db, rank);
      }
      expect(await order()).toEqual(list);
    }
  });

  it('moving to one spot again and again writes one row each time, and ranks stay short', async () => {
    const ids: number[] = [];
    for (let n = 0; n < 300; n++) ids.push(await add());
    const [first, ...others] = ids;
    for (const id of others) {
      const before = await db('backlog_items').whereNot({ id }).orderBy('id').select('id', 'rank');
      await moveItem(db, id, { after: first! }, by);
      const after = await db('backlog_items').whereNot({ id }).orderBy('id').select('id', 'rank');
      const renewed = (await db('rank_renewals')).length;
      if (renewed === 0) expect(after).toEqual(before);
    }
    expect(await order()).toEqual([first, ...others.reverse()]);
    const { rows } = await db.raw('SELECT max(length(rank)) AS longest FROM backlog_items');
    expect(rows[0].longest).toBeLessThanOrEqual(longestRank + 1);
    expect(await db('rank_renewals')).not.toEqual([]);
  });

  it('fifty move to the same spot at once: all arrive, nothing else moves', async () => {
    const ids: number[] = [];
    for (let n = 0; n < 70; n++) ids.push(await add());
    const [anchor, next, ...others] = ids as [number, number, ...number[]];
    const movers = others.slice(0, 50);
    for (let round = 0; round < 4; round++) {
      await Promise.all(
        movers.map((id, n) => moveItem(db, id, (n + round) % 2 ? { after: anchor } : { before: next }, by)),
      );
      const now = await order();
      expect(new Set(now).size).toBe(70);
      const still = now.filter((id) => !movers.includes(id));
      expect(still).toEqual([anchor, next, ...others.slice(50)]);
      expect(now.slice(1, 51).sort((a, b) => a - b)).toEqual([...movers].sort((a, b) => a - b));
      expect(now.indexOf(next)).toBe(51);
    }
  });

  it('everything moves past everything at once: no two wait for each other, nothing is lost', async () => {
    const ids: number[] = [];
    for (let n = 0; n < 8; n++) ids.push(await add());
    for (let round = 0; round < 25; round++) {
      await Promise.all(
        Array.from({ length: 48 }, async (_, n) => {
          const [id, anchor] = [ids[n % 8]!, ids[(n * 5 + round + 1 + Math.floor(n / 8)) % 8]!];
          if (id !== anchor) await moveItem(db, id, n % 2 ? { after: anchor } : { before: anchor }, by);
        }),
      );
      expect((await order()).sort((a, b) => a - b)).toEqual(ids);
    }
  });

  it('moves, additions and renewals at once: whoever was not moved keeps its order', async () => {
    const ids: number[] = [];
    for (let n = 0; n < 60; n++) ids.push(await add());
    const movers = ids.filter((_, n) => n % 3 === 0);
    const still = ids.filter((_, n) => n % 3 !== 0);
    const added: number[] = [];
    await Promise.all([
      ...movers.flatMap((id, n) =>
        [0, 1, 2].map((round) =>
          moveItem(db, id, { after: still[(n * 7 + round * 13) % still.length]! }, by),
        ),
      ),
      ...Array.from({ length: 6 }, async () => {
        const { rank } = await db('backlog_items').where({ id: still[20] }).first();
        await renewRanks(db, rank);
      }),
      ...Array.from({ length: 20 }, async () => added.push(await add())),
    ]);
    const now = await order();
    expect(now.filter((id) => still.includes(id))).toEqual(still);
    expect(new Set(now).size).toBe(80);
    expect(now.slice(-1).every((id) => added.includes(id) || movers.includes(id))).toBe(true);
  });
});

describe('pages while others write', () => {
  beforeEach(clear);
  it.each(['rank', 'priority', 'due', 'updated'] as const)(
    'by %s: whoever was not touched is seen exactly once, in order',
    async (sort) => {
      const ids: number[] = [];
      for (let n = 0; n < 200; n++)
        ids.push(
          await add({
            priority: (['critical', 'high', 'medium', 'low'] as const)[n % 4],
            dueDate: n % 5 ? `2026-12-${String(1 + (n % 28)).padStart(2, '0')}` : null,
          }),
        );
      const moved = new Set(ids.filter((_, n) => n % 4 === 1));
      const untouched = ids.filter((id) => !moved.has(id));
      const key = async () =>
        (await listItems(db, {}, sort, 200)).items.map((item) => Number(item.key.slice(5)));
      const before = (await key()).filter((id) => !moved.has(id));
      let stop = false;
      let writes = 0;
      const writer = async (seed: number) => {
        for (let n = seed; !stop; n += 3) {
          const id = [...moved][n % moved.size]!;
          if (n % 11 === 0) {
            const { rank } = await db('backlog_items')
              .where({ id: untouched[n % untouched.length] })
              .first();
            await renewRanks(db, rank);
          } else if (n % 3 === 0)
            await change(id, { priority: n % 2 ? 'low' : 'critical', dueDate: n % 2 ? '2026-12-05' : null });
          else await moveItem(db, id, { after: untouched[(n * 17) % untouched.length]! }, by);
          writes += 1;
        }
      };
      const writers = [writer(0), writer(1), writer(2)];
      const seen: number[] = [];
      let cursor: string | undefined;
      let renewals = 0;
      do {
        const page = await listItems(db, {}, sort, 7, cursor);
        seen.push(...page.items.map((item) => Number(item.key.slice(5))));
        cursor = page.nextCursor ?? undefined;
        const target = writes + 4;
        while (writes < target) await new Promise((resolve) => setTimeout(resolve, 1));
      } while (cursor !== undefined);
      stop = true;
      await Promise.all(writers);
      renewals = (await db('rank_renewals')).length;
      expect(seen.filter((id) => !moved.has(id))).toEqual(before);
      expect(writes).toBeGreaterThan(50);
      expect(renewals).toBeGreaterThan(2);
    },
  );
});

describe('blockers', () => {
  beforeEach(clear);
  const block = (item: number, blockedBy: number | null) =>
    db.transaction((tx) => raiseBlocker(tx, item, blockedBy, 'needs it', by));

  it('links raised at once never make a cycle', async () => {
    let refused = 0;
    for (let round = 0; round < 20; round++) {
      const ids = [await add(), await add(), await add(), await add()];
      const ended = await codes(ids.map((id, n) => block(id, ids[(n + 1) % 4]!)));
      expect(ended.filter((end) => end === 'done')).toHaveLength(3);
      refused += ended.filter((end) => end === 'blocker-cycle').length;
    }
    expect(refused).toBe(20);
  });

  it('a cycle is spelled out', async () => {
    const [a, b, c] = [await add(), await add(), await add()];
    await block(a, b);
    await block(b, c);
    const cycle = `ITEM-${c} is blocked by ITEM-${a} is blocked by ITEM-${b} is blocked by ITEM-${c}`;
    await expect(block(c, a)).rejects.toThrow(cycle);
    await expect(block(a, a)).rejects.toMatchObject({ code: 'blocker-cycle' });
    await expect(block(a, b)).rejects.toMatchObject({ code: 'illegal-transition' });
  });

  it('done and blocked race: never both', async () => {
    const seen = new Set<string>();
    for (let round = 0; round < 40; round++) {
      const id = await add();
      const ended = await codes(
        round % 2
          ? [block(id, null), change(id, { status: 'done' })]
          : [change(id, { status: 'done' }), block(id, null)],
      );
      expect(ended.filter((end) => end === 'done')).toHaveLength(1);
      seen.add(ended.join());
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it('the database itself keeps a blocked item from being done', async () => {
    const id = await add();
    await block(id, null);
    const sneak = db('backlog_items').where({ id }).update({ status: 'done', done_at: new Date() });
    await expect(sneak).rejects.toThrow('is blocked and can not be done');
  });

  it('closing the blocking item frees who waits; in one edit of both, too', async () => {
    const [a, b] = [await add(), await add()];
    await block(a, b);
    await block(a, null);
    await change(b, { status: 'done' });
    const rows = await db('blockers').where({ item: a }).orderBy('id');
    expect(rows[0]).toMatchObject({ resolution: `ITEM-${b} is done`, resolved_by: 'carla' });
    expect(await resolveBlockers(db, { id: rows[1].id }, 'settled', by)).toBe(1);
    expect(await resolveBlockers(db, { id: rows[1].id }, 'settled', by)).toBe(0);
    await change(a, { status: 'done' });

    const [c, d] = [await add(), await add()];
    await block(c, d);
    const both = [d, c].map((id) => ({ id, edit: { status: 'done' as const } }));
    await db.transaction((tx) => changeItems(tx, both, undefined, by));
    expect(await db('backlog_items').whereIn('id', [c, d]).where({ status: 'done' })).toHaveLength(2);
  });
});

it('an epic is what its items are, whenever it is read', async () => {
  await clear();
  const epic = await addEpic(db, { title: 'e', outcome: '', owner: null, targetDate: '2026-01-01' }, by);
  const view = async () => viewEpic((await findEpic(db, epic))!);
  expect(await view()).toMatchObject({ status: 'open', overdue: true, progress: { total: 0, percent: 0 } });
  const [a, b, c] = [
    await add({ epic, dueDate: '2026-01-01' }),
    await add({ epic }),
    await add({ epic, dueDate: '2999-01-01' }),
  ];
  expect(await view()).toMatchObject({ status: 'open', progress: { total: 3, overdue: 1 } });
  await change(a, { status: 'in-progress' });
  await db.transaction((tx) => raiseBlocker(tx, a, null, 'r', by));
  await db.transaction((tx) => raiseBlocker(tx, a, null, 's', by));
  expect(await view()).toMatchObject({
    status: 'in-progress',
    progress: { blocked: 1, byStatus: { open: 2, 'in-progress': 1, deferred: 0, done: 0 } },
  });
  await change(b, { status: 'done' });
  await change(c, { status: 'deferred' });
  expect(await view()).toMatchObject({ status: 'in-progress', progress: { done: 1, total: 2, percent: 50 } });
  await change(a, { epic: null });
  expect(await view()).toMatchObject({
    status: 'done',
    overdue: false,
    progress: { done: 1, total: 1, percent: 100 },
  });
});
