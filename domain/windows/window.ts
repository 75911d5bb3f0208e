import { IANAZone } from 'luxon';
import { badInput } from '../errors';
import type { ChangeType, Risk } from '../machines';
import { parseRule, recurrenceOf } from './recurrence';
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

/** The same of many, in order. Where the clock is the same a day before and a day after, it is not asked for each. */
function instantsOf(locals: number[], timeZone: string): number[] {
  const zone = IANAZone.create(timeZone);
  const offsets = new Map<number, number>();
  const offsetAt = (day: number) => {
    const known = offsets.get(day) ?? zone.offset(day * dayMs);
    offsets.set(day, known);
    return known;
  };
  return locals.map((local) => {
    const day = Math.floor(local / dayMs);
    const offset = offsetAt(day - 1);
    return offset === offsetAt(day + 2) ? local - offset * minuteMs : instantOf(local, timeZone);
  });
}

/** Local time at an instant, and where. */
export const shown = (at: number, timeZone: string): string =>
  `${stamp(at, IANAZone.create(timeZone).offset(at) * minuteMs)} ${timeZone}`;

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
  const { rule, problems } = parseRule(window.rrule);
  if (problems[0]) return `rrule: ${problems[0]}; one looks like FREQ=WEEKLY;BYDAY=MO,TU.`;
  const compiled = compile({ ...window, id: 0 });
  const start = localMs(window.start);
  if (!recurrenceOf(rule, start).ends())
    return 'rrule: COUNT is not reached within 100 years; leave it out, or say UNTIL.';
  if (compiled.happens(start, start + 8 * 366 * dayMs)) return undefined;
  return 'it never happens: the rrule has no occurrence in the eight years after start.';
}

/** @throws invalid-input with what is wrong. */
export function checkWindow(window: Omit<DeploymentWindow, 'id'>): void {
  const why = whyNoWindow(window);
  if (why) throw badInput(why);
}

/** A window with its occurrences, worked out month by month as they are needed. */
export interface Compiled {
  window: DeploymentWindow;
  /** Whether it begins at all between two local times. */
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
const monthStart = (month: number) => new Date(0).setUTCFullYear(0, month, 1);
/** Whoever asks about any time there is makes months be worked out; so many are kept of a window. */
const mostMonths = 600;

export function compile(window: DeploymentWindow): Compiled {
  const { timeZone } = window;
  const durationMs = window.durationMinutes * minuteMs;
  const first = localMs(window.start);
  const rule = window.rrule ? parseRule(window.rrule).rule : undefined;
  const recurrence = rule && recurrenceOf(rule, first);
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
  /** Local beginnings in [from, to). */
  const between = (from: number, to: number): number[] => {
    if (first >= to || last < from) return [];
    if (!recurrence) return first >= from ? [first] : [];
    return recurrence.between(from, to).filter(within);
  };
  const months = new Map<number, number[]>();
  function startsIn(month: number): number[] {
    const known = months.get(month);
    if (known) return known;
    const local = between(monthStart(month), monthStart(month + 1));
    // A beginning that a clock change skips may fall on the next one; that is one instant.
    const found = [...new Set(instantsOf(local, timeZone))].sort((a, b) => a - b);
    if (months.size >= mostMonths) months.clear();
    months.set(month, found);
    return found;
  }
  return {
    window,
    happens(from, to) {
      for (let month = monthOf(from); month <= monthOf(to); month++)
        if (between(Math.max(from, monthStart(month)), Math.min(to, monthStart(month + 1))).length > 0)
          return true;
      return false;
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
