import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { apiRoutes } from '../../api/app';
import { localSignIn } from '../../cli/local-sign-in';
import { roles, type Role } from '../../domain/machines';
import { mintToken } from '../../db/tokens';
import { personOf, serveWorld, tokenOf, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** Who may do what: every route for every role, targets, tokens, people, sessions. */
let world: World;
let api: Served;
let signIn: ReturnType<typeof localSignIn>;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'kiosk'] });
  signIn = localSignIn(['rosa', 'amir', 'carla'], () => undefined);
  api = await serveWorld(world, { signIn });
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const everyRole = [...roles];
type Made = { id: number; token: string };
/** Written by hand, once more: method and path, and who may. */
const table: [string, string, Role[]][] = [
  ['get', '/targets', everyRole],
  ['get', '/targets/:name', everyRole],
  ['get', '/me', everyRole],
  ['get', '/epics', everyRole],
  ['post', '/epics', ['contributor']],
  ['get', '/epics/:key', everyRole],
  ['patch', '/epics/:key', ['contributor']],
  ['delete', '/epics/:key', ['contributor']],
  ['get', '/backlog-items', everyRole],
  ['get', '/backlog-items/totals', everyRole],
  ['get', '/backlog-items/export', everyRole],
  ['post', '/backlog-items', ['contributor']],
  ['post', '/backlog-items/bulk', ['contributor']],
  ['post', '/backlog-items/import', ['contributor']],
  ['get', '/backlog-items/:key', everyRole],
  ['patch', '/backlog-items/:key', ['contributor']],
  ['delete', '/backlog-items/:key', ['contributor']],
  ['post', '/backlog-items/:key/rank', ['contributor']],
  ['post', '/backlog-items/:key/blockers', ['contributor']],
  ['get', '/blockers', everyRole],
  ['post', '/blockers/:id/resolve', ['contributor']],
  ['get', '/wip-limits', everyRole],
  ['put', '/wip-limits', ['admin']],
  ['get', '/promotions', everyRole],
  ['post', '/promotions', ['contributor']],
  ['get', '/promotions/:key', everyRole],
  ['get', '/promotions/:key/changes', everyRole],
  ['post', '/promotions/:key/deploy', ['release-manager']],
  ['post', '/promotions/:key/retry', ['release-manager']],
  ['post', '/promotions/:key/rollback', ['release-manager']],
  ['post', '/promotions/:key/withdraw', ['contributor', 'release-manager']],
  ['get', '/needs', everyRole],
  ['get', '/deployments', everyRole],
  ['get', '/deployments/:key', everyRole],
  ['get', '/deployments/:key/log', everyRole],
  ['get', '/deployments/:key/log.txt', everyRole],
  ['get', '/deployments/:key/history', everyRole],
  ['get', '/deployments/:key/history.json', everyRole],
  ['post', '/deployments/:key/cancel', ['release-manager', 'sre']],
  ['post', '/deployments/:key/resolve', ['sre']],
  ['get', '/change-requests', everyRole],
  ['get', '/change-requests/:key', everyRole],
  ['post', '/change-requests/:key/submit', ['contributor', 'release-manager']],
  ['post', '/change-requests/:key/decisions', ['approver']],
  ['post', '/change-requests/:key/cancel', ['contributor', 'release-manager']],
  ['patch', '/change-requests/:key', ['contributor', 'release-manager']],
  ['post', '/change-requests/:key/withdraw-decision', ['approver']],
  ['post', '/change-requests/:key/review', ['approver']],
  ['post', '/change-requests/:key/revise', ['contributor', 'release-manager']],
  ['get', '/deployment-windows', everyRole],
  ['get', '/deployment-windows/status', everyRole],
  ['post', '/deployment-windows/preview', everyRole],
  ['post', '/deployment-windows', ['release-manager']],
  ['get', '/deployment-windows/:id', everyRole],
  ['patch', '/deployment-windows/:id', ['release-manager']],
  ['delete', '/deployment-windows/:id', ['release-manager']],
  ['post', '/deployment-windows/:id/overrides', ['release-manager']],
  ['post', '/window-overrides/:id/second', ['release-manager']],
  ['post', '/window-overrides/:id/revoke', ['release-manager']],
  ['get', '/calendar', everyRole],
  ['get', '/delivery-metrics', everyRole],
  ['get', '/delivery-metrics/:name', everyRole],
  ['post', '/calendar/feeds', everyRole],
  ['get', '/webhooks', everyRole],
  ['get', '/notifications', everyRole],
  ['post', '/notifications/:id/resend', ['sre', 'admin']],
  ['get', '/tokens', ['admin']],
  ['post', '/tokens', ['admin']],
  ['delete', '/tokens/:id', ['admin']],
  ['get', '/people', ['admin']],
  ['post', '/people/:name/disable', ['admin']],
  ['post', '/people/:name/link', ['admin']],
  ['post', '/people/:name/enable', ['admin']],
  ['delete', '/session', everyRole],
  ['get', '/audit', everyRole],
  ['post', '/targets/:name/adopt', ['sre']],
  // Programs alone: test/api/runners.
  ...[
    'hello',
    'claim',
    'begin',
    'fence',
    'permit',
    'observed',
    'not-begun',
    'trouble',
    'overcame',
    'lines',
    'finish',
    'left',
    'sighted',
  ].map((what): [string, string, Role[]] => ['post', `/runners/:target/${what}`, []]),
];
const bodies: Record<string, object> = {
  '/promotions': { target: 'shop', revision: 'no-such', title: 't' },
  '/change-requests/:key/decisions': { decision: 'approve' },
  '/change-requests/:key/review': { comment: 'c' },
  '/deployment-windows/:id/overrides': {
    promotion: 'CP-999',
    reason: 'r',
    expiresAt: '2020-01-01T00:00:00Z',
  },
  '/deployment-windows': {
    name: 'n',
    kind: 'allow',
    start: '2026-02-30T00:00',
    timeZone: 'UTC',
    durationMinutes: 1,
  },
  '/epics': { title: 't' },
  '/backlog-items': { title: 't' },
  '/backlog-items/bulk': { items: [{ key: 'ITEM-999' }], set: {} },
  '/backlog-items/import': { format: 'csv', content: 'title' },
  '/backlog-items/:key/rank': { before: 'ITEM-998' },
  '/backlog-items/:key/blockers': { reason: 'r' },
  '/blockers/:id/resolve': { resolution: 'r' },
  '/wip-limits': { limits: [] },
  '/deployments/:key/resolve': { action: 'retry', reason: 'r' },
  '/tokens': { person: 'nobody', roles: ['sre'], expiresAt: '2020-01-01T00:00:00Z' },
};
const concrete = (path: string) =>
  path
    .replace(/^\/deployments\/:key/, '/deployments/CP-999.1')
    .replace(/^\/promotions\/:key/, '/promotions/CP-999')
    .replace(/^\/epics\/:key/, '/epics/EPIC-999')
    .replace(/^\/backlog-items\/:key/, '/backlog-items/ITEM-999')
    .replace(/^\/change-requests\/:key/, '/change-requests/RFC-999')
    .replace(/:name|:id/, 'nobody');

