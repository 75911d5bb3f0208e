import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '../../cli/client';
import type { TargetConfig } from '../../domain/config';
import { serveWorld, tokenOf, type Served } from '../helpers/api';
import { slowRemote, type SlowRemote } from '../helpers/slow-remote';
import { until } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** A repository that takes long to copy: the ship waits for it outside of any transaction, and says how far it is. */
let world: World;
let api: Served;
let remote: SlowRemote;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'other'] });
  remote = await slowRemote(join(world.folder, 'repository'));
  const shop = { ...(world.targets.get('shop') as TargetConfig), repository: remote.url };
  world.targets = new Map([...world.targets, ['shop', shop]]);
  api = await serveWorld(world, { copyMs: 1_000 });
});
afterAll(async () => {
  await api.stop();
  await remote.stop();
  await world.stop();
});

const body = { target: 'shop', revision: 'v1', title: 'a long copy' };
const ship = async (key: string, what: object = body) => {
  const response = await fetch(`${api.base}/api/promotions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tokenOf('contributor')}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(what),
    // For hangs only.
    signal: AbortSignal.timeout(40_000),
  });
  return {
    status: response.status,
    again: response.headers.get('retry-after'),
    body: (await response.json()) as Record<string, any>,
  };
};
const promotions = async () => Number((await world.db('promotions').count('* as n').first())!.n);

it('answers 202 with what happens and how to ask again; the same key then gets the one promotion', async () => {
  remote.shut();
  const key = randomUUID();
  const asking = ship(key);
  await sleep(500);
  // Nothing waits inside of a transaction.
  const { rows } = await world.owner.raw(
    "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
  );
  expect(rows).toEqual([]);
  const first = await asking;
  expect(first).toMatchObject({
    status: 202,
    body: {
      target: 'shop',
      revision: 'v1',
      detail: expect.stringMatching(/repository of shop.*same Idempotency-Key/),
      progress: { phase: expect.any(String), seconds: expect.any(Number) },
      retryAfterSeconds: expect.any(Number),
    },
  });
  expect(Number(first.again)).toBe(first.body.retryAfterSeconds);
  // Nobody else waits.
  expect((await ship(randomUUID(), { ...body, target: 'other' })).status).toBe(201);
  expect((await ship(key)).status).toBe(202);
  const before = await promotions();
  remote.open();
  const made = await until('the promotion', async () => {
    const answer = await ship(key);
    return answer.status === 201 && answer;
  });
  expect(made.body).toMatchObject({ target: 'shop', revision: 'v1', status: 'pending' });
  expect((await ship(key)).body.key).toBe(made.body.key);
  expect(await promotions()).toBe(before + 1);
});

it('a copy that takes longer than any transaction may is no fault', async () => {
  remote.shut();
  const client = createClient({ api: `${api.base}/api`, tokens: { any: tokenOf('contributor') } });
  const said: string[] = [];
  const shipped = client.ship({ ...body, revision: 'v2' }, (line) => said.push(line));
  shipped.catch(() => undefined);
  await sleep(12_000);
  remote.open();
  expect((await shipped).revision).toBe('v2');
  expect(said.length).toBeGreaterThan(1);
});

it('says why when there is no such revision, and nothing is made', async () => {
  await expect(ship(randomUUID(), { ...body, revision: 'no-such-revision' })).resolves.toMatchObject({
    status: 422,
    body: { code: 'unknown-revision' },
  });
});
