import { DateTime } from 'luxon';
import { daysOf, rangeOf, type Entry } from '../../web/src/calendar/days';

/** How the calendar of the page cuts entries into days and sets them side by side. */
const at = (iso: string) => Date.parse(iso);
const entry = (id: string, from: string, to: string, kind: Entry['kind'] = 'deployment'): Entry => ({
  id,
  kind,
  title: id,
  detail: '',
  href: '/',
  from: at(from),
  to: at(to),
});

it('weeks begin on Monday; a month shows whole weeks', () => {
  const shown = (view: 'week' | 'month', date: string) => {
    const [first, count] = rangeOf(view, date, 'UTC');
    return [first.toISODate(), count];
  };
  expect(shown('week', '2026-11-25')).toEqual(['2026-11-23', 7]);
  expect(shown('week', '2026-11-29')).toEqual(['2026-11-23', 7]);
  expect(shown('month', '2026-11-25')).toEqual(['2026-10-26', 42]);
  expect(shown('month', '2027-02-10')).toEqual(['2027-02-01', 28]);
  expect(shown('month', '2026-03-31')).toEqual(['2026-02-23', 42]);
});

it('what lasts over midnight stands on both days, by the clock of the zone', () => {
  const freeze = entry('f', '2026-11-25T21:30:00Z', '2026-11-26T05:00:00Z', 'freeze');
  const bands = (zone: string) =>
    daysOf([freeze], DateTime.fromISO('2026-11-25', { zone }), 3).map((day) =>
      day.bands.map(({ top, bottom }) => [top, bottom]),
    );
  expect(bands('UTC')).toEqual([[[1290, 1440]], [[0, 300]], []]);
  expect(bands('Asia/Tokyo')).toEqual([[], [[390, 840]], []]);
});

it('days of 23 and 25 hours go from midnight to midnight of the clock', () => {
  for (const date of ['2026-03-29', '2026-10-25']) {
    const day = DateTime.fromISO(date, { zone: 'Europe/Berlin' });
    const whole = { ...entry('w', '2026-01-01', '2027-01-01', 'allow') };
    const late = entry('l', `${date}T21:00:00Z`, `${date}T21:30:00Z`);
    const [shown, next] = daysOf([whole, late], day, 2);
    expect(shown!.bands.map(({ top, bottom }) => [top, bottom])).toEqual([[0, 1440]]);
    expect([...shown!.blocks, ...next!.blocks].map(({ top, bottom }) => [top, bottom])).toEqual(
      date === '2026-03-29' ? [[1380, 1425]] : [[1320, 1365]],
    );
  }
});

it('what overlaps stands side by side, at most three; the rest is counted', () => {
  const many = ['a', 'b', 'c', 'd', 'e'].map((id) =>
    entry(id, '2026-11-25T10:00:00Z', '2026-11-25T10:00:05Z'),
  );
  const apart = entry('z', '2026-11-25T10:45:00Z', '2026-11-25T11:45:00Z');
  const last = entry('y', '2026-11-25T23:59:00Z', '2026-11-25T23:59:30Z');
  const [day] = daysOf([...many, apart, last], DateTime.fromISO('2026-11-25', { zone: 'UTC' }), 1);
  expect(day!.blocks.map(({ id, lane, lanes, top, bottom }) => [id, lane, lanes, top, bottom])).toEqual([
    ['a', 0, 3, 600, 645],
    ['b', 1, 3, 600, 645],
    ['c', 2, 3, 600, 645],
    ['z', 0, 1, 645, 705],
    ['y', 0, 1, 1395, 1440],
  ]);
  expect(day!.more).toBe(2);
});
