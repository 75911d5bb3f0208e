import { IANAZone } from 'luxon';
import { RRule, type Options } from 'rrule';
import { badInput } from '../errors';
import type { ChangeType, Risk } from '../machines';
import { stamp } from './stamp';

/**
 * A deployment window: when changes may be deployed (allow), or may not (freeze). It begins at local times of its
 * zone, once or by an RFC 5545 recurrence, and lasts so many minutes: [start, end).
 */
export interface DeploymentWindow {
  id: number;
  name: string;
  kind: 'allow' | 'freeze';
  /** One target, one environment, or with neither every target. */
  scope: { target?: string; environment?: string };
  /** Local time of the first occurrence, `2026-01-05T20:00`. */
  start: string;
  /** IANA zone, such as Europe/Berlin. */
  timeZone: string;
  durationMinutes: number;
  rrule?: string;
  /** Local dates, or local times, at which it does not begin. */
  exceptDates?: readonly string[];
  /** Local date or time of the last possible beginning. */
  until?: string;
  /** Which changes it is for; left out: every one. */
  changeTypes?: readonly ChangeType[];
  risks?: readonly Risk[];
  reason?: string;
}

export const minuteMs = 60_000;
const dayMs = 86_400_000;
/** Longer windows are several. */
export const maxDurationMinutes = 366 * 24 * 60;

/** Local time, as milliseconds since 1970 as if the zone were UTC. */
const localMs = (local: string): number => Date.parse(`${local.length === 10 ? `${local}T00:00` : local}Z`);

/**
 * The instant of a local time. One that a clock change skips counts as if the clock had not been changed yet; of two,
 * the first (RFC 5545, 3.3.5).
 */
export function instantOf(local: number, timeZone: string): number {
  const zone = IANAZone.create(timeZone);
  const before = zone.offset(local - dayMs) * minuteMs;
  const after = zone.offset(local + dayMs) * minuteMs;
  const first = local - before;
  if (before === after || zone.offset(first) * minuteMs === before) return first;
  const second = local - after;
  return zone.offset(second) * minuteMs === after ? second : first;
}

/** Local time at an instant, and where. */
export const shown = (at: number, timeZone: string): string =>
  `${stamp(at, IANAZone.create(timeZone).offset(at) * minuteMs)} ${timeZone}`;

const frequencies = [RRule.YEARLY, RRule.MONTHLY, RRule.WEEKLY, RRule.DAILY];

/** Why a window makes no sense; undefined when it does. @returns what is wrong and what is allowed. */
export function whyNoWindow(window: Omit<DeploymentWindow, 'id'>): string | undefined {
  if (!IANAZone.isValidZone(window.timeZone) || !window.timeZone.includes('/'))
    if (window.timeZone !== 'UTC')
      return `timeZone: "${window.timeZone}" is no IANA zone; one looks like Europe/Berlin, or UTC.`;
  for (const [name, value] of [
    ['start', window.start],
    ['until', window.until],
    ...(window.exceptDates ?? []).map((date) => ['exceptDates', date] as const),
  ] as const) {
    if (value === undefined) continue;
    const at = localMs(value);
    const again = Number.isNaN(at) ? '' : new Date(at).toISOString().slice(0, value.length);
    if (again !== value) return `${name}: ${value} is not in the calendar.`;
  }
  if (window.scope.target && window.scope.environment)
    return 'scope: give a target or an environment, or neither for every target.';
  if (!window.rrule)
    return window.until || window.exceptDates?.length
      ? 'until and exceptDates need an rrule; without one it happens once.'
      : undefined;
  let options: Partial<Options>;
  try {
    options = parsed(window.rrule).options;
  } catch (thrown) {
    return `rrule: ${(thrown as Error).message}; one looks like FREQ=WEEKLY;BYDAY=MO,TU.`;
  }
  if (!frequencies.includes(options.freq!)) return 'rrule: FREQ has to be DAILY, WEEKLY, MONTHLY or YEARLY.';
  if (/BY(MINUTE|SECOND)/i.test(window.rrule))
    return 'rrule: BYMINUTE and BYSECOND are not taken; start says the minute.';
  const { interval = 1 } = options;
  if (!(interval >= 1 && interval <= 1000)) return 'rrule: INTERVAL has to be 1 to 1000.';
  const compiled = compile({ ...window, id: 0 });
  const start = localMs(window.start);
  if (compiled.happens(start, start + 8 * 366 * dayMs)) return undefined;
  return 'it never happens: the rrule has no occurrence in the eight years after start.';
}

/** @throws invalid-input with what is wrong. */
export function checkWindow(window: Omit<DeploymentWindow, 'id'>): void {
  const why = whyNoWindow(window);
  if (why) throw badInput(why);
}

