import { monitorEventLoopDelay } from 'node:perf_hooks';
import { makeWorld, type World } from '../helpers/world';
import { personOf, serveWorld, tokenOf, type Served } from '../helpers/api';
import { apiRoutes } from '../../api/app';
import { mintToken } from '../../db/tokens';
import type { Role } from '../../domain/machines';

/** Bad input of every kind, by table, for each route: the right status, a problem document, and no change. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
  await api.post('contributor', '/api/promotions', { target: 'shop', revision: 'v1', title: 'there' });
  await mintToken(world.db, { person: 'noel', grants: [] }, { by: 'test' }, 'token-without-a-role');
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const everything = async () => {
  const tables = [
    'promotions',
    'change_requests',
    'decisions',
    'deployments',
    'deployment_steps',
    'targets',
    'deployment_windows',
    'window_overrides',
    'epics',
    'backlog_items',
    'blockers',
    'wip_limits',
  ];
  return JSON.stringify(await Promise.all(tables.map((table) => world.db(table).orderBy(1))));
};
async function expectRefused(
  answer: Promise<{ status: number; type: string; body: Record<string, unknown> }>,
  status: number,
  code?: string,
) {
  const { status: got, type, body } = await answer;
  expect([got, body.code]).toEqual([status, code ?? body.code]);
  expect(type).toContain('application/problem+json');
  expect(body).toMatchObject({
    status,
    title: expect.any(String),
    detail: expect.any(String),
    code: expect.any(String),
  });
}
const deep = (n: number) => '['.repeat(n) + ']'.repeat(n);

const evening = {
  name: 'Evenings',
  kind: 'allow',
  start: '2026-01-05T20:00',
  timeZone: 'Europe/Berlin',
  durationMinutes: 120,
};
const override = { promotion: 'CP-1', reason: 'r', expiresAt: '2099-01-01T00:00:00Z' };
/** Each write route with a body that it takes in its form (though perhaps refuses by a rule). */
const writes: [string, Role, string, Record<string, unknown>][] = [
  ['add an epic', 'contributor', '/api/epics', { title: 't' }],
  ['change an epic', 'contributor', 'PATCH /api/epics/EPIC-1', { title: 't' }],
  ['add an item', 'contributor', '/api/backlog-items', { title: 't' }],
  ['change an item', 'contributor', 'PATCH /api/backlog-items/ITEM-1', { title: 't' }],
  ['change items', 'contributor', '/api/backlog-items/bulk', { items: [{ key: 'ITEM-1' }], set: {} }],
  ['import', 'contributor', '/api/backlog-items/import', { format: 'csv', content: 'title' }],
  ['move an item', 'contributor', '/api/backlog-items/ITEM-1/rank', { before: 'ITEM-2' }],
  ['block', 'contributor', '/api/backlog-items/ITEM-1/blockers', { reason: 'r' }],
  ['unblock', 'contributor', '/api/blockers/1/resolve', { resolution: 'r' }],
  ['limit', 'admin', 'PUT /api/wip-limits', { limits: [] }],
  ['ship', 'contributor', '/api/promotions', { target: 'shop', revision: 'v1', title: 't' }],
  ['deploy', 'release-manager', '/api/promotions/CP-1/deploy', {}],
  ['retry', 'release-manager', '/api/promotions/CP-1/retry', {}],
  ['rollback', 'release-manager', '/api/promotions/CP-1/rollback', {}],
  ['withdraw', 'contributor', '/api/promotions/CP-1/withdraw', {}],
  ['submit', 'contributor', '/api/change-requests/RFC-1/submit', {}],
  ['decide', 'approver', '/api/change-requests/RFC-1/decisions', { decision: 'approve' }],
  ['cancel a request', 'contributor', '/api/change-requests/RFC-1/cancel', {}],
  ['withdraw an approval', 'approver', '/api/change-requests/RFC-1/withdraw-decision', {}],
  ['review', 'approver', '/api/change-requests/RFC-1/review', { comment: 'c' }],
  ['revise', 'contributor', '/api/change-requests/RFC-1/revise', {}],
  ['edit', 'contributor', 'PATCH /api/change-requests/RFC-1', { title: 'another' }],
  ['add a window', 'release-manager', '/api/deployment-windows', evening],
  ['change a window', 'release-manager', 'PATCH /api/deployment-windows/1', { name: 'another' }],
  ['override', 'release-manager', '/api/deployment-windows/1/overrides', override],
  ['second', 'release-manager', '/api/window-overrides/1/second', {}],
  ['revoke', 'release-manager', '/api/window-overrides/1/revoke', {}],
  ['preview', 'release-manager', '/api/deployment-windows/preview', evening],
  ['make a feed', 'sre', '/api/calendar/feeds', { label: 'phone' }],
  ['resend', 'admin', '/api/notifications/1/resend', {}],
  ['cancel', 'sre', '/api/deployments/CP-1.1/cancel', {}],
  ['resolve', 'sre', '/api/deployments/CP-1.1/resolve', { action: 'retry', reason: 'r' }],
  ['adopt', 'sre', '/api/targets/shop/adopt', { reason: 'r' }],
  ['make a token', 'admin', '/api/tokens', { person: 'x', roles: ['sre'], expiresAt: null }],
  ['disable', 'admin', '/api/people/x/disable', {}],
  ['enable', 'admin', '/api/people/x/enable', {}],
  ['link', 'admin', '/api/people/x/link', { subject: 'https://idp.example 1' }],
];
const roleless = { authorization: 'Bearer token-without-a-role' };

