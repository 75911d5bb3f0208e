import type { RequestHandler } from 'express';
import ical, { type ICalEventData } from 'ical-generator';
import { DateTime } from 'luxon';
import { tzlib_get_ical_block as timeZoneBlock } from 'timezones-ical-library';
import { badInput, SignalboxError } from '../domain/errors';
import { changeRequestKey, deploymentKey } from '../domain/keys';
import type { ChangeType } from '../domain/machines';
import { calendarQuery, calendarView, feedBody, feedView, type CalendarView } from '../domain/schemas';
import { compile, type DeploymentWindow } from '../domain/windows/window';
import { databaseNow } from '../db/clock';
import { usualDuration } from '../db/conflicts';
import { mintToken, personByToken } from '../db/tokens';
import { windowOf, liveWindows, type WindowRow } from '../db/windows';
import type { ApiDeps } from './deps';
import { limitOf } from './limits';
import { route, type Route } from './route';

/** Windows, freezes, planned, scheduled and past deployments: as JSON for a range, and as a feed for calendars. */
const mostDays = 366;
const mostOccurrences = 20_000;
const dayMs = 86_400_000;
const iso = (at: number | Date) => new Date(at).toISOString();

const scopeText = ({ scope }: DeploymentWindow) =>
  scope.target
    ? `target ${scope.target}`
    : scope.environment
      ? `environment ${scope.environment}`
      : 'every target';

async function calendarOf({ db, windows }: ApiDeps, from: Date, to: Date): Promise<CalendarView> {
  const schedule = await windows.current();
  const occurrences = schedule.occurrences(from.getTime(), to.getTime(), mostOccurrences);
  if (occurrences.length > mostOccurrences)
    throw badInput(`Windows begin more than ${mostOccurrences} times in this range; ask for a shorter one.`);
  const attempts = (await db('deployments')
    .join('promotions', 'promotions.id', 'deployments.promotion')
    .join('change_requests', 'change_requests.id', 'deployments.promotion')
    .whereRaw(`coalesce(deployments.started_at, scheduled_for) < ?`, [to])
    .whereRaw(
      `coalesce(finished_at, greatest(now(), coalesce(deployments.started_at, scheduled_for) + interval '1 minute')) > ?`,
      [from],
    )
    .whereRaw(`(deployments.started_at IS NOT NULL OR deployments.status = 'waiting-for-window')`)
    .orderBy('deployments.id')
    .limit(5_000)
    .select(
      'promotion',
      'attempt',
      'title',
      'type',
      'deployments.target',
      'deployments.status',
      'deployments.started_at',
      'scheduled_for',
      'finished_at',
    )) as {
    promotion: number;
    attempt: number;
    title: string;
    type: ChangeType;
    target: string;
    status: string;
    started_at: Date | null;
    scheduled_for: Date | null;
    finished_at: Date | null;
  }[];
  const usual = new Map<string, number>();
  for (const target of new Set(attempts.map((a) => a.target)))
    usual.set(target, await usualDuration(db, target));
  const planned = (await db('change_requests')
    .join('promotions', 'promotions.id', 'change_requests.id')
    .whereIn('change_requests.status', ['draft', 'submitted', 'approved', 'in-progress'])
    .where('planned_start', '<', to)
    .whereRaw('planned_start + make_interval(mins => planned_minutes) > ?', [from])
    .orderBy('planned_start')
    .limit(5_000)
    .select(
      'promotions.id',
      'title',
      'type',
      'target',
      'change_requests.status',
      'planned_start',
      'planned_minutes',
    )) as {
    id: number;
    title: string;
    type: ChangeType;
    target: string;
    status: string;
    planned_start: Date;
    planned_minutes: number;
  }[];
  const now = await databaseNow(db);
  return {
    windows: occurrences.map(({ window, start, end }) => ({
      id: window.id,
      name: window.name,
      kind: window.kind,
      scope: scopeText(window),
      reason: window.reason ?? null,
      from: iso(start),
      to: iso(end),
    })),
    deployments: attempts.map((a) => {
      const begins = (a.started_at ?? a.scheduled_for)!;
      return {
        key: deploymentKey(a.promotion, a.attempt),
        title: a.title,
        emergency: a.type === 'emergency',
        target: a.target,
        status: a.status,
        from: iso(begins),
        to: iso(a.finished_at ?? Math.max(now, begins.getTime() + usual.get(a.target)!)),
      };
    }),
    planned: planned.map((p) => ({
      key: changeRequestKey(p.id),
      title: p.title,
      emergency: p.type === 'emergency',
      target: p.target,
      status: p.status,
      from: iso(p.planned_start),
      to: iso(p.planned_start.getTime() + p.planned_minutes * 60_000),
    })),
  };
}

