import fc from 'fast-check';
import { scheduleOf, type Subject } from '../../domain/windows/status';
import { RRule } from 'rrule';
import { parseRule, recurrenceOf } from '../../domain/windows/recurrence';
import { instantOf, shown, whyNoWindow, type DeploymentWindow } from '../../domain/windows/window';

/**
 * The evaluator against an oracle that shares nothing with it: it walks minute by minute over the wall clock of the
 * zone, as Intl tells it, and asks of each minute whether a window begins there.
 */
const minute = 60_000;
const day = 1_440;
const ranges: { zone: string; from: string }[] = [
  { zone: 'Europe/Berlin', from: '2026-03-20T00:00Z' },
  { zone: 'Europe/Berlin', from: '2026-10-16T00:00Z' },
  { zone: 'America/New_York', from: '2026-02-28T00:00Z' },
  { zone: 'America/New_York', from: '2026-10-24T00:00Z' },
  { zone: 'Australia/Lord_Howe', from: '2026-03-27T00:00Z' },
  { zone: 'Australia/Lord_Howe', from: '2026-09-25T00:00Z' },
  { zone: 'Asia/Kolkata', from: '2026-12-24T00:00Z' },
  { zone: 'Africa/Cairo', from: '2026-04-14T00:00Z' },
];
const days = 20;

interface Wall {
  date: string;
  time: number;
}
const walls = ranges.map(({ zone, from }) => {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  });
  const begin = Date.parse(from);
  const list: Wall[] = [];
  for (let n = 0; n < days * day; n++) {
    const [date, time] = format.format(begin + n * minute).split(', ') as [string, string];
    list.push({ date, time: Number(time.slice(0, 2)) * 60 + Number(time.slice(3)) });
  }
  return { zone, begin, list };
});

interface Rule {
  text: string;
  on(date: string, first: string): boolean;
}
const weekday = (date: string) => new Date(`${date}T00:00Z`).getUTCDay();
const daysBetween = (a: string, b: string) => (Date.parse(b) - Date.parse(a)) / 86_400_000;
const daysBefore = (date: string, days: number) =>
  new Date(Date.parse(date) - days * 86_400_000).toISOString().slice(0, 10);
const mondayOf = (date: string) => daysBefore(date, (weekday(date) + 6) % 7);
const names = ['SU', 'MO', 'TU', 'WE', 'TH', 'FR', 'SA'];
const rules: fc.Arbitrary<Rule | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.integer({ min: 1, max: 4 }).map((n) => ({
    text: `FREQ=DAILY;INTERVAL=${n}`,
    on: (date: string, first: string) => daysBetween(first, date) % n === 0,
  })),
  fc.integer({ min: 1, max: 12 }).map((count) => ({
    text: `FREQ=DAILY;COUNT=${count}`,
    on: (date: string, first: string) => daysBetween(first, date) < count,
  })),
  fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }).map((on) => ({
    text: `FREQ=WEEKLY;BYDAY=${on.map((d) => names[d]).join(',')}`,
    on: (date: string) => on.includes(weekday(date)),
  })),
  fc
    .record({
      on: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 4 }),
      every: fc.integer({ min: 2, max: 3 }),
    })
    .map(({ on, every }) => ({
      text: `FREQ=WEEKLY;INTERVAL=${every};WKST=MO;BYDAY=${on.map((d) => names[d]).join(',')}`,
      on: (date: string, first: string) =>
        on.includes(weekday(date)) && Math.floor(daysBetween(mondayOf(first), date) / 7) % every === 0,
    })),
  fc.integer({ min: 1, max: 31 }).map((n) => ({
    text: `FREQ=MONTHLY;BYMONTHDAY=${n}`,
    on: (date: string) => Number(date.slice(8)) === n,
  })),
  fc.constant({
    text: 'RRULE:FREQ=MONTHLY;BYDAY=-1FR,-1SU',
    on: (date: string) =>
      [5, 0].includes(weekday(date)) &&
      new Date(Date.parse(date) + 7 * 86_400_000).toISOString().slice(0, 7) !== date.slice(0, 7),
  }),
);
const clock = (time: number) =>
  `${String(Math.floor(time / 60)).padStart(2, '0')}:${String(time % 60).padStart(2, '0')}`;

