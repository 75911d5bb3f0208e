import ICAL from 'ical.js';
import { scheduleOf } from '../../domain/windows/status';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** The calendar, and its feed as a real calendar library reads it. */
let world: World;
let api: Served;
let promotion: number;
beforeAll(async () => {
  world = await makeWorld();
  // Before any window is there.
  ({ promotion } = await world.deploy('v1'));
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const windows = [
  {
    name: 'Evenings',
    kind: 'allow',
    scope: { target: 'shop' },
    start: '2027-01-04T20:00',
    timeZone: 'Europe/Berlin',
    durationMinutes: 120,
    rrule: 'FREQ=WEEKLY;BYDAY=TU,TH',
    exceptDates: ['2027-03-30'],
    until: '2027-04-15',
  },
  {
    name: 'Nights',
    kind: 'allow',
    scope: { target: 'shop' },
    start: '2027-03-10T23:30',
    timeZone: 'America/New_York',
    durationMinutes: 90,
    rrule: 'FREQ=DAILY;COUNT=10',
  },
  {
    name: 'Audit',
    kind: 'freeze',
    scope: {},
    start: '2027-03-27T00:00',
    timeZone: 'Europe/Berlin',
    durationMinutes: 2880,
    reason: 'the auditors, "here"; all day',
  },
  {
    name: 'Month end',
    kind: 'freeze',
    scope: { target: 'shop' },
    start: '2027-01-31T12:00',
    timeZone: 'UTC',
    durationMinutes: 60,
    rrule: 'FREQ=MONTHLY;BYMONTHDAY=-1;UNTIL=20270331T120000Z',
  },
] as const;

it('the feed says to a calendar program what the evaluator says, over clock changes', async () => {
  for (const window of windows)
    expect((await api.post('release-manager', '/api/deployment-windows', window)).status).toBe(201);
  const feed = await api.post('contributor', '/api/calendar/feeds', { label: 'phone' });
  expect(feed.status).toBe(201);
  const answer = await fetch(feed.body.url);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    expect.stringContaining('text/calendar'),
  ]);
  const calendar = new ICAL.Component(ICAL.parse(await answer.text()));
  const zones = calendar.getAllSubcomponents('vtimezone').map((zone) => new ICAL.Timezone(zone));
  expect(zones.map(({ tzid }) => tzid).sort()).toEqual(['America/New_York', 'Europe/Berlin']);
  for (const zone of zones) ICAL.TimezoneService.register(zone);
  const from = Date.parse('2027-01-01T00:00:00Z');
  const to = Date.parse('2027-06-01T00:00:00Z');
  const read: string[] = [];
  for (const component of calendar.getAllSubcomponents('vevent')) {
    const event = new ICAL.Event(component);
    const duration = event.endDate.toJSDate().getTime() - event.startDate.toJSDate().getTime();
    const times = event.isRecurring() ? event.iterator() : undefined;
    for (
      let next = times ? times.next() : event.startDate;
      next && next.toJSDate().getTime() < to;
      next = times?.next() as typeof next
    ) {
      const start = next.toJSDate().getTime();
      if (!event.summary.startsWith('CP-'))
        read.push(`${event.summary} ${new Date(start).toISOString()} ${duration / 60_000}`);
      if (!times) break;
    }
  }
  const schedule = scheduleOf(
    windows.map((window, n) => ({ ...window, id: n + 1 })),
    1,
  );
  const own = schedule
    .occurrences(from, to)
    .map(
      ({ window, start, end }) =>
        `${window.kind === 'freeze' ? 'Freeze' : 'Deployments allowed'}: ${window.name} ${new Date(start).toISOString()} ${(end - start) / 60_000}`,
    );
  expect(own.length).toBeGreaterThan(40);
  expect(read.sort()).toEqual(own.sort());
});

it('shows windows, freezes, planned, scheduled and past deployments of a range', async () => {
  const { body } = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v2',
    title: 'planned',
    change: { planned: { start: '2027-03-29T10:00:00Z', minutes: 30 } },
  });
  const range = await api.get('/api/calendar?from=2027-03-27T00:00:00Z&to=2027-03-31T00:00:00Z');
  expect(range.body.windows.map((w: any) => w.name)).toEqual(['Audit']);
  expect(range.body.planned).toMatchObject([
    { key: body.changeRequest, from: '2027-03-29T10:00:00.000Z', to: '2027-03-29T10:30:00.000Z' },
  ]);
  const day = 86_400_000;
  const now = await api.get(
    `/api/calendar?from=${new Date(Date.now() - day).toISOString()}&to=${new Date(Date.now() + day).toISOString()}`,
  );
  expect(now.body.deployments.map((d: any) => d.key)).toContain(`CP-${promotion}.1`);
  const wrong = await api.get('/api/calendar?from=2027-03-27T00:00:00Z&to=2037-03-31T00:00:00Z');
  expect([wrong.status, wrong.body.detail]).toEqual([400, expect.stringMatching(/at most 366 days/)]);
});

it('a feed token reads the calendar and nothing else, and can be revoked', async () => {
  const { body } = await api.post('sre', '/api/calendar/feeds', { label: 'wall' });
  const token = new URL(body.url).searchParams.get('token')!;
  expect(
    (await api.call(undefined, 'GET', '/api/promotions', undefined, { authorization: `Bearer ${token}` }))
      .status,
  ).toBe(401);
  // A token of the API is none of the feed, so it never has to stand in an address.
  expect((await api.call(undefined, 'GET', '/api/calendar.ics?token=token-of-sre')).status).toBe(401);
  expect((await api.call(undefined, 'GET', '/api/calendar.ics')).status).toBe(401);
  const { items } = (await api.get('/api/tokens', 'admin')).body;
  const mine = items.find((t: any) => t.label === 'calendar feed: wall');
  await api.remove('admin', `/api/tokens/${mine.id}`);
  expect((await fetch(body.url)).status).toBe(401);
});
