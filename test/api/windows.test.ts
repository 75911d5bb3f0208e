import { changeWindow } from '../../db/windows';
import { controlQueue } from '../../temporal-config/names';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** Deployment windows on real parts: refused, asleep, woken, held, overridden, exempt. */
let world: World;
let api: Served;
/** An attempt that sleeps from the beginning, on a target of its own: windows open at full minutes. */
let sleeper: string;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'kiosk', 'stall'], extra: 'environment: production' });
  api = await serveWorld(world);
  // The next full minute, unless that is about to come before anybody clicks.
  const start = fromNow(new Date().getSeconds() > 50 ? 2 : 1);
  await add(allow({ name: soon, start, scope: { target: 'stall' } }));
  const { body } = await deploy(await approved('stall', 'v2'), { when: 'next-window' });
  expect(body.status).toBe('waiting-for-window');
  sleeper = body.key;
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});
afterEach(async () => {
  world.faults = {};
  for (const { id } of await world.db('deployment_windows').whereNull('deleted_at').whereNot('name', soon))
    await api.remove('release-manager', `/api/deployment-windows/${id}`);
});

const windows = '/api/deployment-windows';
const soon = 'Soon';
/** A local time in UTC, so many minutes from now. */
const fromNow = (minutes: number) => new Date(Date.now() + minutes * 60_000).toISOString().slice(0, 16);
const freeze = (more: object = {}) => ({
  name: 'Year end',
  kind: 'freeze',
  scope: { target: 'shop' },
  start: fromNow(-60),
  timeZone: 'UTC',
  durationMinutes: 600,
  reason: 'the books are closed',
  ...more,
});
const allow = (more: object = {}) => ({
  ...freeze(),
  name: 'Evenings',
  kind: 'allow',
  start: fromNow(120),
  ...more,
});
async function add(window: object): Promise<number> {
  const { status, body } = await api.post('release-manager', windows, window);
  expect([status, body.detail]).toEqual([201, undefined]);
  return body.id as number;
}
const others = async () =>
  ((await api.get(windows)).body.items as { name: string }[]).filter(({ name }) => name !== soon);
const deploy = (key: string, body: object = {}) =>
  api.post('release-manager', `/api/promotions/${key}/deploy`, body);
const deployment = async (key: string) => (await api.get(`/api/deployments/${key}`)).body;
const ended = (key: string) =>
  world.until(`${key} to end`, async () => {
    const found = await deployment(key);
    return found.finishedAt ? found : undefined;
  });
const waiting = (key: string, what: RegExp) =>
  world.until(`${key} to wait for ${what}`, async () => {
    const found = await deployment(key);
    return what.test(found.waitingFor ?? '') ? found : undefined;
  });
const approved = async (target = 'shop', revision = 'v1') => `CP-${await world.approved(revision, target)}`;
const audit = async (action: string, subject: string) =>
  (await world.db('audit').where({ action, subject }).orderBy('id')).map(({ entry }) => JSON.parse(entry));