interface Case {
  window: DeploymentWindow;
  rule: Rule | undefined;
}
const caseIn = (where: number): fc.Arbitrary<Case> => {
  const { zone, list } = walls[where]!;
  return fc
    .record({
      rule: rules,
      startDay: fc.integer({ min: 0, max: 9 }),
      // Begun long ago, where the rule does not count.
      ago: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_500 })),
      time: fc.oneof(fc.integer({ min: 0, max: 1439 }), fc.constantFrom(0, 60, 90, 120, 150, 1410)),
      duration: fc.oneof(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 3 * day }),
        fc.constant(day),
      ),
      kind: fc.constantFrom('allow' as const, 'freeze' as const),
      skip: fc.array(fc.integer({ min: 0, max: 19 }), { maxLength: 2 }),
      until: fc.option(fc.integer({ min: 5, max: 19 }), { nil: undefined }),
      risks: fc.option(fc.constantFrom(['low' as const], ['low' as const, 'high' as const]), {
        nil: undefined,
      }),
      changeTypes: fc.option(fc.constantFrom(['normal' as const], ['emergency' as const]), {
        nil: undefined,
      }),
    })
    .map(({ rule, startDay, ago, time, duration, kind, skip, until, ...limits }) => {
      const dateOf = (n: number) => list[Math.min(list.length - 1, n * day + 720)]!.date;
      return {
        rule,
        window: {
          id: 0,
          name: 'w',
          kind,
          scope: {},
          start: `${daysBefore(dateOf(startDay), rule && !rule.text.includes('COUNT') ? ago : 0)}T${clock(time)}`,
          timeZone: zone,
          durationMinutes: duration,
          ...(rule ? { rrule: rule.text, exceptDates: skip.map(dateOf) } : {}),
          ...(rule && until !== undefined ? { until: dateOf(until) } : {}),
          ...(limits.risks ? { risks: limits.risks } : {}),
          ...(limits.changeTypes ? { changeTypes: limits.changeTypes } : {}),
        },
      };
    });
};

/** Which minutes of the range the window covers. */
function covered({ window: w, rule }: Case, list: Wall[]): Uint8Array {
  const first = w.start.slice(0, 10);
  const time = Number(w.start.slice(11, 13)) * 60 + Number(w.start.slice(14));
  const on = (date: string) =>
    date >= first &&
    (rule ? rule.on(date, first) : date === first) &&
    !(w.exceptDates ?? []).includes(date) &&
    !(w.until && date > w.until);
  const out = new Uint8Array(list.length);
  const begun = new Set<string>();
  const begin = (n: number, date: string) => {
    if (begun.has(date)) return; // the hour that is there twice: only its first time
    begun.add(date);
    for (let m = n; m < Math.min(list.length, n + w.durationMinutes); m++) out[m] = 1;
  };
  list.forEach((wall, n) => {
    const before = list[n - 1];
    if (before) {
      // The clock jumped forward: what should have begun in between begins as late as by the old clock.
      const expected =
        before.time + 1 === day ? { date: wall.date, time: 0 } : { date: before.date, time: before.time + 1 };
      const jump = wall.date === expected.date ? wall.time - expected.time : 0;
      if (jump > 0 && time >= expected.time && time < wall.time && on(expected.date))
        begin(n + time - expected.time, expected.date);
    }
    if (wall.time === time && on(wall.date)) begin(n, wall.date);
  });
  return out;
}

