import { parseConfig, type TargetConfig, type Targets } from '../../domain/config';
import { mayFollow, statesOf } from '../../domain/machines';
import * as admission from '../../db/admission';
import * as deployments from '../../db/deployments';
import { decide, submit } from '../../db/change-requests';
import { revise } from '../../db/change-content';
import { appendLog, readLog } from '../../db/log';
import { ship, withdraw } from '../../db/promotions';
import { raiseFence } from '../../db/fences';
import { firstInLine } from '../../db/lane';
import { standingOf } from '../../db/standing';
import { createWindows } from '../../db/windows';
import { beginStep, finishStep, takeFence, type Try } from '../../db/steps';
import { registerTargets } from '../../db/targets';
import { addItem } from '../../db/backlog/items';
import { NotMoved, transition, tryTransition, type StoredMachine } from '../../db/transition';
import { introducePeople, keyring } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';
import { randomUUID } from 'node:crypto';

const names = ['shop', 'other', 'queue', 'race', 'crowd'];
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await introducePeople(database.db);
  await registerTargets(database.db, names);
});
afterAll(() => database.drop());

const shipped = async (target = 'shop') =>
  ship(database.db, {
    target,
    title: 'a title',
    revision: 'v1',
    commit: 'c'.repeat(40),
    shippedBy: 'carla',
    change: { type: 'normal', risk: 'medium', description: '' },
  });
