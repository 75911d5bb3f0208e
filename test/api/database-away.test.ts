import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Db } from '../../db/connect';
import { messageOf } from '../../domain/errors';
import { serveWorld, type Served } from '../helpers/api';
import { darkProxy, type DarkProxy } from '../helpers/dark-proxy';
import { until } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** While PostgreSQL is away every route says so, with when to ask again; none says that Signalbox is at fault. */
let world: World;
let proxy: DarkProxy;
let db: Db;
let api: Served;
let routes: { method: string; path: string }[];
beforeAll(async () => {
  world = await makeWorld();
  await world.deploy('v1');
  proxy = await darkProxy(world.databaseUrl);
  db = connect(proxy.url, 20);
  api = await serveWorld({ ...world, db, databaseUrl: proxy.url }, { verdictMs: 1_000 });
  const { body } = await api.get('/api/openapi.json');
  routes = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({
      method: method.toUpperCase(),
      path: path.replace(/{\w+}/g, 'CP-1'),
    })),
  );
});
afterAll(async () => {
  proxy.lighten();
  await api.stop();
  await db.destroy();
  await proxy.close();
  await world.stop();
});

const add = { method: 'POST', path: '/api/backlog-items', as: 'contributor' };
const asked = async ({
  method,
  path,
  as = 'sre',
  body = {},
}: {
  method: string;
  path: string;
  as?: string;
  body?: object;
}) => {
  const response = await fetch(`${api.base}${path}`, {
    method,
    // For hangs only.
    signal: AbortSignal.timeout(30_000),
    // Each on a connection of its own: one that was idle may be closed by the server just when it is used again.
    headers: {
      authorization: `Bearer token-of-${as}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
  });
  return {
    what: `${method} ${path}`,
    status: response.status,
    again: response.headers.get('retry-after'),
    body: (await response.json().catch(() => ({}))) as { code: string; detail: string },
  };
};

it('every route answers 503 with Retry-After in the dark, and works again afterwards', async () => {
  proxy.goDark('all');
  const begun = Date.now();
  const answers = await Promise.all(routes.map(asked));
  const took = Date.now() - begun;
  proxy.lighten();
  expect(routes.length).toBeGreaterThan(50);
  expect(
    answers.filter(({ status }) => status !== 503).map(({ what, status }) => `${what}: ${status}`),
  ).toEqual([]);
  expect(new Set(answers.map(({ body }) => body.code))).toEqual(new Set(['database-unreachable']));
  expect(answers.every(({ again }) => Number(again) > 0)).toBe(true);
  // For hangs only: it takes about five seconds.
  expect(took).toBeLessThan(30_000);
  // What began to connect in the dark still fails.
  await until('answers again', async () => {
    const { status } = await asked({ method: 'GET', path: '/api/promotions' });
    return status === 200;
  });
});

const whyNone =
  ({ method, path }: { method: string; path: string }) =>
  (thrown: unknown) => ({ status: `${method} ${path}: ${messageOf(thrown)}` });

it('is never a fault of Signalbox, also where connections are cut in the middle of requests', async () => {
  const until = Date.now() + 4_000;
  const cutting = (async () => {
    while (Date.now() < until) {
      await world.owner.raw(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'signalbox%' AND pid <> pg_backend_pid()",
      );
      await sleep(40);
    }
  })();
  const reads = routes.filter(({ method }) => method === 'GET');
  const seen = new Map<string, number>();
  let n = 0;
  const asking = Array.from({ length: 6 }, async () => {
    while (Date.now() < until) {
      const route = reads[n++ % reads.length]!;
      const answers = [await asked(route).catch(whyNone(route))];
      if (n % 3 === 0)
        answers.push(await asked({ ...add, body: { title: `item ${n}` } }).catch(whyNone(add)));
      for (const { status } of answers) seen.set(`${status}`, (seen.get(`${status}`) ?? 0) + 1);
    }
  });
  await Promise.all([cutting, ...asking]);
  expect([...seen.keys()].filter((status) => !/^(2..|4..|503)$/.test(status))).toEqual([]);
  // It was in the way at all, and not always.
  expect(seen.get('503') ?? 0).toBeGreaterThan(0);
  expect((seen.get('200') ?? 0) + (seen.get('201') ?? 0)).toBeGreaterThan(0);
});