export function calendarRoutes(deps: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/calendar',
      summary: 'Windows, freezes, planned, scheduled and past deployments in a range of at most 366 days',
      permission: 'read',
      query: calendarQuery,
      answers: { status: 200, schema: calendarView },
      async handle({ query }) {
        const from = new Date(query.from);
        const to = new Date(query.to);
        if (to <= from || to.getTime() - from.getTime() > mostDays * dayMs)
          throw badInput(`to has to be after from, by at most ${mostDays} days.`);
        return { body: await calendarOf(deps, from, to) };
      },
    }),
    route({
      method: 'post',
      path: '/calendar/feeds',
      summary:
        'A new address under which a calendar program reads the calendar; it can be revoked like a token',
      permission: 'read',
      secret: true,
      body: feedBody,
      answers: { status: 201, schema: feedView },
      async handle({ person, request, body, write }) {
        const move = { by: person, why: 'a calendar feed', request };
        const feed = { person, grants: [], label: `calendar feed: ${body.label}`, kind: 'feed' as const };
        return write(async (tx) => {
          const { value } = (await mintToken(tx, feed, move))!;
          return { status: 201, body: { url: `${deps.origins()[0]}/api/calendar.ics?token=${value}` } };
        });
      },
    }),
  ];
}

/** GET /api/calendar.ics?token=...: for calendar programs, which send no header. The token is good for nothing else. */
export function calendarFeed(deps: ApiDeps): RequestHandler {
  const failures = limitOf('failures');
  const requests = limitOf('requests');
  return async (request, response) => {
    const { token } = request.query;
    const reader =
      typeof token === 'string' && token.length <= 500
        ? (await personByToken(deps.db, token, 'feed'))?.person
        : undefined;
    response.locals.who = reader?.credential ?? request.ip;
    await (reader ? requests : failures)(request, response);
    if (!reader)
      throw new SignalboxError(
        'not-signed-in',
        'This calendar address is not known, or was revoked. Make a new one: "signalbox calendar feed".',
      );
    const now = await databaseNow(deps.db);
    response
      .type('text/calendar')
      .set('Cache-Control', 'private, max-age=60')
      .send(await feedOf(deps, new Date(now - 31 * dayMs), new Date(now + 92 * dayMs)));
  };
}

/** Windows with their rules, whole; deployments of the last month, and what is planned for the next three. */
async function feedOf(deps: ApiDeps, from: Date, to: Date): Promise<string> {
  const calendar = ical({
    name: 'Signalbox',
    prodId: { company: 'signalbox', product: 'calendar' },
    timezone: { name: null, generator: (zone) => timeZoneBlock(zone)[0] ?? null },
    ttl: 300,
  });
  for (const row of (await liveWindows(deps.db).orderBy('id')) as WindowRow[]) {
    const event = windowEvent(windowOf(row));
    if (event) calendar.createEvent(event);
  }
  const { deployments, planned } = await calendarOf(deps, from, to);
  for (const d of [...deployments, ...planned])
    calendar.createEvent({
      id: `${d.key.toLowerCase()}@signalbox`,
      start: new Date(d.from),
      end: new Date(d.to),
      summary: `${d.key} ${d.title} (${d.status})`,
      description: `To ${d.target}.`,
      url: `${deps.origins()[0]}/promotions/${d.key.replace('RFC', 'CP').split('.')[0]}`,
    });
  return calendar.toString();
}

/** A window as an event that recurs in its own zone; undefined when none of it is left to show. */
function windowEvent(window: DeploymentWindow): ICalEventData | undefined {
  const { timeZone: zone, durationMinutes, rrule, exceptDates = [], until } = window;
  // Its first occurrence: a start that the rule does not meet is none, but programs would show it.
  const day = Date.parse(`${window.start}Z`) - 2 * dayMs;
  const first = compile(window).nextStart(day, day + 8 * 366 * dayMs);
  if (first === undefined) return undefined;
  const start = DateTime.fromMillis(first, { zone });
  const stamp = (local: string) => local.replace(/[-:]/g, '') + '00';
  const exceptions = exceptDates.map((date) =>
    stamp(date.length === 10 ? `${date}${window.start.slice(10)}` : date),
  );
  const last = until && DateTime.fromISO(until.length === 10 ? `${until}T23:59:59` : until, { zone });
  const rule = rrule?.replace(/^RRULE:/i, '');
  return {
    id: `window-${window.id}@signalbox`,
    start,
    end: start.plus({ minutes: durationMinutes }),
    timezone: zone === 'UTC' ? undefined : zone,
    summary: `${window.kind === 'freeze' ? 'Freeze' : 'Deployments allowed'}: ${window.name}`,
    description: [scopeText(window), window.reason].filter(Boolean).join('. '),
    ...(rule
      ? {
          repeating: [
            `RRULE:${last ? `${rule.replace(/;?UNTIL=[^;]*/i, '')};UNTIL=${last.toUTC().toFormat("yyyyMMdd'T'HHmmss'Z'")}` : rule}`,
            ...exceptions.map((at) => (zone === 'UTC' ? `EXDATE:${at}Z` : `EXDATE;TZID=${zone}:${at}`)),
          ].join('\r\n'),
        }
      : {}),
  };
}
