import { DateTime } from 'luxon';
import { Link, useParams } from 'wouter';
import { useAddress } from '../address';
import { useCalendar } from '../api';
import { DayPanel } from './day-panel';
import { daysOf, entriesOf, rangeOf, touches } from './days';
import { Month } from './month';
import { Week } from './week';
import { NewWindow, WindowPanel } from './window-panel';
import { Refusal } from '../refusal';

/** Windows, freezes, planned, scheduled and past deployments, by week or month, in the zone of one's choice. */
export const ownZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const views = ['week', 'month'] as const;

export function CalendarTab() {
  const { key } = useParams<{ key?: string }>();
  const [search, set] = useAddress();
  const zone = DateTime.local({ zone: search.get('zone') ?? '' }).isValid ? search.get('zone')! : ownZone;
  const view = views.find((name) => name === search.get('view')) ?? 'week';
  const today = DateTime.now().setZone(zone).toISODate()!;
  const asked = search.get('at') ?? '';
  const at = DateTime.fromISO(asked).isValid ? asked : today;
  const [first, count] = rangeOf(view, at, zone);
  const end = first.plus({ days: count });
  const calendar = useCalendar(first.toUTC().toISO()!, end.toUTC().toISO()!);
  const entries = calendar.data ? entriesOf(calendar.data) : [];
  const days = daysOf(entries, first, count);
  const go = (by: number) =>
    set({
      at: DateTime.fromISO(at)
        .plus({ [`${view}s`]: by })
        .toISODate()!,
    });
  const query = search.size > 0 ? `?${search}` : '';
  return (
    <>
      <div className="row calendar-bar">
        <button type="button" onClick={() => go(-1)}>
          Earlier
        </button>
        <button type="button" onClick={() => set({ at: today })}>
          Today
        </button>
        <button type="button" onClick={() => go(1)}>
          Later
        </button>
        <h2 aria-live="polite">
          {view === 'month'
            ? DateTime.fromISO(at).toLocaleString({ month: 'long', year: 'numeric' })
            : `${first.toLocaleString(DateTime.DATE_MED)} to ${end.minus({ days: 1 }).toLocaleString(DateTime.DATE_MED)}`}
        </h2>
        <label className="row">
          Show
          <select value={view} onChange={({ target }) => set({ view: target.value })}>
            <option value="week">a week</option>
            <option value="month">a month</option>
          </select>
        </label>
        <Zone zone={zone} set={(chosen) => set({ zone: chosen })} />
        <Link href={`/calendar/new-window${query}`} className="button" data-key="n">
          New window …
        </Link>
        <Link href={`/calendar/new-freeze${query}`} className="button">
          New freeze …
        </Link>
      </div>
      <Refusal error={calendar.error} />
      {calendar.isPending && <p className="muted">Reading the calendar ...</p>}
      {calendar.isSuccess && entries.length === 0 && (
        <p className="muted">
          Nothing is on these days: no window, no freeze, no deployment. Without windows every change may be
          deployed at any time; add the first above, or with "npx signalbox window add allow Evenings --start
          2026-01-05T20:00 --zone Europe/Berlin --minutes 120 --rrule FREQ=DAILY".
        </p>
      )}
      <div className={key ? 'columns with-panel calendar' : 'columns calendar'}>
        {view === 'week' ? (
          <Week days={days} today={today} query={query} />
        ) : (
          <Month days={days} month={at.slice(0, 7)} today={today} query={query} />
        )}
        {key?.startsWith('new-') && (
          <NewWindow key={key} kind={key === 'new-freeze' ? 'freeze' : 'allow'} zone={zone} day={at} />
        )}
        {key && /^\d+$/.test(key) && <WindowPanel key={key} id={key} />}
        {key && DateTime.fromISO(key).isValid && key.length === 10 && (
          <DayPanel
            date={DateTime.fromISO(key, { zone })}
            entries={entries.filter((entry) => touches(entry, DateTime.fromISO(key, { zone })))}
            query={query}
          />
        )}
      </div>
    </>
  );
}

function Zone({ zone, set }: { zone: string; set: (zone: string) => void }) {
  const known = [...new Set([ownZone, 'UTC', zone])];
  const others = Intl.supportedValuesOf('timeZone').filter((name) => !known.includes(name));
  return (
    <label className="row">
      Times of
      <select value={zone} onChange={({ target }) => set(target.value)}>
        {known.map((name) => (
          <option key={name} value={name}>
            {name === ownZone ? `${name} (yours)` : name}
          </option>
        ))}
        <optgroup label="All zones">
          {others.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </optgroup>
      </select>
    </label>
  );
}