describe('keeping windows', () => {
  it('adds, changes and removes one, each recorded with before and after', async () => {
    const id = await add(freeze());
    const path = `${windows}/${id}`;
    expect((await api.get(path)).body).toMatchObject({ ...freeze(), createdBy: 'rosa', version: 1 });
    expect((await api.post('release-manager', windows, freeze())).body.code).toBe('name-taken');
    const changed = await api.patch(
      'release-manager',
      path,
      { durationMinutes: 60, reason: null },
      { 'if-match': '"1"' },
    );
    expect([changed.status, changed.body.durationMinutes, changed.body.reason, changed.body.version]).toEqual(
      [200, 60, undefined, 2],
    );
    const stale = await api.patch('release-manager', path, { durationMinutes: 90 }, { 'if-match': '"1"' });
    expect([stale.status, stale.body.code, stale.body.version]).toEqual([412, 'stale-version', 2]);
    expect((await api.remove('release-manager', path)).status).toBe(200);
    expect((await api.get(path)).status).toBe(404);
    expect(await others()).toEqual([]);
    const [created] = await audit('window.created', `WINDOW-${id}`);
    const [edited] = await audit('window.changed', `WINDOW-${id}`);
    expect(created).toMatchObject({ actor: 'rosa', after: { name: 'Year end', kind: 'freeze' } });
    expect(edited).toMatchObject({
      before: { duration_minutes: 600 },
      after: { duration_minutes: 60, reason: null },
    });
    expect(await audit('window.deleted', `WINDOW-${id}`)).toHaveLength(1);
  });

  it.each([
    ['a zone', { timeZone: 'Berlin' }, /"Berlin" is no IANA zone; one looks like Europe\/Berlin/],
    ['a start', { start: '2026-02-30T10:00' }, /not in the calendar/],
    ['a rule', { rrule: 'FREQ=HOURLY' }, /DAILY, WEEKLY, MONTHLY or YEARLY/],
    ['a target', { scope: { target: 'shp' } }, /no target "shp"\. There are: shop, kiosk/],
    [
      'an environment',
      { scope: { environment: 'moon' } },
      /no target is in environment "moon"\. There are: production/,
    ],
    ['two scopes', { scope: { target: 'shop', environment: 'production' } }, /a target or an environment/],
    ['no length', { durationMinutes: 0 }, /durationMinutes/],
  ])('says what is wrong with %s that does not fit', async (_what, wrong, why) => {
    const { status, body } = await api.post('release-manager', windows, freeze(wrong));
    expect([status, body.code]).toEqual([400, 'invalid-input']);
    expect(body.detail).toMatch(why);
    expect(await others()).toEqual([]);
  });

  it('of every target needs a grant that is not limited to one', async () => {
    const rita = await api.somebody('rita', ['release-manager:shop']);
    expect((await rita.post(windows, freeze({ scope: {} }))).body.code).toBe('role-required');
    expect((await rita.post(windows, freeze({ scope: { target: 'kiosk' } }))).body.code).toBe(
      'role-required',
    );
    const made = await rita.post(windows, freeze());
    expect(made.status).toBe(201);
    const moved = await rita.patch(`${windows}/${made.body.id}`, { scope: { environment: 'production' } });
    expect(moved.body.code).toBe('role-required');
  });

  it('answers open or closed, why, by name, and until when', async () => {
    await add(
      allow({
        start: '2026-01-05T20:00',
        timeZone: 'Europe/Berlin',
        durationMinutes: 120,
        rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH',
      }),
    );
    const ask = async (at: string) => (await api.get(`${windows}/status?target=shop&at=${at}`)).body;
    expect(await ask('2027-06-02T12:00:00Z')).toEqual({
      open: false,
      reason: 'Outside of "Evenings"',
      windows: ['Evenings'],
      nextOpen: '2027-06-02T18:00:00.000Z',
      nextClose: null,
      warning: null,
    });
    // The same evening in winter is an hour later in UTC.
    expect((await ask('2027-01-13T12:00:00Z')).nextOpen).toBe('2027-01-13T19:00:00.000Z');
    const late = await ask('2027-06-02T19:59:00Z');
    expect(late).toMatchObject({ open: true, nextOpen: null, nextClose: '2027-06-02T20:00:00.000Z' });
    // Nothing was deployed yet, so nobody knows how long it takes.
    expect(late.warning).toBeNull();
    expect((await api.get(`${windows}/status`)).body.detail).toBe('Give either target or promotion.');
  });
});

