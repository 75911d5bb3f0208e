import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { parseTargets } from '../../domain/config';
import { mayFollow } from '../../domain/machines';
import { policyFor } from '../../domain/policy';
import { SignalboxError } from '../../domain/errors';
import { chainOf, standingApprovals } from '../../db/approvals';
import { edit } from '../../db/change-content';
import { decide, findChangeRequest, submit, type DecisionKind } from '../../db/change-requests';
import { doDue } from '../../db/deadlines';
import { boundTo } from '../../db/digest';
import { ship, withdraw } from '../../db/promotions';
import { registerTargets } from '../../db/targets';
import { introducePeople } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** A thousand times everything at once at one request, on a real database: whatever wins, it is one thing. */
const rounds = 1_000;
const target = parseTargets(
  `groups: { dev: [amir, anna], ops: [anna, bo] }
targets:
  shop:
    repository: /r
    build: { argv: [x] }
    driver: { kind: directory, root: /d }
    backup: { kind: files, paths: [/b] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
    approval: [{ levels: [{ name: a, groups: [dev] }, { name: b, groups: [ops] }], expireHours: 1 }]`,
  'test',
).get('shop')!;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await registerTargets(database.db, ['shop']);
  await introducePeople(database.db);
});
afterAll(() => database.drop());

const operations = [
  'amir approves',
  'anna approves',
  'bo approves',
  'anna rejects',
  'amir withdraws',
  'anna withdraws',
  'edit',
  'cancel',
  'expire',
] as const;
type Operation = (typeof operations)[number];

async function run(operation: Operation, id: number, digest: string): Promise<unknown> {
  const { db } = database;
  const said = (approver: string, decision: DecisionKind) =>
    decide(
      db,
      { id: randomUUID(), changeRequest: id, submission: 1, approver, decision, digest, comment: 'c' },
      target,
    );
  switch (operation) {
    case 'edit':
      return edit(db, id, { title: randomUUID() }, target, { by: 'carla' }).catch((thrown: unknown) => {
        if (!(thrown instanceof SignalboxError)) throw thrown;
      });
    case 'cancel':
      return withdraw(db, id, 'withdrawn', { by: 'carla' });
    case 'expire':
      return doDue(db, id, 1, Date.now() + 2 * 3_600_000);
    default: {
      const [who, what] = operation.split(' ') as [string, string];
      return said(who, what === 'approves' ? 'approve' : what === 'rejects' ? 'reject' : 'withdraw');
    }
  }
}

it(`${rounds} random interleavings have one winner each`, async () => {
  const { db } = database;
  const cases = fc.sample(
    fc.shuffledSubarray([...operations, ...operations], { minLength: 2, maxLength: 9 }),
    { numRuns: rounds, seed: 6 },
  );
  const ends = new Map<string, number>();
  const one = async (together: Operation[]) => {
    const id = await ship(db, {
      target: 'shop',
      title: 't',
      revision: 'v1',
      commit: 'c'.repeat(40),
      shippedBy: 'carla',
      change: { type: 'normal', risk: 'medium', description: '' },
    });
    await submit(db, id, 1, { by: 'carla' }, () => ({
      policy: policyFor(target, 'normal', 'medium'),
      ...boundTo(target, []),
    }));
    const { digest } = (await findChangeRequest(db, id))!;
    await Promise.all(together.map((operation) => run(operation, id, digest)));

    const row = (await findChangeRequest(db, id))!;
    const promotion = await db('promotions').where({ id }).first();
    const pairs: Record<string, string> = {
      submitted: 'pending',
      approved: 'approved',
      rejected: 'rejected',
      cancelled: 'withdrawn',
    };
    expect([together, promotion.status]).toEqual([together, pairs[row.status]]);
    const complete = chainOf(row, await standingApprovals(db, id)).complete;
    expect([together, row.status, row.status === 'approved' ? complete : true]).toEqual([
      together,
      row.status,
      true,
    ]);
    if (row.status === 'submitted') expect([together, complete]).toEqual([together, false]);
    // The trail is one legal path from draft to where it is now.
    const entries = (
      await db('audit')
        .where({ subject: `RFC-${id}` })
        .orderBy('id')
    ).map(({ entry }) => JSON.parse(entry));
    const moves = entries.filter((e) => e.action.startsWith('change-request.') && e.after?.status);
    let status = 'draft';
    for (const move of moves.slice(1)) {
      expect([together, move.before.status]).toEqual([together, status]);
      expect([
        together,
        status,
        move.after.status,
        mayFollow('changeRequest', status, move.after.status),
      ]).toEqual([together, status, move.after.status, true]);
      status = move.after.status;
    }
    expect(status).toBe(row.status);
    // Rejected once or expired, or neither; and nothing counts after the end.
    const counted = await db('decisions').where({ change_request: id, counted: true }).orderBy('ordinal');
    expect(counted.filter((d) => d.decision === 'reject').length).toBeLessThanOrEqual(
      row.status === 'rejected' ? 1 : 0,
    );
    const last = entries.findIndex((e) =>
      ['change-request.rejected', 'change-request.cancelled'].includes(e.action),
    );
    if (last >= 0) expect(entries.slice(last + 1).filter((e) => e.action === 'decision.counted')).toEqual([]);
    ends.set(row.status, (ends.get(row.status) ?? 0) + 1);
  };
  const queue = [...cases];
  const worker = async () => {
    for (let next = queue.pop(); next; next = queue.pop()) await one(next);
  };
  await Promise.all([worker(), worker(), worker()]);
  console.log(
    `${rounds} interleavings ended as ${[...ends].map(([status, n]) => `${status}: ${n}`).join(', ')}`,
  );
  // Every ending was reached, or this shows nothing.
  expect([...ends.keys()].sort()).toEqual(['approved', 'cancelled', 'rejected', 'submitted']);
});