it('this table names every write route', () => {
  // What runners say has a test of its own.
  const routes = apiRoutes({} as never).filter(
    ({ method, permission }) => ['post', 'put', 'patch'].includes(method) && permission !== 'run-steps',
  );
  expect(routes).toHaveLength(writes.length);
});

describe.each(writes)('%s', (_name, role, where, body) => {
  const [path, method = 'POST'] = where.split(' ').reverse() as [string, string?];
  it.each([
    ['no JSON', '{', 400],
    ['nothing but text', '"text"', 400],
    ['a list', '[]', 400],
    ['null', 'null', 400],
    ['NUL bytes', '\0\0', 400],
    ['half of a surrogate', '{"reason":"\\ud800"}', 400],
    ['nested deep', deep(100_000), 400],
    ['3 MB', JSON.stringify({ ...body, reason: 'x'.repeat(3_000_000) }), 413],
    ['an unknown field', JSON.stringify({ ...body, surprise: 1 }), 400],
    ['a prototype', '{"__proto__":{"admin":true},"constructor":1}', 400],
  ] as [string, string, number][])('%s', async (_kind, raw, status) => {
    const before = await everything();
    // A file may be as large as this; what is wrong is found.
    const expected = status === 413 && path.endsWith('/import') ? 400 : status;
    await expectRefused(api.call(role, method, path, raw), expected);
    expect(await everything()).toBe(before);
  });

  it('without a token, with a wrong one, with another role', async () => {
    const before = await everything();
    await expectRefused(api.call(undefined, method, path, body), 401, 'not-signed-in');
    await expectRefused(
      api.call(undefined, method, path, body, { authorization: 'Bearer nonsense' }),
      401,
      'not-signed-in',
    );
    await expectRefused(
      api.call(undefined, method, path, body, { authorization: 'Basic eDp5' }),
      401,
      'not-signed-in',
    );
    await expectRefused(api.call(undefined, method, path, body, roleless), 403, 'role-required');
    expect(await everything()).toBe(before);
  });

  // A token's value must not be remembered, so there the key has no say.
  if (path === '/api/tokens' || path === '/api/calendar/feeds' || path.endsWith('/preview')) return;
  it('with a bad Idempotency-Key', async () => {
    const before = await everything();
    await expectRefused(api.call(role, method, path, body, { 'idempotency-key': 'x'.repeat(201) }), 400);
    await expectRefused(api.call(role, method, path, body, { 'idempotency-key': 'a b' }), 400);
    expect(await everything()).toBe(before);
  });
});

const many = (n: number) => `{${Array.from({ length: n }, (_, i) => `"k${i}":1`).join()}}`;
it.each([
  ['a million keys', many(1_000_000), 'more than 60000 values'],
  ['as many values', `{"content":[${'1,'.repeat(5_000_000)}1]}`, 'more than 60000 values'],
  ['as many objects', `[${'{},'.repeat(3_000_000)}{}]`, 'more than 60000 values'],
  ['brackets without end', '['.repeat(9_000_000), 'more than 100 deep'],
  ['a file of a million keys', JSON.stringify({ format: 'json', content: `[${many(1_000_000)}]` }), '250000'],
])('a body of %s holds up nobody for longer than a text of its length', async (_what, body, told) => {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const heldUp = async (raw: string) => {
    delay.enable();
    await new Promise((resolve) => setTimeout(resolve, 20));
    delay.reset();
    const answer = await api.call('contributor', 'POST', '/api/backlog-items/import', raw);
    await new Promise((resolve) => setTimeout(resolve, 20));
    delay.disable();
    return { ms: delay.max / 1e6, answer };
  };
  const text = JSON.stringify({ format: 'csv', content: 'x'.repeat(body.length) });
  await heldUp(text);
  const usual = await heldUp(text);
  const { ms, answer } = await heldUp(body);
  await expectRefused(Promise.resolve(answer), 400);
  const times = ms / Math.max(usual.ms, 20);
  expect([times < 10 || { ms, ofText: usual.ms }, answer.text.length < 5_000, answer.body.detail]).toEqual([
    true,
    true,
    expect.stringContaining(told),
  ]);
});