async function approved(target = 'shop'): Promise<number> {
  const id = await shipped(target);
  await submit(database.db, id, 1, { by: 'carla' });
  await decide(database.db, {
    id: randomUUID(),
    changeRequest: id,
    submission: 1,
    approver: 'amir',
    decision: 'approve',
  });
  return id;
}
const request = (promotion: number, attempt = 1, trigger: 'deploy' | 'retry' | 'rollback' = 'deploy') => ({
  promotion,
  attempt,
  trigger,
  startedBy: 'rosa',
  owner: `deploy/CP-${promotion}/${attempt}`,
  runId: 'run',
});
const { targets: declared } = parseConfig(
  `targets:\n${names
    .map(
      (name) => `  ${name}:
    repository: /r
    build: { argv: [x] }
    driver: { kind: directory, root: "/d/${name}" }
    backup: { kind: files, paths: [/b] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
`,
    )
    .join('')}`,
  'test',
);
/** By these targets, where no window stands in the way. */
const by = (targets: Targets = declared) => ({ windows: createWindows(database.db), targets: () => targets });
const changed = (more: Partial<TargetConfig>): Targets =>
  new Map([...declared].map(([name, config]) => [name, { ...config, ...more }]));
const statusOf = async (table: string, id: number) => (await database.db(table).where({ id }).first()).status;

describe('the one function that changes a status', () => {
  const tables: Record<StoredMachine, string> = {
    promotion: 'promotions',
    changeRequest: 'change_requests',
    deployment: 'deployments',
    backlogItem: 'backlog_items',
    word: 'words',
  };
  it.each(Object.keys(tables) as StoredMachine[])(
    'obeys the table of %s for every pair of states',
    async (machine) => {
      const promotion = await approved('other');
      const { row } = await admission.admit(database.db, request(promotion), by());
      const fields = { description: '', epic: null, owner: null, dueDate: null, labels: [] };
      const item = await addItem(
        database.db,
        { title: 'an item', status: 'open', priority: 'medium', ...fields },
        { by: 'carla' },
      );
      const [word] = await database
        .db('words')
        .insert({ deployment: row.id, kind: 'cancel', said_by: 'rosa', request: randomUUID() })
        .returning('id');
      const ids: Partial<Record<StoredMachine, number>> = {
        deployment: row.id,
        backlogItem: Number(item.key.slice(5)),
        word: word.id,
      };
      const id = ids[machine] ?? promotion;
      // Done or not, and when: the one needs the other.
      const more = (status: string) =>
        machine === 'backlogItem' ? { done_at: status === 'done' ? new Date() : null } : {};
      for (const from of statesOf(machine))
        for (const to of statesOf(machine)) {
          // As the owner: an end is left by nobody else.
          await database
            .owner(tables[machine])
            .where({ id })
            .update({ status: from, ...more(from) });
          const changed = await tryTransition(
            database.db,
            machine,
            id,
            to as never,
            { by: 'rosa' },
            more(to),
          );
          expect([from, to, changed]).toEqual([from, to, mayFollow(machine, from, to)]);
          expect(await statusOf(tables[machine], id)).toBe(changed ? to : from);
        }
      await database.owner('deployments').where({ id: row.id }).update({ status: 'cancelled' });
    },
  );
});

it('a move that is not legal is thrown, and its whole transaction with it', async () => {
  const id = await approved('other');
  const both = database.db.transaction(async (tx) => {
    await transition(tx, 'changeRequest', id, 'in-progress', { by: 'rosa' });
    await transition(tx, 'promotion', id, 'deployed', { by: 'rosa' });
  });
  await expect(both).rejects.toThrow(NotMoved);
  await expect(both).rejects.toThrow(`promotion ${id} is approved and cannot become deployed`);
  expect([await statusOf('promotions', id), await statusOf('change_requests', id)]).toEqual([
    'approved',
    'approved',
  ]);
});

it('what was rolled back stays so while its request is asked again, rejected and revised', async () => {
  const id = await approved('other');
  const { row } = await admission.admit(database.db, request(id), by());
  await deployments.beginRollback(database.db, row.id, row.owner, 'the build says no');
  await deployments.recordEnd(database.db, row.id, row.owner, 'rolled-back', 'the build says no');
  const say = (approver: string, decision: 'approve' | 'reject' | 'withdraw') =>
    decide(database.db, {
      id: randomUUID(),
      changeRequest: id,
      submission: 1,
      approver,
      decision,
      comment: 'c',
    });
  const so = async () => [await statusOf('promotions', id), await statusOf('change_requests', id)];
  expect(await say('amir', 'withdraw')).toMatchObject({ counted: true });
  expect(await so()).toEqual(['rolled-back', 'submitted']);
  expect(await say('anna', 'reject')).toMatchObject({ counted: true });
  expect(await so()).toEqual(['rolled-back', 'rejected']);
  await revise(database.db, id, { by: 'carla' });
  expect(await so()).toEqual(['rolled-back', 'draft']);
});

it('nothing is undone of an attempt that has ended', async () => {
  const id = await approved('other');
  const { row } = await admission.admit(database.db, request(id), by());
  await deployments.recordEnd(database.db, row.id, row.owner, 'succeeded', 'done');
  await expect(deployments.beginRollback(database.db, row.id, row.owner, 'a late fault')).rejects.toThrow(
    'has ended already: succeeded',
  );
  await expect(deployments.rollbackFailed(database.db, row.id, row.owner, 'late')).rejects.toThrow(
    deployments.NotOwner,
  );
});

describe('decisions', () => {
  it('count once, by somebody else, on a submitted request', async () => {
    const id = await shipped();
    const decision = {
      id: randomUUID(),
      changeRequest: id,
      submission: 1,
      approver: 'amir',
      decision: 'approve' as const,
    };
    expect(await decide(database.db, decision)).toMatchObject({
      counted: false,
      refusal_code: 'illegal-transition',
    });
    await submit(database.db, id, 1, { by: 'carla' });
    const own = await decide(database.db, { ...decision, id: randomUUID(), approver: 'carla' });
    expect(own).toMatchObject({ counted: false, refusal_code: 'own-change' });
    expect(await statusOf('promotions', id)).toBe('pending');
    const counted = { ...decision, id: randomUUID() };
    expect(await decide(database.db, counted)).toMatchObject({ counted: true });
    expect(await decide(database.db, { ...counted, decision: 'reject' })).toMatchObject({
      counted: true,
      decision: 'approve',
    });
    expect([await statusOf('promotions', id), await statusOf('change_requests', id)]).toEqual([
      'approved',
      'approved',
    ]);
  });
  it('have one winner when approve, reject and withdraw race', async () => {
    for (let round = 0; round < 20; round++) {
      const id = await shipped();
      await submit(database.db, id, 1, { by: 'carla' });
      await Promise.all([
        decide(database.db, {
          id: randomUUID(),
          changeRequest: id,
          submission: 1,
          approver: 'amir',
          decision: 'approve',
        }),
        decide(database.db, {
          id: randomUUID(),
          changeRequest: id,
          submission: 1,
          approver: 'anna',
          decision: 'reject',
          comment: 'no',
        }),
        withdraw(database.db, id, 'withdrawn', { by: 'carla' }),
      ]);
      const pair = `${await statusOf('promotions', id)}/${await statusOf('change_requests', id)}`;
      expect(['approved/approved', 'rejected/rejected', 'withdrawn/cancelled']).toContain(pair);
      const counted = await database.db('decisions').where({ change_request: id, counted: true });
      expect(counted.length).toBeLessThanOrEqual(1);
    }
  });
});

describe('admission', () => {
  it('refuses what is not approved, records the refusal and consumes the number', async () => {
    const id = await shipped();
    const { row, lane } = await admission.admit(database.db, request(id), by());
    expect(row).toMatchObject({ status: 'refused', outcome_code: 'not-approved' });
    expect(lane).toBeUndefined();
    expect(await standingOf(database.db, id)).toMatchObject({ lastAttempt: 1, open: null });
  });
  it('makes one attempt of twenty that race, and answers the first verdict to each', async () => {
    const id = await approved('race');
    const rows = await Promise.all(
      Array.from({ length: 20 }, () => admission.admit(database.db, request(id), by())),
    );
    expect(new Set(rows.map(({ row }) => row.id)).size).toBe(1);
    expect(await database.db('deployments').where({ promotion: id })).toHaveLength(1);
  });
  it('cannot make a second open attempt even past the code: the index refuses it', async () => {
    const id = await approved();
    const { id: _, ...row } = (await admission.admit(database.db, request(id), by())).row;
    await expect(database.owner('deployments').insert({ ...row, attempt: 2 })).rejects.toThrow(
      'one_open_attempt',
    );
  });
  it('refuses a target that is switched off, with its reason', async () => {
    const id = await approved();
    const off = changed({ promotionsEnabled: false, promotionsDisabledReason: 'stocktaking' });
    const { row } = await admission.admit(database.db, request(id), by(off));
    expect(row).toMatchObject({ status: 'refused', outcome_code: 'promotions-disabled' });
    expect(row.outcome).toContain('stocktaking');
  });
});

describe('the lane', () => {
  it('is held by one, passed on in order, and everybody sees their place', async () => {
    const ids = [await approved('queue'), await approved('queue'), await approved('queue')];
    const admitted = [];
    for (const id of ids) admitted.push(await admission.admit(database.db, request(id), by()));
    expect(admitted.map(({ lane }) => lane?.kind)).toEqual(['acquired', 'waiting', 'waiting']);
    expect(admitted[1]!.lane).toMatchObject({ position: 1, behind: `CP-${ids[0]}.1` });
    expect(admitted[2]!.lane).toMatchObject({ position: 2, behind: `CP-${ids[1]}.1` });
    const rows = admitted.map(({ row }) => row);
    const take = (n: number) => admission.acquireLane(database.db, rows[n]!.id, rows[n]!.owner, by());
    const answers = await Promise.all([take(0), take(0), take(1), take(2)]);
    expect(answers.map((answer) => answer.kind)).toEqual(['acquired', 'acquired', 'waiting', 'waiting']);
    await deployments.recordEnd(database.db, rows[0]!.id, rows[0]!.owner, 'succeeded', 'done');
    expect(await firstInLine(database.db, ['queue'])).toEqual([rows[1]!.owner]);
    expect(await take(2)).toMatchObject({ kind: 'waiting', position: 2 });
    expect(await take(1)).toEqual({ kind: 'acquired', hadRelease: true });
    expect(await statusOf('promotions', ids[1]!)).toBe('executing');
    expect(await statusOf('change_requests', ids[1]!)).toBe('in-progress');
  });
  it('many that are admitted at once never wait for each other', async () => {
    const deadlocks = async () =>
      Number(
        (await database.db.raw('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'))
          .rows[0].deadlocks,
      );
    const before = await deadlocks();
    const ids = await Promise.all(Array.from({ length: 8 }, () => approved('crowd')));
    const admitted = await Promise.all(ids.map((id) => admission.admit(database.db, request(id), by())));
    expect(admitted.map(({ lane }) => lane?.kind).sort()).toEqual([
      'acquired',
      ...Array.from({ length: 7 }, () => 'waiting'),
    ]);
    expect(await deadlocks()).toBe(before);
  });
  it('cannot be held twice even past the code: the index refuses it', async () => {
    const rows = await database.db('deployments').where({ target: 'queue', status: 'queued' });
    await expect(
      database.db('deployments').where({ id: rows[0].id }).update({ status: 'running' }),
    ).rejects.toThrow('one_lane_holder');
  });
  it('refuses an attempt whose promotion was withdrawn while it waited', async () => {
    const waiting = (await database
      .db('deployments')
      .where({ target: 'queue', status: 'queued' })
      .first()) as {
      id: number;
      owner: string;
      promotion: number;
    };
    const holder = await database.db('deployments').where({ target: 'queue', status: 'running' }).first();
    await deployments.beginRollback(database.db, holder.id, holder.owner, 'because');
    await deployments.recordEnd(database.db, holder.id, holder.owner, 'rolled-back', 'undone');
    await database.db('promotions').where({ id: waiting.promotion }).update({ status: 'withdrawn' });
    expect(await admission.acquireLane(database.db, waiting.id, waiting.owner, by())).toEqual({
      kind: 'ended',
    });
    expect(await statusOf('deployments', waiting.id)).toBe('refused');
  });
});

describe('steps and fencing numbers', () => {
  let running: { id: number; owner: string };
  const during = ['running'] as const;
  const aTry = (round: number, attempt: number, owner = running.owner): Try => ({
    deployment: running.id,
    step: 'build',
    owner,
    round,
    attempt,
    during,
  });
  beforeAll(async () => {
    const id = await approved('race');
    await database.db('deployments').where({ target: 'race' }).update({ status: 'cancelled' });
    const { row, lane } = await admission.admit(database.db, request(id), by());
    expect(lane?.kind).toBe('acquired');
    running = row;
  });
  it('an older try that wakes up late gets neither step nor number', async () => {
    expect(await beginStep(database.db, keyring, aTry(1, 3), 'recipe')).toMatchObject({
      trigger: 'deploy',
      release: null,
    });
    const first = await takeFence(database.db, aTry(1, 3));
    expect(await beginStep(database.db, keyring, aTry(1, 4), 'recipe')).toBeDefined();
    const second = await takeFence(database.db, aTry(1, 4));
    expect(second).toBeGreaterThan(first!);
    expect(await beginStep(database.db, keyring, aTry(1, 3), 'recipe')).toBe('held');
    expect(await takeFence(database.db, aTry(1, 3))).toBeUndefined();
    expect(await finishStep(database.db, aTry(1, 3), 'done', 'late')).toBe(false);
    expect(await finishStep(database.db, aTry(1, 4), 'done', 'in time')).toBe(true);
  });
  it('nothing of the former owner acts once recovery has taken over', async () => {
    const former = running.owner;
    await deployments.takeOver(database.db, running.id, 'recover/x', 'run', 'it was lost');
    running = { ...running, owner: 'recover/x' };
    expect(await beginStep(database.db, keyring, aTry(9, 9, former), 'recipe')).toBeUndefined();
    expect(await takeFence(database.db, aTry(9, 9, former))).toBeUndefined();
    await expect(deployments.recordEnd(database.db, running.id, former, 'succeeded', '')).rejects.toThrow(
      'belongs to',
    );
    expect(await beginStep(database.db, keyring, aTry(2, 1), 'recipe')).toBeDefined();
  });
  it('no step of going forward begins once rolling back has begun', async () => {
    await deployments.beginRollback(database.db, running.id, running.owner, 'unhealthy');
    const step = await database.db('deployment_steps').where({ deployment: running.id }).first();
    expect(step).toMatchObject({ status: 'failed', detail: 'unhealthy' });
    expect(await beginStep(database.db, keyring, aTry(3, 1), 'recipe')).toBeUndefined();
  });
  it('fencing numbers of a target only rise, also when they race', async () => {
    const raised = await Promise.all(Array.from({ length: 20 }, () => raiseFence(database.db, 'race')));
    expect(new Set(raised).size).toBe(20);
  });
  it('they go on above one that the target holds and this record never gave out, and it is told whose it was', async () => {
    const before = await raiseFence(database.db, 'race');
    const held = { fence: before + 260, by: 'CP-90.1 swap' };
    const next = await raiseFence(database.db, 'race', held);
    expect(next).toBeGreaterThan(held.fence);
    expect(await raiseFence(database.db, 'race', held)).toBe(next + 1);
    const raises = await database.db('audit').where({ action: 'target.fence-raised', subject: 'race' });
    expect(raises.map(({ entry }) => entry)).toEqual([expect.stringContaining('CP-90.1 swap')]);
  });
});

describe('the log', () => {
  it('is numbered 1..n without gaps under parallel writers and failed batches', async () => {
    const id = await approved('other');
    const { row } = await admission.admit(database.db, request(id), by());
    const line = (text: string) => ({ at: new Date(), stream: 'out' as const, text });
    const writers = Array.from({ length: 10 }, async (_, writer) => {
      for (let n = 0; n < 10; n++) {
        await appendLog(database.db, row.id, 'build', [line(`${writer}.${n}a`), line(`${writer}.${n}b`)]);
        await expect(
          appendLog(database.db, row.id, 'build', [line('fine'), line('not \0 fine')]),
        ).rejects.toThrow();
      }
    });
    await Promise.all(writers);
    const lines = await readLog(database.db, row.id, { limit: 1000 });
    expect(lines.map((l) => l.seq)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1));
    expect(lines.some((l) => l.text === 'fine')).toBe(false);
    const own = lines.filter((l) => l.text.startsWith('3.')).map((l) => l.text);
    expect(own).toEqual(Array.from({ length: 10 }, (_, n) => [`3.${n}a`, `3.${n}b`]).flat());
  });
  it('is read in parts of bounded size, from either end, and whole', async () => {
    const { row } = await admission.admit(database.db, request(await approved('other')), by());
    const text = 'x'.repeat(16_384);
    const line = { at: new Date(), stream: 'out' as const, text };
    for (let n = 0; n < 3; n++) await appendLog(database.db, row.id, 'build', Array(50).fill(line));
    const sizes: number[] = [];
    const seen: number[] = [];
    for (let after = 0; ; after = seen.at(-1)!) {
      const part = await readLog(database.db, row.id, { after, limit: 5000 });
      if (part.length === 0) break;
      sizes.push(part.length);
      seen.push(...part.map(({ seq }) => seq));
    }
    expect(sizes).toEqual([64, 64, 22]);
    expect(seen).toEqual(Array.from({ length: 150 }, (_, n) => n + 1));
    const tail = await readLog(database.db, row.id, { limit: 5000, tail: true });
    expect(tail.map(({ seq }) => seq)).toEqual(seen.slice(-64));
  });
});