/** The rule without UNTIL, which stands for itself: a zoned rule says it in UTC, and occurrences here are local. */
function parsed(rrule: string): { options: Partial<Options>; until?: { at: number; utc: boolean } } {
  const text = rrule.replace(/^RRULE:/i, '').toUpperCase();
  for (const part of text.split(';'))
    if (
      !/^(FREQ|UNTIL|COUNT|INTERVAL|WKST|BY(DAY|MONTHDAY|YEARDAY|WEEKNO|MONTH|SETPOS|HOUR|MINUTE|SECOND))=[A-Z0-9,+-]+$/.test(
        part,
      )
    )
      throw new Error(`"${part.slice(0, 40)}" is no part of an RFC 5545 rule`);
  const [, date, time, utc] = /(?:^|;)UNTIL=(\d{8})(?:T(\d{4})\d\d(Z)?)?(?=;|$)/.exec(text) ?? [];
  const rest = text.replace(/(^|;)UNTIL=[^;]*/, '').replace(/^;/, '');
  if (/(^|;)UNTIL=/.test(text) && !date) throw new Error('UNTIL looks like 20261231 or 20261231T230000Z');
  const options = RRule.parseString(rest);
  if (options.freq === undefined) throw new Error('FREQ is missing');
  // Throws on values out of range.
  new RRule({ ...options, dtstart: new Date(0) }, true);
  if (!date) return { options };
  const day = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
  const at = time ? localMs(`${day}T${time.slice(0, 2)}:${time.slice(2)}`) : localMs(day) + dayMs - 1;
  if (Number.isNaN(at)) throw new Error('UNTIL is not in the calendar');
  return { options, until: { at, utc: utc !== undefined } };
}

/** A window with its occurrences, worked out month by month as they are needed. */
export interface Compiled {
  window: DeploymentWindow;
  /**
   * Whether it begins at all between two local times. In one walk: a rule that never matches (30 February) is walked
   * through to the year 9999 each time that it is asked.
   */
  happens(from: number, to: number): boolean;
  /** Instants at which it begins, in order: those of every (local) month that [from, to] touches. */
  starts(from: number, to: number): number[];
  /** When the occurrence that covers this instant ends; undefined when none does. */
  coveredUntil(at: number): number | undefined;
  /** The first beginning after this instant and not after the horizon. */
  nextStart(after: number, horizon: number): number | undefined;
}

/** Months since the year 0. A local month begins up to 14 hours apart from UTC's, so neighbours are looked at too. */
function monthOf(at: number): number {
  const date = new Date(at);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}
const monthStart = (month: number) => Date.UTC(Math.floor(month / 12), month % 12, 1);

export function compile(window: DeploymentWindow): Compiled {
  const { timeZone } = window;
  const durationMs = window.durationMinutes * minuteMs;
  const first = localMs(window.start);
  const rule = window.rrule ? parsed(window.rrule) : undefined;
  const skipped = new Set(window.exceptDates);
  const last = window.until
    ? localMs(window.until) + (window.until.length === 10 ? dayMs - 1 : 0)
    : Number.POSITIVE_INFINITY;

  const within = (local: number): boolean => {
    if (local > last) return false;
    if (skipped.size > 0) {
      const text = new Date(local).toISOString();
      if (skipped.has(text.slice(0, 10)) || skipped.has(text.slice(0, 16))) return false;
    }
    if (!rule?.until) return true;
    return (rule.until.utc ? instantOf(local, timeZone) : local) <= rule.until.at;
  };
  /** Local beginnings in [from, to), as long as `goOn` says so. */
  const between = (from: number, to: number, goOn?: (local: number) => boolean): number[] => {
    if (first >= to || last < from) return [];
    if (!rule) return first >= from ? [first] : [];
    const recurrence = new RRule(
      { ...rule.options, dtstart: new Date(nearStart(rule.options, first, from)) },
      true,
    );
    const each = goOn && ((date: Date) => goOn(date.getTime()));
    return recurrence.between(new Date(from), new Date(to - 1), true, each).map((date) => date.getTime());
  };
  const months = new Map<number, number[]>();
  function startsIn(month: number): number[] {
    const known = months.get(month);
    if (known) return known;
    const local = between(monthStart(month), monthStart(month + 1)).filter(within);
    // A beginning that a clock change skips may fall on the next one; that is one instant.
    const found = [...new Set(local.map((at) => instantOf(at, timeZone)))].sort((a, b) => a - b);
    months.set(month, found);
    return found;
  }
  return {
    window,
    happens(from, to) {
      let found = false;
      between(from, to, (local) => {
        found = within(local);
        return !found;
      });
      return found;
    },
    starts(from, to) {
      const found: number[] = [];
      for (let month = monthOf(from - dayMs); month <= monthOf(to + dayMs); month++)
        found.push(...startsIn(month));
      return found;
    },
    coveredUntil(at) {
      // All last equally long, so the latest beginning decides.
      for (let month = monthOf(at + dayMs); month >= monthOf(at - durationMs - dayMs); month--) {
        const list = startsIn(month);
        const start = list[upTo(list, at) - 1];
        if (start !== undefined) return start + durationMs > at ? start + durationMs : undefined;
      }
      return undefined;
    },
    nextStart(after, horizon) {
      for (let month = monthOf(after - dayMs); month <= monthOf(horizon + dayMs); month++) {
        const list = startsIn(month);
        const start = list[upTo(list, after)];
        if (start !== undefined) return start <= horizon ? start : undefined;
      }
      return undefined;
    },
  };
}

/**
 * A start of the same rule that is near: rrule walks from the start, which may be years ago. Whole intervals on, a
 * daily or weekly rule has the same occurrences; one that counts them has not.
 */
function nearStart({ freq, interval = 1, count }: Partial<Options>, first: number, from: number): number {
  const step =
    freq === RRule.DAILY ? dayMs * interval : freq === RRule.WEEKLY ? 7 * dayMs * interval : undefined;
  if (step === undefined || count || from <= first) return first;
  return first + Math.max(0, Math.floor((from - first) / step) - 1) * step;
}

/** How many of a sorted list are not after `at`. */
function upTo(list: number[], at: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