it.each([
  ['promotions', 'CP'],
  ['change-requests', 'RFC'],
  ['backlog-items', 'ITEM'],
  ['epics', 'EPIC'],
])('keys of %s: malformed 400, unknown 404', async (resource, prefix) => {
  for (const key of [
    'x',
    `${prefix}-0`,
    `${prefix}--1`,
    `${prefix}-1e9`,
    `${prefix}-99999999999999999999`,
    '%00',
    '%27%3B--',
  ])
    await expectRefused(api.get(`/api/${resource}/${key}`), 400, 'invalid-input');
  await expectRefused(api.get(`/api/${resource}/${prefix}-999999`), 404, 'not-found');
});
it('keys of deployments', async () => {
  for (const key of ['CP-1', 'CP-1.0', 'CP-1.x', '1.1'])
    await expectRefused(api.get(`/api/deployments/${key}`), 400, 'invalid-input');
  await expectRefused(api.get('/api/deployments/CP-1.999'), 404, 'not-found');
  await expectRefused(api.get('/api/deployments/CP-1.999/log'), 404, 'not-found');
});

it.each([
  ['an unknown target', { target: 'shopp' }, 400, 'shop'],
  ['a bad target name', { target: '../etc' }, 400, 'target'],
  ['a revision that is an option', { revision: '--upload-pack=touch x' }, 400, 'dash'],
  ['an unknown revision', { revision: 'v11' }, 422, 'v1'],
  ['a revision that is a range', { revision: 'v1..v2' }, 400, 'name a tag'],
  ['a revision that searches', { revision: ':/(a{1,255}){1,255}' }, 400, 'name a tag'],
  ['a revision that takes away', { revision: '^v1' }, 400, 'name a tag'],
  ['a file of the mirror as revision', { revision: 'FETCH_HEAD' }, 422, 'no revision'],
  [
    'a plan in the year 0',
    { change: { planned: { start: '0000-01-01T00:00:00Z', minutes: 1 } } },
    400,
    '1970',
  ],
  ['no title', { title: '  ' }, 400, 'title'],
  ['a title with NUL', { title: 'a\0b' }, 400, 'NUL'],
  ['a title that moves the cursor', { title: 'a\u001b[2Jb' }, 400, 'control characters'],
  ['a number for a title', { title: 7 }, 400, 'title'],
  ['an unknown type of change', { change: { type: 'standard' } }, 400, 'normal'],
  ['an emergency without a reason', { change: { type: 'emergency' } }, 400, 'needs a reason'],
  ['an unknown risk', { change: { risk: 'none' } }, 400, 'low'],
  ['an unknown field inside', { change: { rsk: 'low' } }, 400, 'rsk'],
])('ship with %s', async (_name, change, status, told) => {
  const before = await everything();
  const body = { target: 'shop', revision: 'v1', title: 't', ...change };
  const answer = await api.post('contributor', '/api/promotions', body);
  await expectRefused(Promise.resolve(answer), status);
  expect(answer.body.detail).toContain(told);
  expect(await everything()).toBe(before);
});

it.each([
  '?limit=0',
  '?limit=201',
  '?limit=x',
  '?cursor=x',
  '?cursor=',
  '?surprise=1',
  '?target=A!',
  '?limit=1&limit=2',
])('lists refuse %s', async (query) => {
  for (const list of ['promotions', 'change-requests', 'backlog-items', 'epics', 'blockers'])
    await expectRefused(api.get(`/api/${list}${query}`), 400);
});
it.each(['?after=-1', '?after=x', '?after=99999999999', '?limit=0', '?limit=5001', '?tail=1', '?stream=x'])(
  'the log refuses %s',
  async (query) => {
    await expectRefused(api.get(`/api/deployments/CP-1.1/log${query}`), 400);
  },
);