describe('Deploy Now outside of its window', () => {
  it('is refused with the next opening, and writes no attempt', async () => {
    const start = fromNow(120);
    await add(allow({ start }));
    const key = await approved();
    const { status, body } = await deploy(key);
    expect([status, body.code, body.windows]).toEqual([423, 'window-closed', ['Evenings']]);
    expect(body.nextOpen).toBe(`${start}:00.000Z`);
    expect(body.detail).toMatch(
      /shop is closed: Outside of "Evenings"\. It opens .*Deploy when it opens, or override/,
    );
    expect((await api.get(`/api/promotions/${key}`)).body.deployments).toEqual([]);
    expect((await deploy(await approved('kiosk'))).status).toBe(202);
  });

  it('refuses at admission what the click did not see', async () => {
    const id = await world.approved('v1');
    await add(freeze());
    const { handle, row } = await world.start(id);
    expect(await handle.result()).toMatchObject({ status: 'refused' });
    expect(await row()).toMatchObject({ status: 'refused', outcome_code: 'window-closed', fence: null });
  });

  it('sleeps if asked, says so everywhere, survives a restart, and wakes when the window is edited', async () => {
    const id = await add(allow({ timeZone: 'Europe/Berlin', start: '2027-07-01T20:00' }));
    const key = await approved();
    const { status, body } = await deploy(key, { when: 'next-window' });
    // Asleep through the change to summer time: 20:00 in Berlin is 18:00 UTC then.
    expect([status, body.status, body.scheduledFor]).toEqual([
      202,
      'waiting-for-window',
      '2027-07-01T18:00:00.000Z',
    ]);
    expect(body.waitingFor).toBe('its window: Outside of "Evenings"; it opens 2027-07-01 18:00 UTC');
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('approved');
    // A second click finds the same attempt.
    expect((await deploy(key, { when: 'next-window' })).body.key).toBe(body.key);
    const handle = world.client.workflow.getHandle(body.temporal.workflowId);
    expect(await handle.query('progress')).toMatchObject({
      status: 'waiting-for-window',
      waitingFor: 'its window: Outside of "Evenings"',
    });
    const timers = (await handle.fetchHistory()).events!.filter((event) => event.timerStartedEventAttributes);
    const summary = Buffer.from(timers[0]!.userMetadata!.summary!.data!).toString();
    expect(summary).toBe('"Until the window of shop opens: Outside of \\"Evenings\\""');
    const calendar = await api.get('/api/calendar?from=2027-07-01T00:00:00Z&to=2027-07-02T00:00:00Z');
    expect(calendar.body.deployments).toMatchObject([
      { key: body.key, status: 'waiting-for-window', from: '2027-07-01T18:00:00.000Z' },
    ]);

    await world.stopWorkers();
    expect(
      (
        await api.patch('release-manager', `${windows}/${id}`, {
          start: '2027-01-11T09:00',
          rrule: 'FREQ=WEEKLY',
        })
      ).status,
    ).toBe(200);
    await world.startWorkers();
    const again = await world.until('the new time', async () => {
      const found = await deployment(body.key);
      return found.scheduledFor === '2027-01-11T08:00:00.000Z' ? found : undefined;
    });
    expect(again.status).toBe('waiting-for-window');
    await api.patch('release-manager', `${windows}/${id}`, {
      timeZone: 'UTC',
      start: fromNow(-5),
      rrule: null,
    });
    expect(await ended(body.key)).toMatchObject({ status: 'succeeded', waitingFor: null });
  });

  it('an edit that nobody was told of is found by reconcile', async () => {
    const id = await add(allow());
    const { body } = await deploy(await approved(), { when: 'next-window' });
    const now = { ...(allow({ start: fromNow(-5) }) as Parameters<typeof changeWindow>[2]) };
    expect(await changeWindow(world.db, id, now, { by: 'rosa' }, undefined)).toBe(true);
    const mended = (await world.client.workflow.execute('reconcile', {
      workflowId: `reconcile-${id}`,
      taskQueue: controlQueue,
    })) as string[];
    expect(mended).toContain(
      'Deployments that waited for a window by an older revision were told to look again.',
    );
    expect((await ended(body.key)).status).toBe('succeeded');
  });

  it('sleepers that an edit does not concern stay asleep', async () => {
    await add(allow({ scope: { target: 'kiosk' } }));
    const key = await approved('kiosk');
    const { body } = await deploy(key, { when: 'next-window' });
    const handle = world.client.workflow.getHandle(body.temporal.workflowId);
    await world.until('its timer', async () =>
      (await handle.fetchHistory()).events!.some((event) => event.timerStartedEventAttributes),
    );
    const before = await handle.describe();
    await add(freeze({ name: 'Elsewhere' }));
    await world.until('it to be noted', async () => {
      const { revision } = await world.db('window_revision').first();
      const { window_revision } = await world
        .db('deployments')
        .where({ promotion: Number(key.slice(3)) })
        .first();
      return Number(window_revision) === Number(revision);
    });
    const after = await handle.describe();
    expect(after.historyLength).toBe(before.historyLength);
    const cancelled = await api.post('sre', `/api/deployments/${body.key}/cancel`, { reason: 'not today' });
    expect(cancelled.body).toMatchObject({ status: 'cancelled', waitingFor: null });
    expect(cancelled.body.outcome).toMatch(/It had not begun; nothing was touched/);
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('approved');
  });

  it('loses its approval asleep: it is refused when it wakes', async () => {
    const id = await add(allow());
    const key = await approved();
    const { body } = await deploy(key, { when: 'next-window' });
    const withdrawn = await api.post(
      'approver',
      `/api/change-requests/${key.replace('CP', 'RFC')}/withdraw-decision`,
      { reason: 'second thoughts' },
    );
    expect([withdrawn.status, withdrawn.body.status]).toEqual([201, 'submitted']);
    await api.remove('release-manager', `${windows}/${id}`);
    expect(await ended(body.key)).toMatchObject({
      status: 'refused',
      outcome: expect.stringMatching(/lost its approval/),
    });
  });
});

