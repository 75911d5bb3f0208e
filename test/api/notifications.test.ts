import { createServer, type Server } from 'node:http';
import { ApplicationFailure } from '@temporalio/common';
import { Webhook } from 'standardwebhooks';
import { startNotifier } from '../../worker/notifier';
import type { Repeated } from '../../worker/repeat';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** Others are told: real receivers, one of them slow, one failing, one dead. */
interface Heard {
  id: string;
  type: string;
  data: Record<string, unknown>;
}
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const servers: Server[] = [];
async function receiver(answer: (tries: number) => number | Promise<number>) {
  const heard: Heard[] = [];
  const tries = new Map<string, number>();
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += chunk));
    request.on('end', async () => {
      const id = request.headers['webhook-id'] as string;
      const payload = new Webhook(secret).verify(text, request.headers as Record<string, string>) as Heard;
      tries.set(id, (tries.get(id) ?? 0) + 1);
      const status = await answer(tries.get(id)!);
      if (status < 300) heard.push({ ...payload, id });
      response.writeHead(status).end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}/hook?key=not-to-be-shown`,
    heard,
    tries,
    server,
  };
}
type Receiver = Awaited<ReturnType<typeof receiver>>;

let world: World;
let api: Served;
let notifier: Repeated;
let good: Receiver;
let flaky: Receiver;
let slow: Receiver;
let dead: Receiver;
let deadAnswers = 500;
beforeAll(async () => {
  good = await receiver(() => 204);
  flaky = await receiver((tries) => (tries < 3 ? 503 : 200));
  slow = await receiver(
    // Nothing at all the first time.
    (tries) => (tries === 1 ? new Promise(() => undefined) : 200),
  );
  dead = await receiver(() => deadAnswers);
  const hook = (name: string, { url }: Receiver, events?: string) =>
    `{ name: ${name}, url: "${url}", secret: { env: X }${events ? `, events: [${events}]` : ''} }`;
  world = await makeWorld({
    top: `notifications:
  timeoutSeconds: 3
  retrySeconds: 0.05
  giveUpHours: 0.006
  webhooks: [${[hook('good', good), hook('flaky', flaky, 'approval.decided'), hook('slow', slow, 'deployment.finished'), hook('dead', dead, 'deployment.started')].join(', ')}]`,
  });
  notifier = await startNotifier({
    db: world.db,
    temporal: world.client,
    config: world.deps.notifications.config,
    log: world.deps.log,
  });
  api = await serveWorld(world);
});
afterAll(async () => {
  await notifier.stop();
  await api.stop();
  await world.stop();
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

/** Each delivery is a workflow of its own, so what happened at once may arrive in any order. */
const types = (hook: Receiver, key: string) =>
  hook.heard
    .filter(({ data }) => data.promotion === key)
    .map(({ type }) => type)
    .sort();

it('tells each what it asked for, once', async () => {
  const { body } = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'a change',
    submit: true,
  });
  const { key, changeRequest } = body as { key: string; changeRequest: string };
  await api.post('approver', `/api/change-requests/${changeRequest}/decisions`, {
    decision: 'approve',
    comment: 'go',
  });
  await api.post('release-manager', `/api/promotions/${key}/deploy`);
  await world.until('the last word', () => types(good, key).length === 4);
  expect(types(good, key)).toEqual([
    'approval.asked',
    'approval.decided',
    'deployment.finished',
    'deployment.started',
  ]);
  const decided = good.heard.find(({ type }) => type === 'approval.decided')!;
  expect(decided).toMatchObject({
    type: 'approval.decided',
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    data: {
      changeRequest,
      promotion: key,
      title: 'a change',
      target: 'shop',
      status: 'approved',
      by: 'amir',
      why: 'go',
    },
  });
  // Refused twice, taken the third time, under one id.
  await world.until('the flaky one', () => flaky.heard.length === 1);
  expect([...flaky.tries.values()]).toEqual([3]);
  // Too slow the first time: it was not waited for, and told again.
  await world.until('the slow one', () => slow.heard.length >= 1);
  expect(new Set(slow.heard.map(({ id }) => id)).size).toBe(1);
});

it('tells whose item it is that nothing blocks it any more', async () => {
  const add = async (title: string) =>
    (await api.post('contributor', '/api/backlog-items', { title, owner: 'olga' })).body.key as string;
  const [waits, first] = [await add('waits'), await add('comes first')];
  await api.post('contributor', `/api/backlog-items/${waits}/blockers`, {
    blockedBy: first,
    reason: 'needs its API',
  });
  await api.patch('contributor', `/api/backlog-items/${first}`, { status: 'done' });
  const told = await world.until('it to be told', () =>
    good.heard.find(({ type }) => type === 'item.unblocked'),
  );
  expect(told.data).toEqual({
    item: waits,
    title: 'waits',
    owner: 'olga',
    blockedBy: first,
    reason: 'needs its API',
    resolution: `${first} is done`,
    by: 'carla',
    stillBlockedBy: 0,
  });
});

it('what nobody takes is listed, shows its reason and no credential, and can be sent again', async () => {
  const [row] = await world.until('it to be given up', async () => {
    const { items } = (await api.get('/api/notifications?status=undeliverable')).body;
    return items.length > 0 && items;
  });
  expect(row).toMatchObject({
    webhook: 'dead',
    event: 'deployment.started',
    lastError: expect.stringMatching(/dead did not take it: it answered 500/),
  });
  expect(row.attempts).toBeGreaterThan(1);
  const hooks = (await api.get('/api/webhooks')).body.items;
  expect(hooks.map((hook: any) => hook.name)).toEqual(['dead', 'flaky', 'good', 'slow']);
  expect(JSON.stringify(hooks)).not.toContain('not-to-be-shown');
  expect((await api.post('contributor', `/api/notifications/${row.id}/resend`)).body.code).toBe(
    'role-required',
  );
  deadAnswers = 200;
  expect((await api.post('sre', `/api/notifications/${row.id}/resend`)).status).toBe(202);
  await world.until('it to be taken', () => dead.heard.length === 1);
  const again = await api.post('sre', `/api/notifications/${row.id}/resend`);
  expect([again.status, again.body.code]).toEqual([409, 'illegal-transition']);
});

it('nothing is lost when every worker is away, nor told twice when two hand over', async () => {
  await world.stopWorkers();
  const second = await startNotifier({
    db: world.db,
    temporal: world.client,
    config: world.deps.notifications.config,
    log: world.deps.log,
  });
  const before = good.heard.length;
  await world.owner.raw("SELECT tell('approval.reminded', 'RFC-1', '{\"promotion\": \"CP-9\"}')");
  await world.until(
    'it to be handed over',
    async () => (await world.db('deliveries').where({ handed_over: false })).length === 0,
  );
  expect(good.heard.length).toBe(before);
  await world.startWorkers();
  await world.until('it to be told', () => good.heard.length > before);
  await second.stop();
  expect(good.heard.filter(({ data }) => data.promotion === 'CP-9')).toHaveLength(1);
});

it('a rolled-back deployment and a window that opens are told too', async () => {
  const window = {
    name: 'Freeze',
    kind: 'freeze',
    start: '2026-01-01T00:00',
    timeZone: 'UTC',
    durationMinutes: 500_000,
    rrule: 'FREQ=YEARLY',
  };
  const made = await api.post('release-manager', '/api/deployment-windows', window);
  const key = `CP-${await world.approved('sick')}`;
  await api.post('release-manager', `/api/promotions/${key}/deploy`, { when: 'next-window' });
  await api.remove('release-manager', `/api/deployment-windows/${made.body.id}`);
  await world.until('the last word', () => types(good, key).length >= 5);
  expect(
    types(good, key).filter((type) => type.startsWith('window') || type.startsWith('deployment')),
  ).toEqual(['deployment.rolled-back', 'deployment.started', 'window.opening']);
  const { data } = good.heard.findLast(({ type }) => type === 'deployment.rolled-back')!;
  expect(data).toMatchObject({
    target: 'shop',
    status: 'rolled-back',
    outcome: expect.stringMatching(/Unhealthy/),
  });
});

it('a rollback that failed is told, so that an SRE comes', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const key = `CP-${await world.approved('sick')}`;
  const { body } = await api.post('release-manager', `/api/promotions/${key}/deploy`);
  await world.until('it to be told', () => types(good, key).includes('deployment.rollback-failed'));
  world.faults = {};
  await api.post('sre', `/api/deployments/${body.key}/resolve`, { action: 'retry', reason: 'mended' });
  await world.until('the end', () => types(good, key).includes('deployment.rolled-back'));
});