describe('windows against an oracle that walks minute by minute', () => {
  it('agrees on open, nextOpen and nextClose, over clock changes, midnight and limits', () => {
    const looked = { open: 0, closed: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: walls.length - 1 }).chain((where) =>
          fc.record({
            where: fc.constant(where),
            cases: fc.array(caseIn(where), { minLength: 1, maxLength: 4 }),
            risk: fc.constantFrom('low' as const, 'high' as const),
            overridden: fc.option(
              fc.record({
                window: fc.integer({ min: 1, max: 4 }),
                minutes: fc.integer({ min: 5 * day, max: 15 * day }),
              }),
              { nil: undefined },
            ),
            looks: fc.array(fc.integer({ min: 4 * day, max: 16 * day }), { minLength: 12, maxLength: 12 }),
          }),
        ),
        ({ where, cases, risk, overridden, looks }) => {
          const { begin, list } = walls[where]!;
          cases.forEach((c, n) => (c.window = { ...c.window, id: n + 1, name: `w${n + 1}` }));
          for (const c of cases) if (whyNoWindow(c.window)) return; // every occurrence excepted
          const until = overridden ? begin + overridden.minutes * minute : 0;
          const subject: Subject = {
            target: 'shop',
            environment: 'production',
            type: 'normal',
            risk,
            overridden: overridden ? [{ window: overridden.window, until }] : [],
          };
          const schedule = scheduleOf(
            cases.map((c) => c.window),
            1,
          );
          const masks = cases.map((c) => covered(c, list));
          const isOpen = (n: number) => {
            const passed = (c: Case) => overridden?.window === c.window.id && n < overridden.minutes;
            const fits = (c: Case) =>
              (!c.window.risks || c.window.risks.includes(risk)) &&
              (!c.window.changeTypes || c.window.changeTypes.includes('normal'));
            const allows = cases.filter((c) => c.window.kind === 'allow');
            const inside = allows.some((c) => passed(c) || (fits(c) && masks[cases.indexOf(c)]![n] === 1));
            const frozen = cases.some(
              (c) => c.window.kind === 'freeze' && fits(c) && !passed(c) && masks[cases.indexOf(c)]![n] === 1,
            );
            return !frozen && (allows.length === 0 || inside);
          };
          for (const n of looks) {
            const at = begin + n * minute;
            const status = schedule.status(subject, at);
            const open = isOpen(n);
            looked[open ? 'open' : 'closed'] += 1;
            expect({ n, open: status.open }).toEqual({ n, open });
            // Half-open: a millisecond before the minute still belongs to the minute before.
            expect(schedule.status(subject, at - 1).open).toBe(isOpen(n - 1));
            let next = n;
            while (next < list.length && isOpen(next) === open) next++;
            const expected = next < list.length ? begin + next * minute : undefined;
            const answer = open ? status.nextClose : status.nextOpen;
            if (expected !== undefined) expect(answer).toBe(expected);
            else expect(answer === null || answer >= begin + list.length * minute).toBe(true);
          }
        },
      ),
      { numRuns: 400 },
    );
    expect(looked.open).toBeGreaterThan(300);
    expect(looked.closed).toBeGreaterThan(300);
  });

  it.each([
    ['2026-03-29T02:30', 'Europe/Berlin', '2026-03-29T01:30:00.000Z', 'skipped: by the old clock'],
    ['2026-10-25T02:30', 'Europe/Berlin', '2026-10-25T00:30:00.000Z', 'twice: the first'],
    ['2026-10-04T02:15', 'Australia/Lord_Howe', '2026-10-03T15:45:00.000Z', 'skipped: half an hour'],
    ['2026-06-01T00:00', 'Asia/Kolkata', '2026-05-31T18:30:00.000Z', 'half an hour off'],
    ['2026-01-01T12:00', 'UTC', '2026-01-01T12:00:00.000Z', 'UTC'],
  ])('%s in %s is %s (%s)', (local, zone, instant) => {
    expect(new Date(instantOf(Date.parse(`${local}Z`), zone)).toISOString()).toBe(instant);
  });

  it('shows local time with its zone', () => {
    expect(shown(Date.parse('2026-07-01T18:00Z'), 'Europe/Berlin')).toBe('2026-07-01 20:00 Europe/Berlin');
  });
});

/** Rules of every part that is taken, as text. */
const some = (values: (string | number)[], most = 4) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: most }).map((list) => list.join(','));
const signed = (most: number) =>
  Array.from({ length: 2 * most + 1 }, (_, n) => n - most).filter((n) => n !== 0);