const shipEmergency = async () => {
  const { body } = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v2',
    title: 'stop the leak',
    submit: true,
    change: { type: 'emergency', emergencyReason: 'customers lose orders' },
  });
  expect(
    (
      await api.post('approver', `/api/change-requests/${body.changeRequest}/decisions`, {
        decision: 'approve',
      })
    ).body.status,
  ).toBe('approved');
  return body as { key: string; changeRequest: string };
};

describe('a window that closes meanwhile', () => {
  it('sends who waits for the lane to sleep, and wakes them', async () => {
    const first = await deploy(await approved('shop', 'hangs'));
    await world.until(
      'the build to hang',
      async () => (await deployment(first.body.key)).status === 'running',
    );
    const second = await deploy(await approved('shop', 'v1'));
    expect(second.body.status).toBe('queued');
    const id = await add(freeze());
    await api.post('sre', `/api/deployments/${first.body.key}/cancel`);
    const asleep = await waiting(second.body.key, /its window: Freeze "Year end"/);
    expect(asleep.status).toBe('waiting-for-window');
    await api.remove('release-manager', `${windows}/${id}`);
    expect((await ended(second.body.key)).status).toBe('succeeded');
  });

  it('lets an emergency pass that waited behind it', async () => {
    const first = await deploy(await approved('shop', 'hangs'));
    await world.until(
      'the build to hang',
      async () => (await deployment(first.body.key)).status === 'running',
    );
    const second = await deploy(await approved('shop', 'v1'));
    const { key } = await shipEmergency();
    const emergency = await deploy(key);
    expect([second.body.position, emergency.body.position]).toEqual([1, 2]);
    await add(freeze());
    await api.post('sre', `/api/deployments/${first.body.key}/cancel`);
    expect((await ended(emergency.body.key)).status).toBe('succeeded');
    expect((await deployment(second.body.key)).status).toBe('waiting-for-window');
    await api.post('sre', `/api/deployments/${second.body.key}/cancel`);
  });

  it('holds a deployment just before its migration, with the lane, until it opens', async () => {
    let id = 0;
    world.faults.backup = async (run) => {
      const done = await run();
      id ||= await add(freeze());
      return done;
    };
    const before = world.current();
    const { body } = await deploy(await approved('shop', 'v3'));
    const held = await waiting(body.key, /its window, held before the migration: Freeze "Year end"/);
    expect([held.status, world.current()]).toEqual(['running', before]);
    // It opens at a minute; it is undone at a second.
    expect(held.waitingFor).toMatch(
      /\. It opens [0-9-]{10} [0-9:]{5} UTC(, and then it goes on)?\. It is undone if it is still closed at [0-9-]{10} [0-9]{2}(:[0-9]{2}){2} UTC/,
    );
    expect(held.steps.map((s: any) => [s.name, s.status])).toEqual([
      ['build', 'done'],
      ['backup', 'done'],
    ]);
    expect((await api.get('/api/targets/shop')).body.lane).toBe(body.key);
    await api.remove('release-manager', `${windows}/${id}`);
    expect(await ended(body.key)).toMatchObject({ status: 'succeeded', waitingFor: null });
    expect(world.version()).toBe('v3');
  });

  it('undoes it when the deadline passes', async () => {
    const targets = world.targets;
    // One that migrates is held before that, and not again before its swap.
    const shop = { ...targets.get('shop')!, migrate: undefined, windowHoldSeconds: 1 };
    world.targets = new Map([...targets, ['shop', shop]]);
    world.faults.backup = async (run) => {
      const done = await run();
      if ((await others()).length === 0) await add(freeze());
      return done;
    };
    const { body } = await deploy(await approved('shop', 'v1'));
    const end = await ended(body.key);
    world.targets = targets;
    expect(end).toMatchObject({ status: 'rolled-back', waitingFor: null });
    expect(end.outcome).toMatch(/Its window closed before the swap and was still closed at the deadline/);
    expect(world.version()).toBe('v3');
    expect(await world.db('deployments').where({ id: 1 })).toHaveLength(1);
  });

  it('never stands in the way of a rollback', async () => {
    await add(freeze());
    const { items } = (await api.get('/api/promotions?target=shop')).body;
    const live = items.find((p: any) => p.live);
    const { body, status } = await api.post('release-manager', `/api/promotions/${live.key}/rollback`, {
      reason: 'bad',
    });
    expect(status).toBe(202);
    expect((await ended(body.key)).status).toBe('succeeded');
  });
});

