import { randomUUID } from 'node:crypto';
import { apiRoutes } from '../../api/app';
import type { Db } from '../../db/connect';
import type { Role } from '../../domain/machines';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/**
 * Every write under an Idempotency-Key is made once: sent ten times at once, and sent again after the API died between
 * the write and its answer.
 */
let world: World;
let api: Served;
/** One whose process dies when a request was carried out, before it is remembered. */
let mortal: Served;
const never = (): unknown =>
  new Proxy(
    {},
    {
      get: (_, name) =>
        name === 'then'
          ? (_done: unknown, failed: (why: Error) => void) => failed(new Error('the API died'))
          : () => never(),
    },
  );
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
  const db = new Proxy(world.db, {
    apply: (real, _self, [table]: [string]) => (table === 'idempotency_keys' ? never() : real(table)),
  }) as Db;
  mortal = await serveWorld({ ...world, db });
});
afterAll(async () => {
  await api.stop();
  await mortal.stop();
  await world.stop();
});

interface Write {
  path: string;
  body?: object;
}
let n = 0;
const post = async (role: Role, path: string, body: object = {}) => {
  const answer = await api.post(role, `/api${path}`, body);
  if (answer.status >= 300) throw new Error(`${path}: ${answer.text}`);
  return answer.body;
};
const epic = async () => `/epics/${(await post('contributor', '/epics', { title: 'e' })).key}`;
const item = async () => (await post('contributor', '/backlog-items', { title: 'i' })).key as string;
const ship = async (submit: boolean) =>
  post('contributor', '/promotions', { target: 'shop', revision: 'v1', title: `t${++n}`, submit });
const request = async (submit = true) => `/change-requests/${(await ship(submit)).changeRequest}`;
const decided = async (decision: 'approve' | 'reject') => {
  const path = await request();
  await post('approver', `${path}/decisions`, { decision, comment: 'c' });
  return path;
};
const aWindow = () => ({
  name: `w${++n}`,
  kind: 'freeze',
  start: '2020-01-05T20:00',
  timeZone: 'UTC',
  durationMinutes: 60,
});
const window = async () =>
  `/deployment-windows/${(await post('release-manager', '/deployment-windows', aWindow())).id}`;
const anOverride = async () => ({
  promotion: (await ship(true)).key,
  reason: 'r',
  expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
});
const override = async () => {
  const other = await api.somebody('rita', ['release-manager']);
  return `/window-overrides/${(await other.post(`/api${await window()}/overrides`, await anOverride())).body.id}`;
};
const person = async () => {
  const { person } = await api.somebody(`p${++n}`, ['sre']);
  return `/people/${person}`;
};
const aToken = () => ({ person: `p${++n}`, roles: ['sre'], expiresAt: null });