it('the table names every route of the API', () => {
  const routes = apiRoutes(world.deps as never).map(({ method, path }) => `${method} ${path}`);
  expect(routes.sort()).toEqual(table.map(([method, path]) => `${method} ${path}`).sort());
});

describe.each(table)('%s %s', (method, path, allowed) => {
  it.each([...everyRole, 'a wrong token', 'nobody'] as const)('by %s', async (role) => {
    const known = (roles as readonly string[]).includes(role);
    const authorization = role === 'a wrong token' ? { authorization: 'Bearer sb_wrong' } : undefined;
    const body = method === 'get' ? undefined : (bodies[path] ?? {});
    const { status, body: answer } = await api.call(
      known ? (role as Role) : undefined,
      method.toUpperCase(),
      `/api${concrete(path)}`,
      body,
      authorization,
    );
    if (!known) expect([status, answer.code]).toEqual([401, 'not-signed-in']);
    else if (!allowed.includes(role as Role)) expect([status, answer.code]).toEqual([403, 'role-required']);
    else expect([401, 403, 500]).not.toContain(status);
  });
});

it('the event stream needs a credential too', async () => {
  expect((await fetch(`${api.base}/api/events`)).status).toBe(401);
});

const token = async (person: string, grants: string[], more: Record<string, unknown> = {}) => {
  const { status, body } = await api.post('admin', '/api/tokens', {
    person,
    roles: grants,
    expiresAt: null,
    ...more,
  });
  expect(status).toBe(201);
  return body as { id: number; token: string };
};
const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
const as = (value: string, method: string, path: string, body?: unknown) =>
  api.call(undefined, method, path, body, bearer(value));