describe('passing a closed window', () => {
  it('an emergency passes, and is complete only once it was reviewed by somebody else', async () => {
    await add(freeze());
    const { key, changeRequest } = await shipEmergency();
    const { body } = await deploy(key);
    expect((await ended(body.key)).status).toBe('succeeded');
    const rfc = `/api/change-requests/${changeRequest}`;
    const open = (await api.get(rfc)).body;
    expect(open).toMatchObject({ status: 'in-progress', review: { overdue: false } });
    expect(Date.parse(open.review.dueAt) - Date.now()).toBeGreaterThan(71 * 3_600_000);
    const carl = await api.somebody('carla', ['approver']);
    expect((await carl.post(`${rfc}/review`, { comment: 'fine' })).body.code).toBe('own-change');
    const done = await api.post('approver', `${rfc}/review`, { comment: 'the leak is closed' });
    expect([done.status, done.body.status, done.body.review]).toEqual([201, 'completed', null]);
    expect(done.body.outcome).toMatch(
      /is deployed to shop and healthy\. Reviewed afterwards by amir: the leak is closed/,
    );
    expect((await api.post('approver', `${rfc}/review`, { comment: 'again' })).body.code).toBe(
      'illegal-transition',
    );
  });

  it('a missed review is escalated, and can still be given', async () => {
    const targets = world.targets;
    world.targets = new Map([...targets, ['shop', { ...targets.get('shop')!, reviewHours: 0.0001 }]]);
    const { key, changeRequest } = await shipEmergency();
    await ended((await deploy(key)).body.key);
    world.targets = targets;
    await world.until(
      'the escalation',
      async () => (await api.get(`/api/change-requests/${changeRequest}`)).body.review?.overdue,
    );
    expect(
      (await api.post('approver', `/api/change-requests/${changeRequest}/review`, { comment: 'late' })).body
        .status,
    ).toBe('completed');
  });

  it('an override takes two people besides the author, counts for one change until it expires, and is reviewed', async () => {
    const id = await add(freeze());
    const key = await approved('shop', 'v3');
    const other = await approved('shop', 'v1');
    const path = `${windows}/${id}/overrides`;
    const ask = (more: object = {}) => ({
      promotion: key,
      reason: 'the auditors asked for it',
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
      ...more,
    });
    const carla = await api.somebody('carla', ['contributor', 'release-manager']);
    const rex = await api.somebody('rex', ['release-manager']);
    expect((await carla.post(path, ask())).body.code).toBe('own-change');
    expect(
      (await api.post('release-manager', path, ask({ expiresAt: '2020-01-01T00:00:00Z' }))).body.detail,
    ).toMatch(/future/);
    expect((await api.post('release-manager', path, ask({ promotion: 'CP-99999' }))).status).toBe(404);
    const asked = await api.post('release-manager', path, ask());
    expect([asked.status, asked.body.status, asked.body.window.name]).toEqual([201, 'asked', 'Year end']);
    expect((await deploy(key)).body.code).toBe('window-closed');
    const second = `/api/window-overrides/${asked.body.id}/second`;
    expect((await api.post('release-manager', second)).body.code).toBe('own-change');
    expect((await carla.post(second)).body.code).toBe('own-change');
    expect((await rex.post(second)).body.status).toBe('in-force');
    expect((await api.get(`${windows}/status?promotion=${key}`)).body).toMatchObject({
      open: true,
      reason: '"Year end" is overridden for this change',
    });
    expect((await deploy(other)).body.code).toBe('window-closed');
    expect((await ended((await deploy(key)).body.key)).status).toBe('succeeded');
    const rfc = `/api/change-requests/${key.replace('CP', 'RFC')}`;
    expect((await api.get(rfc)).body).toMatchObject({
      status: 'in-progress',
      review: { overdue: false },
      overrides: [{ requestedBy: 'rosa', secondedBy: 'rex' }],
    });
    expect((await api.post('approver', `${rfc}/review`, { comment: 'in order' })).body.status).toBe(
      'completed',
    );
    expect((await audit('override.seconded', key))[0]).toMatchObject({
      actor: 'rex',
      after: { requestedBy: 'rosa', secondedBy: 'rex' },
    });
    // Not even by hand, past the code.
    await expect(world.owner.raw('UPDATE window_overrides SET seconded_by = requested_by')).rejects.toThrow(
      /three people/,
    );
    await expect(
      world.owner.raw("UPDATE window_overrides SET requested_by = 'carla' WHERE revoked_at IS NULL"),
    ).rejects.toThrow(/three people/);
  });

  it('who overrides can not be the only one who approved, not even at the swap', async () => {
    const id = await add(freeze());
    const promotion = await world.shipped('v1');
    const key = `CP-${promotion}`;
    const rfc = `/api/change-requests/RFC-${promotion}`;
    const rene = await api.somebody('rene', ['approver', 'release-manager']);
    const rex = await api.somebody('rex', ['release-manager']);
    await api.post('contributor', `${rfc}/submit`);
    expect((await rene.post(`${rfc}/decisions`, { decision: 'approve' })).body.status).toBe('approved');
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const asked = await rene.post(`${windows}/${id}/overrides`, { promotion: key, reason: 'r', expiresAt });
    await rex.post(`/api/window-overrides/${asked.body.id}/second`);
    expect((await deploy(key)).body).toMatchObject({ code: 'approval-void', status: 422 });
    expect(
      (await api.post('release-manager', `/api/window-overrides/${asked.body.id}/revoke`)).body.status,
    ).toBe('revoked');
    // Overridden only while it runs: the swap looks again.
    await api.remove('release-manager', `${windows}/${id}`);
    world.faults.backup = async (run) => {
      const done = await run();
      const late = await add(freeze());
      const again = await rene.post(`${windows}/${late}/overrides`, {
        promotion: key,
        reason: 'r',
        expiresAt,
      });
      await rex.post(`/api/window-overrides/${again.body.id}/second`);
      return done;
    };
    const end = await ended((await deploy(key)).body.key);
    expect(end).toMatchObject({ status: 'rolled-back', outcome: expect.stringMatching(/Not migrated/) });
  });
});

