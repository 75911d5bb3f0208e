/**
 * Recurrences of RFC 5545 by day, week, month and year, in local time. Whether a rule meets a day is decided by looking
 * at that day, so that a range costs its own days and nothing else, wherever the rule begins and even when it never
 * happens: libraries walk a rule from its start, or until the year 9999. COUNT alone is walked, once, within a limit.
 */
type Frequency = 'DAILY' | 'WEEKLY' | 'MONTHLY' | 'YEARLY';
export interface Rule {
  frequency: Frequency;
  interval: number;
  count?: number;
  /** Last possible beginning, in local time, or in UTC. */
  until?: { at: number; utc: boolean };
  /** Weekday on which weeks begin; 0 is Sunday. */
  weekStart: number;
  months?: Set<number>;
  monthDays?: Set<number>;
  yearDays?: Set<number>;
  weeks?: Set<number>;
  /** `nth`: of the month, or of the year; 0: each. */
  weekdays?: { nth: number; weekday: number }[];
  hours?: number[];
  positions?: Set<number>;
}

const dayMs = 86_400_000;
const hourMs = 3_600_000;
/** A rule that counts is walked from its start: so far at most, after which it counts as one that does not end. */
const mostCount = 10_000;
const mostCountedDays = 36_525;

const names = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];
const frequencies: readonly string[] = ['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'];
const numbers: Record<
  string,
  [field: 'months' | 'monthDays' | 'yearDays' | 'weeks' | 'positions', most: number]
> = {
  BYMONTH: ['months', 12],
  BYMONTHDAY: ['monthDays', 31],
  BYYEARDAY: ['yearDays', 366],
  BYWEEKNO: ['weeks', 53],
  BYSETPOS: ['positions', 366],
};
/** What RFC 5545 (3.3.10) does not give a meaning. */
const only: Record<string, readonly Frequency[]> = {
  BYWEEKNO: ['YEARLY'],
  BYYEARDAY: ['YEARLY'],
  BYMONTHDAY: ['DAILY', 'MONTHLY', 'YEARLY'],
};

/**
 * Reads a rule. What it can not read is left out and named: a rule that an earlier version kept still counts.
 * @returns the rule, and what is wrong with its text.
 */
export function parseRule(text: string): { rule: Rule; problems: string[] } {
  const problems: string[] = [];
  const rule: Rule = { frequency: 'DAILY', interval: 1, weekStart: 1 };
  const seen = new Set<string>();
  for (const part of text
    .replace(/^RRULE:/i, '')
    .toUpperCase()
    .split(';')) {
    const [, name, value] = /^([A-Z]+)=([A-Z0-9,+-]+)$/.exec(part) ?? [];
    if (!name || !value) {
      problems.push(`"${part.slice(0, 40)}" is no part of an RFC 5545 rule`);
      continue;
    }
    if (seen.has(name)) problems.push(`${name} stands twice`);
    seen.add(name);
    const why = readPart(rule, name, value);
    if (why) problems.push(why);
  }
  if (!seen.has('FREQ')) problems.push('FREQ is missing');
  if (rule.count !== undefined && rule.until) problems.push('COUNT and UNTIL exclude each other');
  for (const [name, fitting] of Object.entries(only))
    if (seen.has(name) && !fitting.includes(rule.frequency))
      problems.push(`${name} needs FREQ=${fitting.join(' or ')}`);
  if (rule.weekdays?.some(({ nth }) => nth !== 0))
    if (!['MONTHLY', 'YEARLY'].includes(rule.frequency) || rule.weeks)
      problems.push('a numbered weekday such as 1MO needs FREQ=MONTHLY or YEARLY, without BYWEEKNO');
  if (rule.positions && ![...seen].some((name) => name.startsWith('BY') && name !== 'BYSETPOS'))
    problems.push('BYSETPOS needs another BY part');
  return { rule, problems };
}