async function shipped(by: string, target = 'shop'): Promise<string> {
  const ship = { target, revision: 'v1', title: 'a change', submit: true };
  const { status, body } = await as(by, 'POST', '/api/promotions', ship);
  expect(status).toBe(201);
  return body.key as string;
}

describe('roles on one target', () => {
  it('count there and nowhere else, at every route that acts', async () => {
    const { token: carla } = await token('carla', ['contributor:kiosk']);
    const refused = await as(carla, 'POST', '/api/promotions', {
      target: 'shop',
      revision: 'v1',
      title: 't',
    });
    expect([refused.status, refused.body.code]).toEqual([403, 'role-required']);
    expect(refused.body.detail).toBe('carla is contributor:kiosk; this needs contributor for shop.');
    const key = await shipped(carla, 'kiosk');
    const rfc = key.replace('CP', 'RFC');
    const other = await token('otto', ['approver:shop', 'release-manager:shop', 'sre:shop']);
    const here = await token('kim', ['approver:kiosk', 'release-manager:kiosk']);
    for (const [path, body] of [
      [`/api/change-requests/${rfc}/decisions`, { decision: 'approve' }],
      [`/api/change-requests/${rfc}/submit`, {}],
      [`/api/change-requests/${rfc}/cancel`, {}],
      [`/api/promotions/${key}/deploy`, {}],
      [`/api/promotions/${key}/retry`, {}],
      [`/api/promotions/${key}/rollback`, {}],
      [`/api/promotions/${key}/withdraw`, {}],
    ] as const)
      expect([path, (await as(other.token, 'POST', path, body)).body.code]).toEqual([path, 'role-required']);
    const decision = `/api/change-requests/${rfc}/decisions`;
    expect((await as(here.token, 'POST', decision, { decision: 'approve' })).status).toBe(201);
    const deployed = await as(here.token, 'POST', `/api/promotions/${key}/deploy`, {});
    expect(deployed.status).toBe(202);
    expect((await as(other.token, 'POST', `/api/deployments/${deployed.body.key}/cancel`, {})).status).toBe(
      403,
    );
    expect((await as(other.token, 'GET', `/api/deployments/${deployed.body.key}`)).status).toBe(200);
    await world.until('it to end', async () =>
      ['succeeded'].includes((await api.get(`/api/deployments/${deployed.body.key}`)).body.status),
    );
  });
});