it('what does not exist is a problem too', async () => {
  await expectRefused(api.get('/api/nothing'), 404);
  await expectRefused(api.call('sre', 'DELETE', '/api/promotions/CP-1'), 404);
  await expectRefused(api.get('/api/promotions/%E0%A4%A'), 400);
});

it('pages newest first, with a cursor that stays right while rows are added', async () => {
  for (const title of ['a', 'b', 'c', 'd'])
    await api.post('contributor', '/api/promotions', { target: 'shop', revision: 'v1', title });
  const first = (await api.get('/api/promotions?limit=2')).body;
  await api.post('contributor', '/api/promotions', { target: 'shop', revision: 'v1', title: 'e' });
  const second = (await api.get(`/api/promotions?limit=2&cursor=${first.nextCursor}`)).body;
  const third = (await api.get(`/api/promotions?limit=2&cursor=${second.nextCursor}`)).body;
  const titles = [first, second, third].map((page) => page.items.map((p: { title: string }) => p.title));
  expect(titles).toEqual([['d', 'c'], ['b', 'a'], ['there']]);
  expect(third.nextCursor).toBeNull();
});

it('every person is told who they are; every role reads', async () => {
  for (const role of Object.keys(personOf) as Role[])
    expect((await api.get('/api/me', role)).body.person).toBe(personOf[role]);
});

it('describes itself: OpenAPI with every route, its page, liveness and readiness', async () => {
  const document = (await api.call(undefined, 'GET', '/api/openapi.json')).body;
  const described = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.keys(verbs as object).map((verb) => `${verb} ${path}`),
  );
  const routes = apiRoutes({} as never).map((r) => `${r.method} /api${r.path.replace(/:(\w+)/g, '{$1}')}`);
  expect(described.sort()).toEqual(routes.sort());
  const page = await api.call(undefined, 'GET', '/api/docs/');
  expect(page.text).toContain('swagger-ui');
  for (const file of page.text.match(/(?<=(src|href)="\.?\/?)[^"]+/g)!)
    expect((await fetch(`${api.base}/api/docs/${file}`)).status).toBe(200);
  for (const file of [
    'swagger-ui.js.map',
    'swagger-ui-bundle.js.map',
    'package.json',
    'swagger-ui-es-bundle.js',
  ])
    expect((await api.call(undefined, 'GET', `/api/docs/${file}`)).status).toBe(404);
  expect((await api.call(undefined, 'GET', '/health/live')).status).toBe(200);
  expect((await api.call(undefined, 'GET', '/health/ready')).body).toEqual({
    database: 'ready',
    temporal: 'ready',
  });
});