function readPart(rule: Rule, name: string, value: string): string | undefined {
  const values = value.split(',');
  const whole = (text: string, least: number, most: number) => {
    const number = /^[+-]?\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    return number >= least && number <= most ? number : undefined;
  };
  switch (name) {
    case 'FREQ':
      if (!frequencies.includes(value)) return 'FREQ has to be DAILY, WEEKLY, MONTHLY or YEARLY';
      rule.frequency = value as Frequency;
      return undefined;
    case 'INTERVAL': {
      const interval = whole(value, 1, 1000);
      rule.interval = interval ?? 1;
      return interval === undefined ? 'INTERVAL has to be 1 to 1000' : undefined;
    }
    case 'COUNT':
      rule.count = whole(value, 1, mostCount);
      return rule.count === undefined ? `COUNT has to be 1 to ${mostCount}` : undefined;
    case 'UNTIL':
      rule.until = untilOf(value);
      return rule.until ? undefined : 'UNTIL looks like 20261231 or 20261231T230000Z, and is in the calendar';
    case 'WKST':
      if (!names.includes(value)) return `WKST has to be one of ${names.join(', ')}`;
      rule.weekStart = names.indexOf(value);
      return undefined;
    case 'BYDAY': {
      const read = values.map((text) => /^([+-]?\d{1,2})?(SU|MO|TU|WE|TH|FR|SA)$/.exec(text));
      const days = read.filter((found) => found !== null);
      rule.weekdays = days.map(([, nth, day]) => ({ nth: Number(nth ?? 0), weekday: names.indexOf(day!) }));
      const fits = days.every(
        ([, nth]) => nth === undefined || (Number(nth) !== 0 && Math.abs(Number(nth)) <= 53),
      );
      return fits && days.length === values.length
        ? undefined
        : 'BYDAY looks like MO,TU, or 1MO,-1FR for the first Monday and the last Friday';
    }
    case 'BYHOUR': {
      // 24 was taken once, as the next midnight.
      const read = values.map((text) => whole(text, 0, 24)).filter((hour) => hour !== undefined);
      rule.hours = [...new Set(read)].sort((a, b) => a - b);
      return read.length === values.length && !read.includes(24)
        ? undefined
        : 'BYHOUR has to be hours from 0 to 23';
    }
    case 'BYMINUTE':
    case 'BYSECOND':
      return 'BYMINUTE and BYSECOND are not taken; start says the minute';
  }
  const known = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
  if (!known) return `"${name.slice(0, 40)}" is no part of an RFC 5545 rule`;
  const [field, most] = known;
  const read = values
    .map((text) => whole(text, field === 'months' ? 1 : -most, most))
    .filter(Boolean) as number[];
  rule[field] = new Set(read);
  return read.length === values.length
    ? undefined
    : `${name} has to be numbers from 1 to ${most}${field === 'months' ? '' : `, or -1 to -${most} counted from the end`}`;
}

function untilOf(value: string): Rule['until'] {
  const [, date, time, utc] = /^(\d{8})(?:T(\d{4})\d\d(Z)?)?$/.exec(value) ?? [];
  if (!date) return undefined;
  const day = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
  const text = time ? `${day}T${time.slice(0, 2)}:${time.slice(2)}` : `${day}T00:00`;
  const at = Date.parse(`${text}Z`);
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 16) !== text) return undefined;
  return { at: time ? at : at + dayMs - 1, utc: utc !== undefined };
}

/** Days since 1970 of a day; months count from 0 and may go over a year's end. */
const dayOf = (year: number, month: number, day: number): number =>
  // Date.UTC takes the years 0 to 99 for others.
  new Date(0).setUTCFullYear(year, month, day) / dayMs;
const yearOf = (day: number) => new Date(day * dayMs).getUTCFullYear();
const weekdayOf = (day: number) => (((day + 4) % 7) + 7) % 7;

/** A period of a rule's frequency: its number, counted on without a gap, and its days [first, end). */
interface Period {
  first: number;
  end: number;
}
function periodsOf({ frequency, weekStart }: Rule) {
  const weekZero = 4 - weekStart;
  const number = (day: number): number => {
    const date = new Date(day * dayMs);
    if (frequency === 'YEARLY') return date.getUTCFullYear();
    if (frequency === 'MONTHLY') return date.getUTCFullYear() * 12 + date.getUTCMonth();
    return frequency === 'WEEKLY' ? Math.floor((day + weekZero) / 7) : day;
  };
  const days = (n: number): Period => {
    if (frequency === 'YEARLY') return { first: dayOf(n, 0, 1), end: dayOf(n + 1, 0, 1) };
    if (frequency === 'MONTHLY') return { first: dayOf(0, n, 1), end: dayOf(0, n + 1, 1) };
    if (frequency === 'WEEKLY') return { first: n * 7 - weekZero, end: n * 7 - weekZero + 7 };
    return { first: n, end: n + 1 };
  };
  return { number, days };
}