describe('tokens', () => {
  it('are shown once, kept as a digest, and note when they were used', async () => {
    const made = await token('tessa', ['sre'], { label: 'pager' });
    expect(made.token).toMatch(/^sb_[\w-]{32}$/);
    expect(JSON.stringify(await world.db('tokens').where({ id: made.id }))).not.toContain(made.token);
    const listed = async () =>
      (await api.get('/api/tokens', 'admin')).body.items.find(({ id }: { id: number }) => id === made.id);
    expect(await listed()).toMatchObject({
      person: 'tessa',
      label: 'pager',
      mintedBy: 'ada',
      lastUsedAt: null,
    });
    expect(await listed()).not.toHaveProperty('token');
    expect((await as(made.token, 'GET', '/api/me')).body).toMatchObject({ person: 'tessa', roles: ['sre'] });
    expect((await listed()).lastUsedAt).toEqual(expect.any(String));
  });

  it('stop working when they run out or are revoked', async () => {
    const soon = await token('tessa', ['sre'], { expiresAt: new Date(Date.now() + 3_600_000).toISOString() });
    expect((await as(soon.token, 'GET', '/api/me')).status).toBe(200);
    await world.owner('tokens').where({ id: soon.id }).update({ expires_at: new Date() });
    await world.until('it to run out', async () => (await as(soon.token, 'GET', '/api/me')).status === 401);
    const made = await token('tessa', ['sre']);
    expect(
      (await api.call('admin', 'DELETE', `/api/tokens/${made.id}`, { reason: 'lost' })).body,
    ).toMatchObject({
      revokedAt: expect.any(String),
    });
    expect((await as(made.token, 'GET', '/api/me')).status).toBe(401);
  });

  it.each([
    ['that are revoked', ({ id }: Made) => api.call('admin', 'DELETE', `/api/tokens/${id}`, {})],
    [
      'that another API revokes',
      ({ id }: Made) => world.db('tokens').where({ id }).update({ revoked_at: new Date() }),
    ],
    [
      'of a person who is disabled',
      () => world.db('people').where({ name: 'tessa' }).update({ disabled_at: new Date() }),
    ],
  ])('%s end the event streams that they opened, at once', async (_what, end) => {
    const made = await token('tessa', ['sre']);
    const stream = await fetch(`${api.base}/api/events`, { headers: bearer(made.token) });
    const ended = stream.text();
    expect(await Promise.race([ended, new Promise((go) => setTimeout(go, 1_000, 'open'))])).toBe('open');
    const began = performance.now();
    await end(made);
    expect(await ended).toContain('event:reset');
    // Within a second; not with the next look, which comes every 15 s.
    expect(performance.now() - began).toBeLessThan(5_000);
    await world.owner('people').where({ name: 'tessa' }).update({ disabled_at: null });
  });

  it('of a session end its event streams when one signs out', async () => {
    const { session } = (await api.call(undefined, 'POST', '/api/sign-in', { code: signIn.code() })).body;
    const stream = await fetch(`${api.base}/api/events`, { headers: bearer(session) });
    const ended = stream.text();
    const began = performance.now();
    await as(session, 'DELETE', '/api/session', {});
    expect(await ended).toContain('event:reset');
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it.each([
    ['an unknown role', { roles: ['boss'] }],
    ['an unknown target form', { roles: ['sre:../x'] }],
    ['no role', { roles: [] }],
    ['a time that has passed', { expiresAt: '2020-01-01T00:00:00Z' }],
    ['no word on when it ends', { expiresAt: undefined }],
  ])('are refused with %s', async (_what, change) => {
    const before = await world.db('tokens').count();
    const body = { person: 'x', roles: ['sre'], expiresAt: null, ...change };
    expect((await api.post('admin', '/api/tokens', body)).status).toBe(400);
    expect(await world.db('tokens').count()).toEqual(before);
  });

  it('of somebody else do not let who minted them decide on their own change', async () => {
    const admin = await token('ada', ['admin', 'contributor']);
    const key = await shipped(admin.token);
    const puppet = (
      await as(admin.token, 'POST', '/api/tokens', { person: 'puppet', roles: ['approver'], expiresAt: null })
    ).body.token;
    const path = `/api/change-requests/${key.replace('CP', 'RFC')}/decisions`;
    const refused = await as(puppet, 'POST', path, { decision: 'approve' });
    expect([refused.status, refused.body.code]).toEqual([403, 'own-change']);
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('pending');
    // Another administrator's token for the same person speaks for nobody who shipped it.
    const operator = { person: 'puppet', grants: ['approver'], mintedBy: 'operator root@host' };
    const made = await mintToken(world.db, operator, { by: 'operator root@host' });
    expect((await as(made!.value, 'POST', path, { decision: 'approve' })).status).toBe(201);
  });
});

describe('segregation of duties', () => {
  it.each([
    ['who shipped', ['contributor', 'approver']],
    ['an admin who shipped', ['contributor', 'approver', 'admin']],
    ['who holds every role', [...roles]],
  ])('%s can not approve', async (_who, grants) => {
    const both = await token(`person ${randomUUID().slice(0, 8)}`, grants);
    const key = await shipped(both.token);
    const path = `/api/change-requests/${key.replace('CP', 'RFC')}/decisions`;
    expect((await as(both.token, 'POST', path, { decision: 'approve' })).body.code).toBe('own-change');
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('pending');
  });

  it('stands in the database too, whatever writes there', async () => {
    const key = await shipped(tokenOf('contributor'));
    const row = {
      id: randomUUID(),
      change_request: Number(key.slice(3)),
      submission: 1,
      decision: 'approve',
      counted: true,
    };
    const insert = (more: object) => world.db('decisions').insert({ ...row, ...more });
    await expect(insert({ approver: 'carla' })).rejects.toThrow(/own change/);
    await expect(insert({ approver: 'amir', minted_by: 'carla' })).rejects.toThrow(/own change/);
    await expect(world.owner('decisions').insert({ ...row, approver: 'carla' })).rejects.toThrow(
      /own change/,
    );
    await insert({ approver: 'amir' });
    await expect(world.db('decisions').where({ id: row.id }).update({ approver: 'anna' })).rejects.toThrow(
      /permission denied/,
    );
  });
});

describe('somebody who is shut out', () => {
  it('is out at once, with the approvals that nobody else gave', async () => {
    const approver = await token('vera', ['approver']);
    const path = (key: string) => `/api/change-requests/${key.replace('CP', 'RFC')}/decisions`;
    const [mine, waiting] = [await shipped(tokenOf('contributor')), await shipped(tokenOf('contributor'))];
    for (const key of [mine, waiting])
      expect((await as(approver.token, 'POST', path(key), { decision: 'approve' })).status).toBe(201);
    const others = await shipped(tokenOf('contributor'));
    expect((await api.post('approver', path(others), { decision: 'approve' })).status).toBe(201);

    const disabled = await api.post('admin', '/api/people/vera/disable', { reason: 'left' });
    expect(disabled.body).toMatchObject({ name: 'vera', disabledAt: expect.any(String) });
    expect((await as(approver.token, 'GET', '/api/me')).status).toBe(401);
    const status = async (key: string) => (await api.get(`/api/promotions/${key}`)).body.status;
    expect(await Promise.all([mine, waiting, others].map(status))).toEqual([
      'pending',
      'pending',
      'approved',
    ]);
    const refused = await api.post('release-manager', `/api/promotions/${mine}/deploy`);
    expect([refused.status, refused.body.code]).toEqual([422, 'not-approved']);
    // Somebody else can still approve it; the workflow listens on.
    expect((await api.post('approver', path(mine), { decision: 'approve' })).status).toBe(201);
    expect(await status(mine)).toBe('approved');

    await api.post('admin', '/api/people/vera/enable');
    expect((await as(approver.token, 'GET', '/api/me')).status).toBe(200);
    expect((await api.post('admin', '/api/people/nobody-such/disable')).status).toBe(404);
    expect((await api.post('admin', '/api/people/ada/disable')).body.code).toBe('own-access');
    expect((await api.get('/api/me', 'admin')).status).toBe(200);
  });
});

describe('the sign-in of the embedded mode', () => {
  const signedIn = async (code: string) =>
    api.call(undefined, 'POST', '/api/sign-in', { code }) as Promise<{ status: number; body: any }>;

  it('is good once, and anything else is nothing', async () => {
    for (const wrong of ['', 'x', signIn.code().slice(1), null, 7, { a: 1 }])
      expect((await signedIn(wrong as string)).status).toBe(401);
    const code = signIn.code();
    const first = await signedIn(code);
    expect(first.status).toBe(200);
    expect((await signedIn(code)).status).toBe(401);
    expect(signIn.code()).not.toBe(code);
    expect((await as(first.body.session, 'GET', '/api/me')).body).toMatchObject({
      person: 'rosa',
      roles: ['release-manager'],
      canBe: expect.arrayContaining([{ person: 'amir', roles: ['approver'] }]),
    });
  });

  it('lets one be each of the sample people and nobody else, and ends', async () => {
    const { session } = (await signedIn(signIn.code())).body;
    const acting = (person: string, bearer = session as string) =>
      api.call(undefined, 'GET', '/api/me', undefined, {
        authorization: `Bearer ${bearer}`,
        'signalbox-as': person,
      });
    expect((await acting('amir')).body).toMatchObject({ person: 'amir', roles: ['approver'] });
    // For that request alone: no other button and no other tab goes on as somebody else.
    expect((await as(session, 'GET', '/api/me')).body.person).toBe('rosa');
    expect((await acting('ada')).status).toBe(409);
    expect((await acting('nobody')).status).toBe(409);
    expect((await acting('amir', tokenOf('sre'))).status).toBe(409);
    expect((await acting('sven', tokenOf('sre'))).status).toBe(200);
    expect((await as(session, 'DELETE', '/api/session', {})).status).toBe(200);
    expect((await as(session, 'GET', '/api/me')).status).toBe(401);
  });

  it('says nothing of a session in a cookie: a local session is a bearer alone', async () => {
    const { session } = (await signedIn(signIn.code())).body;
    const byCookie = await api.call(undefined, 'GET', '/api/me', undefined, {
      cookie: `__Host-signalbox=${session}`,
    });
    expect(byCookie.status).toBe(401);
    const tokenByCookie = { cookie: `__Host-signalbox=${tokenOf('sre')}` };
    expect((await api.call(undefined, 'GET', '/api/me', undefined, tokenByCookie)).status).toBe(401);
  });
});

describe('where a request comes from', () => {
  const ask = (headers: Record<string, string>) =>
    new Promise<number>((resolve, reject) => {
      const url = new URL(`${api.base}/api/promotions/CP-999/deploy`);
      const asked = request(url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${tokenOf('release-manager')}`,
          'content-type': 'application/json',
          ...headers,
        },
      });
      asked.on('response', (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      asked.on('error', reject);
      asked.end('{}');
    });
  it.each([
    ['its own name', {}, 404],
    ['another name', { host: 'evil.example' }, 421],
    ['the right name on another port', { host: '127.0.0.1:1' }, 421],
    ['its own page', { origin: 'own' }, 404],
    ["another site's page", { origin: 'https://evil.example' }, 403],
    ['a page without an origin', { origin: 'null' }, 403],
  ])('%s', async (_what, headers: Record<string, string>, status) => {
    const { origin } = headers;
    expect(await ask(origin === 'own' ? { origin: api.base } : headers)).toBe(status);
  });
});

it('every answer has a request id, and a refusal is in the audit trail under it', async () => {
  const refused = await api.post('sre', '/api/promotions/CP-1/deploy');
  expect(refused.status).toBe(403);
  const found = await api.get(`/api/audit?request=${refused.body.request}`);
  expect(found.body.items).toEqual([
    expect.objectContaining({
      actor: personOf.sre,
      action: 'request.refused',
      subject: 'CP-1',
      why: expect.stringContaining('this needs release-manager'),
    }),
  ]);
});

describe('the audit trail over HTTP', () => {
  const list = async (query: string) =>
    (await api.get(`/api/audit?${query}`)).body as { items: any[]; nextCursor: string | null };
  it('pages through everything once, newest first', async () => {
    const whole = (await world.db('audit').orderBy('id', 'desc').select('id')).map(({ id }) => id);
    const seen: number[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await list(`limit=17${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(whole);
  });
  it('filters by actor, action, subject and time, together', async () => {
    const all = (await world.db('audit').orderBy('id', 'desc')).map(({ entry }) => JSON.parse(entry));
    const middle = all[Math.floor(all.length / 2)].at.slice(0, 23) + 'Z';
    for (const [query, holds] of [
      ['actor=amir', (e: any) => e.actor === 'amir'],
      ['action=decision.', (e: any) => e.action.startsWith('decision.')],
      ['action=%25', () => false],
      ['subject=CP-1', (e: any) => e.subject === 'CP-1'],
      [
        'actor=amir&action=promotion.approved',
        (e: any) => e.actor === 'amir' && e.action === 'promotion.approved',
      ],
      [`to=${middle}`, (e: any) => Date.parse(e.at) < Date.parse(middle)],
    ] as const) {
      const expected = all.filter(holds).slice(0, 200);
      expect([query, (await list(`limit=200&${query}`)).items.map(({ at }) => at)]).toEqual([
        query,
        expected.map(({ at }) => at),
      ]);
    }
    expect((await api.get('/api/audit?from=yesterday')).status).toBe(400);
    expect((await api.get('/api/audit?who=rosa')).status).toBe(400);
  });
});