describe('a body that is not called JSON', () => {
  const submit = async (type: string | undefined, body: string, more: Record<string, string> = {}) => {
    // A Blob without a type has fetch send none.
    const answer = await fetch(`${api.base}/api/promotions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${tokenOf('contributor')}`,
        ...(type === undefined ? {} : { 'content-type': type }),
        ...more,
      },
      body: new Blob([body]),
    });
    return { status: answer.status, body: (await answer.json()) as { code: string; detail: string } };
  };
  const ship = JSON.stringify({ target: 'shop', revision: 'v1', title: 'by its type' });

  it.each([
    // What a form of any page can send, without asking.
    'text/plain',
    'text/plain;charset=UTF-8',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/merge-patch+json',
    'application/json-patch+json',
    'application/problem+json',
    'application/jsonp',
    'text/json',
    'application/json, text/plain',
    '',
    undefined,
  ])('%j is refused, and changes nothing', async (type) => {
    const before = await everything();
    for (const body of [ship, 'title=x&target=shop'])
      expect(await submit(type, body)).toMatchObject({
        status: 415,
        body: {
          code: 'unsupported-media',
          detail: expect.stringContaining('Content-Type: application/json'),
        },
      });
    expect(await everything()).toBe(before);
  });

  it('is refused before it is looked at, without a body too, and everywhere', async () => {
    const types = { 'content-type': 'application/x-www-form-urlencoded' };
    for (const [method, path] of [
      ['POST', '/api/change-requests/RFC-1/submit'],
      ['PATCH', '/api/change-requests/RFC-1'],
      ['DELETE', '/api/session'],
      ['PUT', '/api/wip-limits'],
      ['POST', '/api/sign-in'],
    ] as const)
      expect((await api.call('contributor', method, path, undefined, types)).status).toBe(415);
    expect((await api.call('contributor', 'GET', '/api/promotions', undefined, types)).status).toBe(200);
  });

  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=utf-8',
    'application/json ;x=y',
  ])('%j is taken', async (type) => {
    expect((await submit(type, '{}')).status).toBe(400);
  });

  it('is not asked of a request that has none', async () => {
    const answer = await fetch(`${api.base}/api/change-requests/RFC-99/submit`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tokenOf('contributor')}` },
    });
    expect(answer.status).toBe(404);
  });
});

describe('the ETag of what is versioned', () => {
  const made = async (path: string, body: object) =>
    (await api.post('contributor', path, body)).body.key as string;
  const window = async () =>
    (await api.post('release-manager', '/api/deployment-windows', { ...evening, name: `w ${Math.random()}` }))
      .body.id as number;
  const item = () => made('/api/backlog-items', { title: 'an item' });
  const rename = { title: 'another' };
  /** Of each route that honours If-Match: what is read, who changes it, and how. */
  const cases: Record<string, () => Promise<[read: string, role: Role, path: string, body: object]>> = {
    'patch /change-requests/:key': async () => {
      const cp = await made('/api/promotions', { target: 'shop', revision: 'v1', title: 't' });
      const path = `/api/change-requests/${cp.replace('CP', 'RFC')}`;
      return [path, 'contributor', path, rename];
    },
    'patch /backlog-items/:key': async () => {
      const path = `/api/backlog-items/${await item()}`;
      return [path, 'contributor', path, rename];
    },
    'delete /backlog-items/:key': async () => {
      const path = `/api/backlog-items/${await item()}`;
      return [path, 'contributor', path, {}];
    },
    'post /backlog-items/:key/rank': async () => {
      const before = await item();
      const path = `/api/backlog-items/${await item()}`;
      return [path, 'contributor', `${path}/rank`, { before }];
    },
    'patch /epics/:key': async () => {
      const path = `/api/epics/${await made('/api/epics', { title: 'an epic' })}`;
      return [path, 'contributor', path, rename];
    },
    'delete /epics/:key': async () => {
      const path = `/api/epics/${await made('/api/epics', { title: 'an epic' })}`;
      return [path, 'contributor', path, {}];
    },
    'put /wip-limits': async () => ['/api/wip-limits', 'admin', '/api/wip-limits', { limits: [] }],
    'patch /deployment-windows/:id': async () => {
      const path = `/api/deployment-windows/${await window()}`;
      return [path, 'release-manager', path, { durationMinutes: 90 }];
    },
    'delete /deployment-windows/:id': async () => {
      const path = `/api/deployment-windows/${await window()}`;
      return [path, 'release-manager', path, {}];
    },
  };

  it('each route that honours If-Match is looked at', () => {
    const honour = apiRoutes({} as never).filter(({ ifMatch }) => ifMatch);
    expect(honour.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(Object.keys(cases).sort());
  });

  it.each(Object.keys(cases))('%s: it is good as its If-Match, until it is changed', async (name) => {
    const [read, role, path, body] = await cases[name]!();
    const method = name.split(' ')[0]!.toUpperCase();
    const seen = await api.get(read);
    const etag = seen.headers.get('etag')!;
    expect(etag).toMatch(new RegExp(`^"${seen.body.version}-`));
    // As caches ask; fetch by itself would have none of them asked.
    const cached = { 'if-none-match': etag, 'cache-control': 'max-age=0' };
    expect((await api.call('sre', 'GET', read, undefined, cached)).status).toBe(304);
    const change = (tag: string) => api.call(role, method, path, body, { 'if-match': tag });
    await expectRefused(change(`"${seen.body.version + 1}-${'x'.repeat(16)}"`), 412, 'stale-version');
    const changed = await change(etag);
    expect(changed.status).toBe(200);
    if (method === 'DELETE') return;
    const next = changed.headers.get('etag')!;
    expect(next).not.toBe(etag);
    await expectRefused(change(etag), 412, 'stale-version');
    expect((await change(`W/${next}`)).status).toBe(200);
  });

  it.each(['"x"', 'W/"51c-Rif07"', '"3-"', '"1", "2"', '""'])('%s is none', async (tag) => {
    await expectRefused(
      api.patch('contributor', '/api/change-requests/RFC-1', rename, { 'if-match': tag }),
      400,
      'invalid-input',
    );
  });
});