/** What each route is sent; a fresh one for each time. */
const writes: Record<string, [Role, () => Promise<Write> | Write]> = {
  'post /epics': ['contributor', () => ({ path: '/epics', body: { title: 't' } })],
  'patch /epics/:key': ['contributor', async () => ({ path: await epic(), body: { title: 'u' } })],
  'delete /epics/:key': ['contributor', async () => ({ path: await epic() })],
  'post /backlog-items': ['contributor', () => ({ path: '/backlog-items', body: { title: 't' } })],
  'patch /backlog-items/:key': [
    'contributor',
    async () => ({ path: `/backlog-items/${await item()}`, body: { title: 'u' } }),
  ],
  'delete /backlog-items/:key': ['contributor', async () => ({ path: `/backlog-items/${await item()}` })],
  'post /backlog-items/bulk': [
    'contributor',
    async () => ({
      path: '/backlog-items/bulk',
      body: { items: [{ key: await item(), version: 1 }], set: { addLabels: ['l'] } },
    }),
  ],
  'post /backlog-items/import': [
    'contributor',
    () => ({ path: '/backlog-items/import', body: { format: 'csv', content: 'title\nx\n', dryRun: false } }),
  ],
  'post /backlog-items/:key/rank': [
    'contributor',
    async () => {
      const before = await item();
      return { path: `/backlog-items/${await item()}/rank`, body: { before } };
    },
  ],
  'post /backlog-items/:key/blockers': [
    'contributor',
    async () => ({ path: `/backlog-items/${await item()}/blockers`, body: { reason: 'r' } }),
  ],
  'post /blockers/:id/resolve': [
    'contributor',
    async () => {
      const { id } = await post('contributor', `/backlog-items/${await item()}/blockers`, { reason: 'r' });
      return { path: `/blockers/${id}/resolve`, body: { resolution: 'gone' } };
    },
  ],
  'put /wip-limits': [
    'admin',
    () => ({ path: '/wip-limits', body: { limits: [{ scope: 'board', limit: 500 + ++n }] } }),
  ],
  'post /promotions': [
    'contributor',
    () => ({ path: '/promotions', body: { target: 'shop', revision: 'v1', title: 't' } }),
  ],
  'post /promotions/:key/deploy': [
    'release-manager',
    async () => ({
      path: `${(await decided('approve')).replace('change-requests/RFC', 'promotions/CP')}/deploy`,
    }),
  ],
  'post /promotions/:key/withdraw': [
    'contributor',
    async () => ({ path: `/promotions/${(await ship(false)).key}/withdraw` }),
  ],
  'post /change-requests/:key/submit': [
    'contributor',
    async () => ({ path: `${await request(false)}/submit` }),
  ],
  'post /change-requests/:key/decisions': [
    'approver',
    async () => ({ path: `${await request()}/decisions`, body: { decision: 'approve' } }),
  ],
  'post /change-requests/:key/withdraw-decision': [
    'approver',
    async () => ({ path: `${await decided('approve')}/withdraw-decision` }),
  ],
  'patch /change-requests/:key': [
    'contributor',
    async () => ({ path: await request(), body: { title: 'another' } }),
  ],
  'post /change-requests/:key/revise': [
    'contributor',
    async () => ({ path: `${await decided('reject')}/revise` }),
  ],
  'post /change-requests/:key/cancel': ['contributor', async () => ({ path: `${await request()}/cancel` })],
  'post /deployment-windows': ['release-manager', () => ({ path: '/deployment-windows', body: aWindow() })],
  'patch /deployment-windows/:id': [
    'release-manager',
    async () => ({ path: await window(), body: { durationMinutes: 61 } }),
  ],
  'delete /deployment-windows/:id': ['release-manager', async () => ({ path: await window() })],
  'post /deployment-windows/:id/overrides': [
    'release-manager',
    async () => ({ path: `${await window()}/overrides`, body: await anOverride() }),
  ],
  'post /window-overrides/:id/second': [
    'release-manager',
    async () => ({ path: `${await override()}/second` }),
  ],
  'post /window-overrides/:id/revoke': [
    'release-manager',
    async () => ({ path: `${await override()}/revoke` }),
  ],
  'post /calendar/feeds': ['sre', () => ({ path: '/calendar/feeds', body: { label: 'l' } })],
  'post /tokens': ['admin', () => ({ path: '/tokens', body: aToken() })],
  'delete /tokens/:id': [
    'admin',
    async () => ({ path: `/tokens/${(await post('admin', '/tokens', aToken())).id}` }),
  ],
  'post /people/:name/disable': ['admin', async () => ({ path: `${await person()}/disable` })],
  'post /people/:name/enable': [
    'admin',
    async () => {
      const path = await person();
      await post('admin', `${path}/disable`);
      return { path: `${path}/enable` };
    },
  ],
  'post /people/:name/link': [
    'admin',
    async () => ({ path: `${await person()}/link`, body: { subject: `https://idp.example ${++n}` } }),
  ],
  'post /targets/:name/adopt': ['sre', () => ({ path: '/targets/shop/adopt', body: { reason: 'r' } })],
};
/** What a workflow writes goes on beside the answer, so that the audit trail grows by itself. */
const byWorkflow = /\/(deploy|submit|decisions|withdraw-decision|adopt)$/;
/** Routes that are not in the table, and why. */
const elsewhere: Record<string, string> = {
  'post /promotions/:key/retry': 'decided as a deployment is',
  'post /promotions/:key/rollback': 'decided as a deployment is',
  'post /change-requests/:key/review': 'decided as a decision is',
  'post /deployments/:key/cancel': 'one word by its own id',
  'post /deployments/:key/resolve': 'one word by its own id',
  'post /notifications/:id/resend': 'one that is under way is not sent again',
  'delete /session': 'a second time there is no session',
};
const routes = apiRoutes({} as never, () => undefined).filter(
  ({ method, permission, readsOnly }) => method !== 'get' && permission !== 'run-steps' && !readsOnly,
);
const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;

it('names every route that writes', () => {
  expect([...Object.keys(writes), ...Object.keys(elsewhere)].sort()).toEqual(routes.map(nameOf).sort());
});

/** How much was done. A repeat that is refused is on record, too. */
const audited = async () =>
  Number((await world.db('audit').whereNot('action', 'like', '%refused%').count('* as n').first())!.n);
/** What tests before have started writes beside this one. */
const quiet = () =>
  world.until('what was started before to end', async () => {
    const open = (table: string, ended: string) => world.db(table).whereNull(ended).first('id');
    return !(await open('deployments', 'finished_at')) && !(await open('adoptions', 'ended_at'));
  });
const made = ({ status }: { status: number }) => status < 300;

describe.each(
  routes.filter((route) => nameOf(route) in writes).map((route) => [nameOf(route), route] as const),
)('%s', (name, { method, secret }) => {
  const [role, given] = writes[name]!;
  const sending = (to: Served, { path, body = {} }: Write, key: string) =>
    to.call(role, method.toUpperCase(), `/api${path}`, body, { 'idempotency-key': key });

  it('ten times at once', async () => {
    const write = await given();
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 10 }, () => sending(api, write, key)));
    const good = answers.filter(made);
    expect([good.length, answers.find((answer) => !made(answer) && !secret)?.text]).toEqual([
      secret ? 1 : 10,
      undefined,
    ]);
    for (const { body } of good) expect(body).toEqual(good[0]!.body);
  });

  it('again, after the API died before it was remembered', async () => {
    const write = await given();
    const key = randomUUID();
    await quiet();
    const before = await audited();
    expect((await sending(mortal, write, key)).status).toBeGreaterThanOrEqual(500);
    await world
      .owner('idempotency_keys')
      .where({ key })
      .update({ held_until: world.owner.raw("now() - interval '1 second'") });
    const then = await audited();
    const again = await sending(api, write, key);
    expect([made(again), again.text]).toEqual([!secret, expect.any(String)]);
    if (secret) expect(again.body.detail).toMatch(/held a secret that is not kept/);
    if (byWorkflow.test(name)) return;
    expect(then).toBeGreaterThan(before);
    expect(await audited()).toBe(then);
  });
});