const ruleText = fc
  .record({
    freq: fc.constantFrom('DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'),
    interval: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    weekStart: fc.option(fc.constantFrom(...names), { nil: undefined }),
    months: fc.option(some(Array.from({ length: 12 }, (_, n) => n + 1)), { nil: undefined }),
    days: fc.option(some(signed(31), 8), { nil: undefined }),
    weekdays: fc.option(some(names), { nil: undefined }),
    numbered: fc.option(some(['1MO', '2TU', '-1FR', '-2SU', '5TH', '3SA']), { nil: undefined }),
    // Where one of the last two is a year's first week, the library misses its days before New Year.
    weeks: fc.option(
      some(
        signed(53).filter((week) => week > -52),
        6,
      ),
      { nil: undefined },
    ),
    yearDays: fc.option(some(signed(366), 10), { nil: undefined }),
    // The library wants them in order.
    hours: fc.option(fc.subarray([0, 6, 12, 18, 23], { minLength: 1 }).map(String), { nil: undefined }),
    // Of several places that meet it finds one twice.
    positions: fc.option(fc.constantFrom(1, -1), { nil: undefined }),
    count: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  })
  .map((p) => {
    const parts: [string, string | number | undefined][] = [
      ['FREQ', p.freq],
      ['INTERVAL', p.interval],
      ['WKST', p.weekStart],
      ['BYMONTH', p.months],
      ['BYMONTHDAY', p.freq === 'WEEKLY' ? undefined : p.days],
      ['BYDAY', p.weekdays ?? (['MONTHLY', 'YEARLY'].includes(p.freq) && !p.weeks ? p.numbered : undefined)],
      ['BYWEEKNO', p.freq === 'YEARLY' && (p.weekdays ?? !p.numbered) ? p.weeks : undefined],
      ['BYYEARDAY', p.freq === 'YEARLY' ? p.yearDays : undefined],
      ['BYHOUR', p.hours],
      // The library counts the places of a first week from its start on, and not of the whole.
      ['BYSETPOS', p.freq !== 'WEEKLY' && (p.days ?? p.hours ?? p.weekdays) ? p.positions : undefined],
      ['COUNT', p.count],
    ];
    return parts
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}=${value}`)
      .join(';');
  });

it('finds what a library finds that walks each rule from its start', () => {
  let met = 0;
  fc.assert(
    fc.property(
      ruleText,
      fc.integer({ min: 0, max: 20_000 }),
      fc.integer({ min: 0, max: 1_500 }),
      (text, startDay, later) => {
        const start = startDay * 86_400_000 + 20.5 * 3_600_000;
        const from = start + later * 86_400_000;
        const to = from + 400 * 86_400_000;
        const { rule, problems } = parseRule(text);
        // The library does not end where nothing is ever met.
        if (
          problems.length > 0 ||
          recurrenceOf(rule, start).between(to, to + 3_000 * 86_400_000).length === 0
        )
          if (!rule.count) return;
        // Walked no further than is looked at.
        const walked = new RRule(
          {
            ...RRule.parseString(text),
            dtstart: new Date(start),
            ...(rule.count ? { until: new Date(to) } : {}),
          },
          true,
        );
        if (
          rule.count &&
          recurrenceOf({ ...rule, count: undefined }, start).between(start, to).length < rule.count
        )
          return;
        const found = walked.between(new Date(from), new Date(to - 1), true).map((date) => date.getTime());
        met += found.length;
        expect({ text, start, found: recurrenceOf(rule, start).between(from, to) }).toEqual({
          text,
          start,
          found,
        });
      },
    ),
    { numRuns: Number(process.env.RULES ?? 200) },
  );
  expect(met).toBeGreaterThan(200);
});

it('a week that is counted from the end of its year may begin in the year before', () => {
  // 2004 and 2009 have 53 weeks by ISO 8601, and begin on a Thursday.
  const from = Date.UTC(2000, 9, 13, 20, 30);
  const { rule } = parseRule('FREQ=YEARLY;BYDAY=MO;BYWEEKNO=-53');
  expect(recurrenceOf(rule, from).between(from, Date.UTC(2012, 0, 1))).toEqual([
    Date.UTC(2003, 11, 29, 20, 30),
    Date.UTC(2008, 11, 29, 20, 30),
  ]);
});

const everyHour = `BYHOUR=${Array.from({ length: 24 }, (_, n) => n).join(',')}`;
const everyMonthDay = `BYMONTHDAY=${Array.from({ length: 31 }, (_, n) => n + 1).join(',')}`;
it.each([
  ['0100-01-01T00:00', `FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;${everyHour}`],
  ['0100-01-01T00:00', `FREQ=DAILY;COUNT=1000000000;${everyHour}`],
  ['0100-01-01T00:00', `FREQ=YEARLY;${everyMonthDay};${everyHour};BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12`],
  ['0100-01-01T00:00', `FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;${everyHour};BYSETPOS=-1`],
  ['2026-01-05T20:00', 'FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30'],
  ['2026-01-05T20:00', 'FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1'],
  ['2026-01-05T20:00', 'FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-300'],
  ['1970-01-05T20:00', 'FREQ=DAILY;COUNT=10000;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO'],
])('a window from %s by %s costs next to nothing, also one that an earlier version kept', (start, rrule) => {
  const window = { ...evenings, durationMinutes: 1, start, rrule };
  const began = performance.now();
  whyNoWindow(window);
  scheduleOf([window], 1).status(subject, at('2026-11-28T12:00Z'));
  // Seconds to minutes when it is walked from its start, or to the year 9999.
  expect(performance.now() - began).toBeLessThan(2_000);
});

const evenings: DeploymentWindow = {
  id: 1,
  name: 'Evenings',
  kind: 'allow',
  scope: { target: 'shop' },
  start: '2026-01-05T20:00',
  timeZone: 'Europe/Berlin',
  durationMinutes: 120,
  rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH',
};
const subject: Subject = { target: 'shop', environment: 'production', type: 'normal', risk: 'medium' };
const at = (text: string) => Date.parse(text);

describe('what a window says', () => {
  const freeze: DeploymentWindow = {
    id: 2,
    name: 'Year end',
    kind: 'freeze',
    scope: { environment: 'production' },
    start: '2026-12-20T00:00',
    timeZone: 'Europe/Berlin',
    durationMinutes: 14 * day,
    reason: 'the books are closed',
  };
  const schedule = scheduleOf([evenings, freeze], 7);
  it('is closed to the millisecond before its start, open from it on, and closed at its end', () => {
    const start = at('2026-11-30T19:00Z');
    expect([-1, 0, 1].map((ms) => schedule.status(subject, start + ms).open)).toEqual([false, true, true]);
    const end = start + 7_200_000;
    expect([-1, 0, 1].map((ms) => schedule.status(subject, end + ms).open)).toEqual([true, false, false]);
  });
  it('says why, by name, and until when', () => {
    expect(schedule.status(subject, at('2026-11-25T12:00Z'))).toEqual({
      open: false,
      reason: 'Outside of "Evenings"',
      windows: ['Evenings'],
      nextOpen: at('2026-11-25T19:00Z'),
      nextClose: null,
    });
    expect(schedule.status(subject, at('2026-12-22T19:30Z'))).toEqual({
      open: false,
      reason: 'Freeze "Year end" until 2027-01-03 00:00 Europe/Berlin (the books are closed)',
      windows: ['Year end'],
      nextOpen: at('2027-01-04T19:00Z'),
      nextClose: null,
    });
    expect(schedule.status(subject, at('2026-12-17T19:30Z'))).toMatchObject({
      open: true,
      reason: 'Inside "Evenings" until 2026-12-17 22:00 Europe/Berlin',
      nextClose: at('2026-12-17T21:00Z'),
    });
  });
  it('leaves other targets and environments alone', () => {
    expect(
      schedule.status({ ...subject, target: 'docs', environment: 'staging' }, at('2026-12-25T12:00Z')),
    ).toEqual({
      open: true,
      reason: 'No deployment window restricts docs',
      windows: [],
      nextOpen: at('2026-12-25T12:00Z'),
      nextClose: null,
    });
  });
  it('lets emergency changes pass, and says what they pass', () => {
    const status = schedule.status({ ...subject, type: 'emergency' }, at('2026-12-25T12:00Z'));
    expect(status.open).toBe(true);
    expect(status.reason).toMatch(/^An emergency change passes the freeze "Year end"/);
  });
  it('stays closed where no allow window fits the change, and after the last one ended', () => {
    const low = scheduleOf([{ ...evenings, risks: ['low'] }], 1).status(subject, at('2026-11-30T19:30Z'));
    expect(low).toMatchObject({
      open: false,
      nextOpen: null,
      reason: '"Evenings" is not for a normal change of medium risk',
    });
    const once = scheduleOf([{ ...evenings, rrule: undefined }], 1).status(subject, at('2026-11-30T19:30Z'));
    expect(once).toMatchObject({ open: false, nextOpen: null });
  });
  it('passes one that was overridden, until the override ends', () => {
    const overridden = [{ window: 2, until: at('2026-12-22T21:00Z') }];
    const inWindow = schedule.status({ ...subject, overridden }, at('2026-12-22T19:30Z'));
    expect(inWindow).toMatchObject({ open: true, nextClose: at('2026-12-22T21:00Z') });
    expect(inWindow.reason).toBe('"Year end" is overridden for this change');
    expect(schedule.status({ ...subject, overridden }, at('2026-12-22T21:00Z')).open).toBe(false);
  });
  it('lists what covers a range, also what began before it', () => {
    const found = schedule.occurrences(at('2026-12-21T00:00Z'), at('2026-12-23T00:00Z'));
    expect(found.map(({ window, start }) => [window.name, new Date(start).toISOString()])).toEqual([
      ['Year end', '2026-12-19T23:00:00.000Z'],
      ['Evenings', '2026-12-21T19:00:00.000Z'],
      ['Evenings', '2026-12-22T19:00:00.000Z'],
    ]);
  });
});

it.each<[string, Partial<DeploymentWindow>, RegExp]>([
  ['a zone that is none', { timeZone: 'Mars/Olympus' }, /"Mars\/Olympus" is no IANA zone/],
  ['an abbreviation', { timeZone: 'EST' }, /is no IANA zone/],
  ['a day that is none', { start: '2026-02-30T10:00' }, /start: .* is not in the calendar/],
  ['an hour that is none', { start: '2026-02-20T25:00' }, /start: .* is not in the calendar/],
  ['two scopes', { scope: { target: 'a', environment: 'b' } }, /a target or an environment/],
  ['a rule that is none', { rrule: 'every monday' }, /is no part of an RFC 5545 rule/],
  ['no FREQ', { rrule: 'BYDAY=MO' }, /FREQ is missing/],
  ['too often', { rrule: 'FREQ=MINUTELY' }, /DAILY, WEEKLY, MONTHLY or YEARLY/],
  ['minutes in the rule', { rrule: 'FREQ=DAILY;BYMINUTE=0,30' }, /start says the minute/],
  ['hours that are a range', { rrule: 'FREQ=DAILY;BYHOUR=6-24' }, /BYHOUR has to be hours from 0 to 23/],
  ['an hour past midnight', { rrule: 'FREQ=DAILY;BYHOUR=24' }, /0 to 23/],
  ['an hour before midnight', { rrule: 'FREQ=DAILY;BYHOUR=-1' }, /0 to 23/],
  ['a weekday that is none', { rrule: 'FREQ=WEEKLY;BYDAY=XX' }, /BYDAY looks like/],
  ['a weekday out of a month', { rrule: 'FREQ=WEEKLY;BYDAY=1MO' }, /needs FREQ=MONTHLY/],
  ['a part twice', { rrule: 'FREQ=DAILY;FREQ=WEEKLY' }, /stands twice/],
  ['a count and an end', { rrule: 'FREQ=DAILY;COUNT=3;UNTIL=20301231' }, /exclude/],
  ['a count without an end', { rrule: 'FREQ=YEARLY;COUNT=5000' }, /not reached within 100 years/],
  ['a month that is none', { rrule: 'FREQ=YEARLY;BYMONTH=13' }, /rrule/],
  ['never', { rrule: 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30' }, /it never happens/],
  ['over before it begins', { until: '2025-01-01' }, /it never happens/],
  ['a bad UNTIL', { rrule: 'FREQ=DAILY;UNTIL=tomorrow' }, /rrule/],
  ['until without a rule', { rrule: undefined, until: '2026-12-31' }, /need an rrule/],
])('refuses %s, with a word on what is allowed', (_what, wrong, why) => {
  expect(whyNoWindow({ ...evenings, ...wrong })).toMatch(why);
});
it('takes what is right, UNTIL in its three forms among it', () => {
  expect(whyNoWindow(evenings)).toBeUndefined();
  const starts = (rrule: string) =>
    scheduleOf([{ ...evenings, start: '2026-06-01T20:00', rrule }], 1).occurrences(
      at('2026-06-01T00:00Z'),
      at('2026-07-01T00:00Z'),
    ).length;
  expect(starts('FREQ=DAILY;UNTIL=20260603')).toBe(3);
  expect(starts('FREQ=DAILY;UNTIL=20260603T195900')).toBe(2);
  // 18:00 UTC is 20:00 in Berlin, so the third of June still counts.
  expect(starts('FREQ=DAILY;UNTIL=20260603T180000Z')).toBe(3);
  expect(starts('FREQ=DAILY;UNTIL=20260603T175900Z')).toBe(2);
});
it('answers for thousands of windows a year ahead', () => {
  const many = Array.from({ length: 3_000 }, (_, n) => ({
    ...evenings,
    id: n + 1,
    name: `w${n + 1}`,
    scope: n % 10 === 0 ? {} : { target: `other-${n}` },
    kind: n % 2 ? ('freeze' as const) : ('allow' as const),
  }));
  const schedule = scheduleOf(many, 1);
  expect(schedule.status(subject, at('2026-11-25T12:00Z')).nextOpen).toBe(at('2026-11-25T19:00Z'));
});