it('previews what a freeze would hold, and changes nothing', async () => {
  const ready = await approved('shop', 'v1');
  const id = await add(allow({ scope: { target: 'kiosk' } }));
  const asleep = (await deploy(await approved('kiosk'), { when: 'next-window' })).body;
  const preview = await api.post(
    'contributor',
    `${windows}/preview`,
    freeze({ scope: { environment: 'production' } }),
  );
  expect(preview.status).toBe(200);
  expect(preview.body.occurrences).toHaveLength(1);
  const holds = preview.body.holds as { key: string; after: string }[];
  expect(holds.map(({ key }) => key)).toEqual(expect.arrayContaining([ready, asleep.key]));
  expect(holds[0]!.after).toMatch(/Freeze "Year end"/);
  expect(await others()).toHaveLength(1);
  // Later evenings beside the ones that it sleeps for hold nothing; in their place they do.
  const later = allow({ name: 'Nights', scope: { target: 'kiosk' }, start: fromNow(400) });
  for (const [replaces, held] of [
    ['', []],
    [`?replaces=${id}`, [asleep.key]],
  ] as const) {
    const { body } = await api.post('contributor', `${windows}/preview${replaces}`, later);
    expect([replaces, body.holds?.map((one: { key: string }) => one.key)]).toEqual([replaces, held]);
  }
  await api.remove('release-manager', `${windows}/${id}`);
  await ended(asleep.key);
});

it('a deployment begins by itself when its window opens, whatever happened to other windows meanwhile', async () => {
  const { startedAt, scheduledFor } = await world.until('it to begin', async () => {
    const found = await deployment(sleeper);
    if (!found.startedAt) await new Promise((resolve) => setTimeout(resolve, 500));
    return found.startedAt ? found : undefined;
  });
  expect(Date.parse(startedAt)).toBeGreaterThanOrEqual(Date.parse(scheduledFor));
  expect((await ended(sleeper)).status).toBe('succeeded');
});
