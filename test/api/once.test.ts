import { randomUUID } from 'node:crypto';
import { dropAnswers } from '../../db/idempotency';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** A write under an Idempotency-Key is made once, however often and however close together it is sent. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const tenTimes = async (path: string, body: object, method: 'post' | 'patch' = 'post') => {
  const key = { 'idempotency-key': randomUUID() };
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => api[method]('contributor', path, body, key)),
  );
  expect(new Set(answers.map(({ status }) => status)).size).toBe(1);
  for (const { body: same } of answers) expect(same).toEqual(answers[0]!.body);
  return answers[0]!;
};
const count = async (table: string) => Number((await world.db(table).count('* as n').first())!.n);

it('an import, ten times at once, makes its items once and answers the same report', async () => {
  const before = await count('backlog_items');
  const body = { format: 'csv', content: 'title\none\ntwo\n', dryRun: false };
  const { status } = await tenTimes('/api/backlog-items/import', body);
  expect(status).toBe(200);
  expect(await count('backlog_items')).toBe(before + 2);
});

it('changes of items, alone and together, are made once', async () => {
  const { body: item } = await api.post('contributor', '/api/backlog-items', { title: 'to be changed' });
  const changed = await tenTimes(`/api/backlog-items/${item.key}`, { title: 'changed' }, 'patch');
  expect(changed.body.version).toBe(item.version + 1);
  const bulk = await tenTimes('/api/backlog-items/bulk', {
    items: [{ key: item.key, version: changed.body.version }],
    set: { addLabels: ['x'] },
  });
  expect(bulk.body.items[0].version).toBe(item.version + 2);
});

it('every other write too: the second one waits for the answer of the first', async () => {
  const { body: item } = await api.post('contributor', '/api/backlog-items', { title: 'blocked' });
  const { body: blocker } = await tenTimes(`/api/backlog-items/${item.key}/blockers`, { reason: 'a reason' });
  expect((await tenTimes(`/api/blockers/${blocker.id}/resolve`, { resolution: 'gone' })).status).toBe(200);
  const { body: promotion } = await tenTimes('/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'one',
  });
  expect((await tenTimes(`/api/promotions/${promotion.key}/withdraw`, { reason: 'no' })).status).toBe(200);
});

it('one whose API died is taken over by its repeat', async () => {
  const key = randomUUID();
  const body = { title: 'of a dead API' };
  const first = await api.post('contributor', '/api/backlog-items', body, { 'idempotency-key': key });
  await world
    .owner('idempotency_keys')
    .where({ key })
    .update({
      status: null,
      response: null,
      holder: 'another process',
      held_until: world.owner.raw("now() + interval '2 seconds'"),
    });
  const again = await api.post('contributor', '/api/backlog-items', body, { 'idempotency-key': key });
  expect(again.body.key).toBe(first.body.key);
});

it('answers are kept for a week', async () => {
  const key = randomUUID();
  await api.post('contributor', '/api/backlog-items', { title: 'old' }, { 'idempotency-key': key });
  const before = await count('idempotency_keys');
  expect(await dropAnswers(world.db)).toBe(0);
  await world
    .owner('idempotency_keys')
    .where({ key })
    .update({ created_at: world.owner.raw("now() - interval '8 days'") });
  expect(await dropAnswers(world.db)).toBe(1);
  expect(await count('idempotency_keys')).toBe(before - 1);
});
