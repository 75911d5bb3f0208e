import { ApplicationFailure } from '@temporalio/activity';
import { makeWorld, type World } from '../helpers/world';
import { serveWorld, type Served } from '../helpers/api';

/** The main job over HTTP: ship, approve, deploy, watch, roll back, retry, withdraw; once and only once. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'off'] });
  const off = world.targets.get('off')!;
  Object.assign(off, { promotionsEnabled: false, promotionsDisabledReason: 'stocktaking until Monday' });
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const shipped = async (revision = 'v1', target = 'shop') => {
  const { status, body } = await api.post('contributor', '/api/promotions', {
    target,
    revision,
    title: revision,
    submit: true,
  });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body.key as string;
};
const rfc = (key: string) => key.replace('CP', 'RFC');
const approve = (key: string, role: 'approver' | 'both' = 'approver') =>
  api.post(role, `/api/change-requests/${rfc(key)}/decisions`, { decision: 'approve' });
const approved = async (revision?: string, target?: string) => {
  const key = await shipped(revision, target);
  expect((await approve(key)).status).toBe(201);
  return key;
};
const ended = (key: string) =>
  world.until(`${key} to end`, async () => {
    const { body } = await api.get(`/api/deployments/${key}`);
    return ['succeeded', 'rolled-back', 'refused', 'cancelled'].includes(body.status) && body;
  });

it('ship -> approve -> deploy -> deployed, then by hand back', async () => {
  const key = await shipped('v1');
  let promotion = (await api.get(`/api/promotions/${key}`)).body;
  expect(promotion).toMatchObject({
    status: 'pending',
    revision: 'v1',
    shippedBy: 'carla',
    changeRequest: rfc(key),
    release: null,
    live: false,
  });
  expect(promotion.commit).toMatch(/^[0-9a-f]{40}$/);
  expect((await api.get(`/api/change-requests/${rfc(key)}`)).body).toMatchObject({
    status: 'submitted',
    submission: 1,
    requester: 'carla',
  });

  const verdict = await approve(key);
  expect(verdict).toMatchObject({
    status: 201,
    body: { status: 'approved', decisions: [{ approver: 'amir', counted: true }] },
  });
  const started = await api.post('release-manager', `/api/promotions/${key}/deploy`);
  expect(started).toMatchObject({
    status: 202,
    body: { key: `${key}.1`, trigger: 'deploy', startedBy: 'rosa' },
  });
  expect(started.body.temporal.url).toContain('deploy%2FCP');
  expect(await ended(`${key}.1`)).toMatchObject({ status: 'succeeded', from: null });
  promotion = (await api.get(`/api/promotions/${key}`)).body;
  expect(promotion).toMatchObject({
    status: 'deployed',
    live: true,
    current: `${key}.1`,
    backup: { sha256: expect.any(String) },
  });
  expect(promotion.release).toBe(world.current());
  expect((await api.get('/api/targets/shop')).body).toMatchObject({
    current: { promotion: key, revision: 'v1' },
    lane: null,
    health: { healthy: true },
    lastDeployment: { key: `${key}.1`, status: 'succeeded' },
  });
  const listed = async (query: string) =>
    (await api.get(`/api/promotions?${query}`)).body.items.map((p: { key: string }) => p.key);
  expect(await listed('status=deployed')).toEqual([key]);
  expect(await listed('status=pending&status=approved')).toEqual([]);
  expect((await api.get('/api/promotions?status=live')).status).toBe(400);
  await world.until('the change request to be completed', async () => {
    const { body } = await api.get(`/api/change-requests/${rfc(key)}`);
    return body.status === 'completed';
  });
  const { expectedMs } = (await api.get('/api/targets/shop')).body;
  expect(Object.keys(expectedMs).sort()).toEqual(['backup', 'build', 'health-check', 'migrate', 'swap']);
  const first = await api.post('release-manager', `/api/promotions/${key}/rollback`);
  expect(first).toMatchObject({ status: 422, body: { code: 'nothing-to-return-to' } });

  const second = await approved('v2');
  const changes = (await api.get(`/api/promotions/${second}/changes`)).body;
  expect(changes).toMatchObject({ since: 'v1', takesAway: [] });
  expect(changes.brings.length).toBeGreaterThan(0);
  await api.post('release-manager', `/api/promotions/${second}/deploy`);
  await ended(`${second}.1`);
  // By now the first one would go back behind what runs.
  expect((await api.get(`/api/promotions/${key}/changes`)).body).toMatchObject({
    since: 'v2',
    brings: [],
    takesAway: changes.brings,
  });
  expect((await api.post('release-manager', `/api/promotions/${key}/rollback`)).body.code).toBe(
    'not-current',
  );
  const back = await api.post('release-manager', `/api/promotions/${second}/rollback`, {
    reason: 'customers complain',
  });
  expect(back).toMatchObject({ status: 202, body: { key: `${second}.2`, trigger: 'rollback' } });
  expect(await ended(`${second}.2`)).toMatchObject({ status: 'succeeded' });
  expect((await api.get(`/api/promotions/${second}`)).body).toMatchObject({
    status: 'rolled-back',
    live: false,
  });
  expect((await api.get(`/api/promotions/${key}`)).body).toMatchObject({ status: 'deployed', live: true });
  // Its change is completed, so the approval no longer binds.
  const again = await api.post('release-manager', `/api/promotions/${second}/retry`);
  expect(again).toMatchObject({ status: 422, body: { code: 'approval-void' } });
});

it('counts how delivery goes, and each figure opens what it counts', async () => {
  const measured = async (query = '') => {
    const { status, body } = await api.get(`/api/delivery-metrics?days=7${query}`);
    expect([status, body.detail]).toEqual([200, undefined]);
    return Object.fromEntries(body.figures.map((f: any) => [f.name, f]));
  };
  const before = await measured();
  const key = await approved('sick');
  await api.post('release-manager', `/api/promotions/${key}/deploy`);
  expect(await ended(`${key}.1`)).toMatchObject({ status: 'rolled-back' });
  const now = await measured('&target=shop');
  // Two deployments so far, one of them taken back by hand; and this one, by itself.
  expect([before, now].map((figures) => figures['change-failure-rate'].value)).toEqual([1 / 2, 2 / 3]);
  expect(now['deployment-frequency']).toMatchObject({ value: 2 / 7, counted: 2, before: 0, unit: 'per-day' });
  expect(now['rework-rate']).toMatchObject({ value: 1 / 3, before: null });
  expect(now['recovery-time'].counted).toBe(2);
  expect(now['deployment-frequency'].series).toHaveLength(15);
  // The commits were made before they were shipped.
  expect(now['change-lead-time'].value).toBeGreaterThan(0);
  const { body } = await api.get('/api/delivery-metrics/change-failure-rate?days=7');
  expect(body.items.map((d: any) => [d.key, d.value, d.says])).toEqual([
    [`${key}.1`, 1, 'rolled back by itself'],
    ['CP-2.1', 1, 'rolled back by hand'],
    ['CP-1.1', 0, 'stayed'],
  ]);
  expect((await measured('&target=off'))['change-failure-rate'].value).toBe(null);
  expect((await api.get('/api/delivery-metrics/luck')).body.detail).toContain(
    'there are deployment-frequency',
  );
  expect((await api.get('/api/delivery-metrics?days=0')).body.detail).toContain('days');
});

it('the log pages by number, as JSON and as text', async () => {
  const { body } = await api.get('/api/deployments/CP-1.1/log?limit=3');
  expect(body.items.map((l: { seq: number }) => l.seq)).toEqual([1, 2, 3]);
  expect(body.nextCursor).toBe('3');
  const rest = (await api.get(`/api/deployments/CP-1.1/log?after=${body.nextCursor}`)).body;
  expect(rest.items[0].seq).toBe(4);
  expect(rest.nextCursor).toBeNull();
  const all = [...body.items, ...rest.items];
  const tail = (await api.get('/api/deployments/CP-1.1/log?tail=true&limit=2')).body;
  expect(tail).toEqual({ items: all.slice(-2), nextCursor: null });
  const notes = (await api.get('/api/deployments/CP-1.1/log?stream=note&limit=2')).body;
  expect(notes.items).toEqual(all.filter((l: { stream: string }) => l.stream === 'note').slice(0, 2));
  const text = await api.call('sre', 'GET', '/api/deployments/CP-1.1/log', undefined, {
    accept: 'text/plain',
  });
  expect(text.type).toContain('text/plain');
  expect(text.text.split('\n').filter(Boolean)).toHaveLength(rest.items.at(-1).seq);
  const whole = await api.call('sre', 'GET', '/api/deployments/CP-1.1/log.txt');
  expect([whole.type, whole.text]).toEqual([expect.stringContaining('text/plain'), text.text]);
  const found = async (query: string) => (await api.get(`/api/deployments/CP-1.1/log?${query}`)).body.items;
  const like = (word: string, step: string) =>
    all.filter((l: any) => l.text.toLowerCase().includes(word) && l.step === step);
  expect(await found('contains=HEALTHY&step=health-check')).toEqual(like('healthy', 'health-check'));
  expect(await found('step=health-check')).toEqual(like('', 'health-check'));
  expect(like('healthy', 'health-check').length).toBeGreaterThan(0);
  expect(await found('contains=%25')).toEqual([]);
});

it('fifty clicks at once make one attempt and get equal answers', async () => {
  const key = await approved('v3');
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => api.post('release-manager', `/api/promotions/${key}/deploy`)),
  );
  // Where the machine is too busy for all of them, some are told to come again.
  const taken = answers.filter(({ status }) => status !== 503);
  expect(new Set(taken.map((a) => `${a.status} ${a.body.key}`))).toEqual(new Set([`202 ${key}.1`]));
  await ended(`${key}.1`);
  expect((await api.get(`/api/promotions/${key}`)).body.deployments).toHaveLength(1);
  const late = await api.post('release-manager', `/api/promotions/${key}/deploy`);
  expect(late).toMatchObject({ status: 202, body: { key: `${key}.1`, status: 'succeeded' } });
  expect((await api.get(`/api/promotions/${key}`)).body.deployments).toHaveLength(1);
});

it('an Idempotency-Key makes a repeated write one write, for ship, decide and deploy', async () => {
  const ship = { target: 'shop', revision: 'v2', title: 'once', submit: true };
  const key = (n: string) => ({ 'idempotency-key': n });
  const shippedTwice = await Promise.all(
    [1, 2, 3].map(() => api.post('contributor', '/api/promotions', ship, key('s1'))),
  );
  expect(new Set(shippedTwice.map((a) => `${a.status} ${a.body.key}`)).size).toBe(1);
  const promotion = shippedTwice[0]!.body.key as string;
  const reused = await api.post('contributor', '/api/promotions', { ...ship, title: 'other' }, key('s1'));
  expect(reused).toMatchObject({ status: 422, body: { code: 'idempotency-key-reused' } });

  const decision = { decision: 'approve' };
  const path = `/api/change-requests/${rfc(promotion)}/decisions`;
  const decided = await Promise.all([1, 2, 3].map(() => api.post('approver', path, decision, key('d1'))));
  expect(decided.map((a) => a.status)).toEqual([201, 201, 201]);
  expect(await world.db('decisions').where({ change_request: Number(promotion.slice(3)) })).toHaveLength(1);

  const first = await api.post('release-manager', `/api/promotions/${promotion}/deploy`, {}, key('p1'));
  await ended(`${promotion}.1`);
  // The answer was lost and is asked for again after the end: the same answer, no second attempt.
  const repeated = await api.post('release-manager', `/api/promotions/${promotion}/deploy`, {}, key('p1'));
  expect(repeated).toMatchObject({ status: 202, body: { key: first.body.key } });
  expect((await api.get(`/api/promotions/${promotion}`)).body.deployments).toHaveLength(1);
});

it('one who shipped can not approve, also with both roles; a rejection ends it with its comment', async () => {
  const { body } = await api.post('both', '/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'own',
    submit: true,
  });
  expect(await approve(body.key, 'both')).toMatchObject({ status: 403, body: { code: 'own-change' } });
  expect((await api.get(`/api/promotions/${body.key}`)).body.status).toBe('pending');
  const path = `/api/change-requests/${rfc(body.key)}/decisions`;
  expect((await api.post('approver', path, { decision: 'reject' })).status).toBe(400);
  expect((await api.post('approver', path, { decision: 'reject', comment: 'not yet' })).body).toMatchObject({
    status: 'rejected',
    outcome: 'rejected by amir: not yet',
  });
  expect(await approve(body.key)).toMatchObject({ status: 409, body: { code: 'illegal-transition' } });
  expect((await api.post('release-manager', `/api/promotions/${body.key}/deploy`)).status).toBe(409);
});

it('a broken release rolls back and can be retried as a new attempt', async () => {
  const key = await approved('sick');
  await api.post('release-manager', `/api/promotions/${key}/deploy`);
  expect(await ended(`${key}.1`)).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('Unhealthy'),
  });
  expect((await api.post('release-manager', `/api/promotions/${key}/deploy`)).body.detail).toContain('retry');
  expect((await api.post('release-manager', `/api/promotions/${key}/retry`)).body.key).toBe(`${key}.2`);
  expect(await ended(`${key}.2`)).toMatchObject({ status: 'rolled-back', trigger: 'retry' });
});

it('cancel: a waiting attempt ends, a running one is rolled back, an ended one is refused', async () => {
  const running = await approved('hangs');
  await api.post('release-manager', `/api/promotions/${running}/deploy`);
  const waiting = await approved('v1');
  const queued = await api.post('release-manager', `/api/promotions/${waiting}/deploy`);
  expect(queued.body).toMatchObject({ status: 'queued' });
  await world.until('its place to show', async () => {
    const { body } = await api.get(`/api/deployments/${waiting}.1`);
    return body.position === 1 && body.waitingFor.includes(`behind ${running}.1`);
  });
  expect(
    (await api.post('sre', `/api/deployments/${waiting}.1/cancel`, { reason: 'not now' })).body.status,
  ).toBe('cancelled');
  const withdrawn = await api.post('contributor', `/api/promotions/${waiting}/withdraw`);
  expect(withdrawn).toMatchObject({ status: 200, body: { status: 'withdrawn' } });
  expect((await api.post('contributor', `/api/promotions/${running}/withdraw`)).status).toBe(409);
  await api.post('release-manager', `/api/deployments/${running}.1/cancel`);
  expect(await ended(`${running}.1`)).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('Cancelled by rosa'),
  });
  expect((await api.post('sre', `/api/deployments/${running}.1/cancel`)).status).toBe(409);
  const resolve = await api.post('sre', `/api/deployments/${running}.1/resolve`, {
    action: 'retry',
    reason: 'x',
  });
  expect(resolve).toMatchObject({ status: 409, body: { code: 'illegal-transition' } });
});

it('an SRE resolves a failed rollback; until then the lane is held', async () => {
  const key = await approved('sick');
  world.faults.undoSwap = () =>
    Promise.reject(ApplicationFailure.nonRetryable('the disk is read-only', 'Broke'));
  await api.post('release-manager', `/api/promotions/${key}/deploy`);
  await world.until('the rollback to fail', async () => {
    const { body } = await api.get(`/api/deployments/${key}.1`);
    return body.status === 'rollback-failed' && body.waitingFor.includes('the disk is read-only');
  });
  expect((await api.get('/api/targets/shop')).body.lane).toBe(`${key}.1`);
  expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('executing');
  expect((await api.post('sre', `/api/deployments/${key}.1/cancel`)).status).toBe(409);
  delete world.faults.undoSwap;
  const resolve = { action: 'retry', reason: 'remounted' };
  expect((await api.post('release-manager', `/api/deployments/${key}.1/resolve`, resolve)).status).toBe(403);
  expect((await api.post('sre', `/api/deployments/${key}.1/resolve`, resolve)).status).toBe(202);
  expect(await ended(`${key}.1`)).toMatchObject({ status: 'rolled-back' });
  expect((await api.get('/api/targets/shop')).body.lane).toBeNull();
});

it('a target that is switched off refuses Deploy Now and says why', async () => {
  const key = await approved('v1', 'off');
  const refused = await api.post('release-manager', `/api/promotions/${key}/deploy`);
  expect(refused).toMatchObject({
    status: 422,
    body: { code: 'promotions-disabled', detail: expect.stringContaining('stocktaking until Monday') },
  });
  expect((await api.get(`/api/promotions/${key}`)).body.deployments).toEqual([]);
  expect((await api.get('/api/targets/off')).body).toMatchObject({
    promotionsEnabled: false,
    promotionsDisabledReason: 'stocktaking until Monday',
  });
});

it('with no worker to answer, clicks and decisions are accepted and go on when one is back', async () => {
  const slow = await serveWorld(world, { verdictMs: 300 });
  try {
    const key = await approved('v1');
    const other = await shipped('v2');
    await world.stopWorkers();
    const click = () => slow.post('release-manager', `/api/promotions/${key}/deploy`);
    const [first, second] = [await click(), await click()];
    expect(first).toMatchObject({
      status: 202,
      body: { key: `${key}.1`, status: 'queued', waitingFor: expect.stringContaining('no worker') },
    });
    expect(second).toMatchObject({ status: 202, body: { key: `${key}.1` } });
    // Each says what is not so yet, and why.
    expect(first.body.accepted).toMatch(/was accepted, but no worker is answering yet/);
    const decision = await slow.post('approver', `/api/change-requests/${rfc(other)}/decisions`, {
      decision: 'approve',
    });
    expect(decision).toMatchObject({
      status: 202,
      body: { status: 'submitted', accepted: expect.stringContaining('still submitted') },
    });
    const third = await slow.post('contributor', '/api/promotions', {
      target: 'shop',
      revision: 'v3',
      title: 'unanswered',
      submit: true,
    });
    expect(third.body.accepted).toMatch(/still a draft/);
    const early = await slow.post('approver', `/api/change-requests/${third.body.changeRequest}/decisions`, {
      decision: 'approve',
    });
    expect([early.status, early.body.detail]).toEqual([
      409,
      expect.stringContaining('was sent for submission, but no worker has recorded it yet'),
    ]);
    await world.startWorkers();
    expect(await ended(`${key}.1`)).toMatchObject({ status: 'succeeded' });
    await world.until(
      'the decision to count',
      async () => (await api.get(`/api/promotions/${other}`)).body.status === 'approved',
    );
  } finally {
    await slow.stop();
  }
});