/** Whether a rule that began on this day meets a day of one of its periods. */
function matcher(rule: Rule, start: number): (day: number) => boolean {
  const { frequency, weekStart, months, monthDays, yearDays, weeks } = rule;
  const began = new Date(start * dayMs);
  // What a rule leaves open, its start says.
  const open = !monthDays && !yearDays && !weeks && !rule.weekdays;
  const ofMonths =
    months ?? (open && frequency === 'YEARLY' ? new Set([began.getUTCMonth() + 1]) : undefined);
  const ofMonth =
    monthDays ??
    (open && ['YEARLY', 'MONTHLY'].includes(frequency) ? new Set([began.getUTCDate()]) : undefined);
  const ofWeek =
    rule.weekdays ?? (open && frequency === 'WEEKLY' ? [{ nth: 0, weekday: weekdayOf(start) }] : undefined);
  const numbered = ['MONTHLY', 'YEARLY'].includes(frequency);
  return (day) => {
    const date = new Date(day * dayMs);
    const year = date.getUTCFullYear();
    const month = date.getUTCMonth();
    if (ofMonths && !ofMonths.has(month + 1)) return false;
    const inMonth: Period = { first: dayOf(year, month, 1), end: dayOf(year, month + 1, 1) };
    if (ofMonth && !ofMonth.has(day - inMonth.first + 1) && !ofMonth.has(day - inMonth.end)) return false;
    const inYear: Period = { first: dayOf(year, 0, 1), end: dayOf(year + 1, 0, 1) };
    if (yearDays && !yearDays.has(day - inYear.first + 1) && !yearDays.has(day - inYear.end)) return false;
    if (weeks && !weekNumbers(day, year, weekStart).some((n) => weeks.has(n))) return false;
    if (!ofWeek) return true;
    const counted = frequency === 'MONTHLY' || ofMonths ? inMonth : inYear;
    const weekday = weekdayOf(day);
    return ofWeek.some(
      (on) =>
        on.weekday === weekday &&
        (on.nth === 0 ||
          !numbered ||
          on.nth === Math.floor((day - counted.first) / 7) + 1 ||
          on.nth === -Math.floor((counted.end - 1 - day) / 7) - 1),
    );
  };
}

/** Of a day's week in the year to which that belongs: counted from the first one, and from the last. */
function weekNumbers(day: number, year: number, weekStart: number): [number, number] {
  // The first week is the one with at least four days in its year.
  const firstWeek = (of: number) => {
    const newYear = dayOf(of, 0, 1);
    const into = (weekdayOf(newYear) - weekStart + 7) % 7;
    return into <= 3 ? newYear - into : newYear - into + 7;
  };
  const owner = day >= firstWeek(year + 1) ? year + 1 : day < firstWeek(year) ? year - 1 : year;
  const first = firstWeek(owner);
  return [Math.floor((day - first) / 7) + 1, -Math.ceil((firstWeek(owner + 1) - day) / 7)];
}

export interface Recurrence {
  /** Local beginnings in [from, to), in order. */
  between(from: number, to: number): number[];
  /** Whether a rule that counts comes to its end in time. */
  ends(): boolean;
}

/** @param start local time of the first possible beginning, in ms as if its zone were UTC. */
export function recurrenceOf(rule: Rule, start: number): Recurrence {
  const startDay = Math.floor(start / dayMs);
  const meets = matcher(rule, startDay);
  const periods = periodsOf(rule);
  const begun = periods.number(startDay);
  const time = start - startDay * dayMs;
  const times = rule.hours ? rule.hours.map((hour) => hour * hourMs + (time % hourMs)) : [time];
  const { positions, interval, count } = rule;

  /** Beginnings of a period; of those whose place in it does not count, the ones on [from, to) alone. */
  const startsOf = (period: Period, from: number, to: number): number[] => {
    const first = positions ? period.first : Math.max(period.first, from);
    const end = positions ? period.end : Math.min(period.end, to);
    const all: number[] = [];
    for (let day = first; day < end; day++)
      if (meets(day)) for (const at of times) all.push(day * dayMs + at);
    if (!positions) return all;
    return all.filter((_at, n) => positions.has(n + 1) || positions.has(n - all.length));
  };
  const walk = (from: number, to: number): number[] => {
    const [fromDay, toDay] = [Math.floor(from / dayMs) - 1, Math.ceil(to / dayMs)];
    const ahead = Math.max(0, periods.number(Math.max(fromDay, startDay)) - begun);
    const found: number[] = [];
    for (let n = begun + Math.ceil(ahead / interval) * interval; ; n += interval) {
      const period = periods.days(n);
      if (period.first >= toDay) return found;
      for (const at of startsOf(period, fromDay, toDay))
        if (at >= start && at >= from && at < to) found.push(at);
    }
  };

  let last: number | undefined;
  /** The last one that COUNT lets begin; infinite when the walk to it would be too long. */
  const lastCounted = (): number => {
    if (count === undefined) return Number.POSITIVE_INFINITY;
    if (last !== undefined) return last;
    let left = count;
    for (let year = yearOf(startDay), day = startDay; day < startDay + mostCountedDays; year++) {
      const end = Math.min(dayOf(year + 1, 0, 1), startDay + mostCountedDays);
      const found = walk(day * dayMs, end * dayMs);
      if (found.length >= left) return (last = found[left - 1]!);
      left -= found.length;
      day = end;
    }
    return (last = Number.POSITIVE_INFINITY);
  };
  return {
    between(from, to) {
      const until = lastCounted();
      return until < from ? [] : walk(Math.max(from, start), to).filter((at) => at <= until);
    },
    ends: () => count === undefined || Number.isFinite(lastCounted()),
  };
}
