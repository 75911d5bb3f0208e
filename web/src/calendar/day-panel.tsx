import { DateTime } from 'luxon';
import { Link } from 'wouter';
import type { Entry } from './days';
import { says, span, tone } from './week';

/** Everything on one day, in order. */
export function DayPanel(props: { date: DateTime; entries: Entry[]; query: string }) {
  const { date, query } = props;
  const entries = [...props.entries].sort((a, b) => a.from - b.from);
  return (
    <section aria-label={date.toLocaleString(DateTime.DATE_FULL)} className="panel">
      <header className="row">
        <h2>{date.toLocaleString(DateTime.DATE_HUGE)}</h2>
        <Link href={`/calendar${query}`} className="close">
          Close
        </Link>
      </header>
      {entries.length === 0 && (
        <p className="muted">Nothing is on this day. Without windows every change may be deployed.</p>
      )}
      <ul className="needs">
        {entries.map((entry) => (
          <li key={entry.id} className={entry.status ? `tone-${tone(entry)}` : undefined}>
            <span className="muted">{span(entry, date.zoneName!)}</span>{' '}
            <Link href={entry.href.startsWith('/calendar') ? `${entry.href}${query}` : entry.href}>
              {says(entry)}
            </Link>{' '}
            <span className="muted">{entry.detail}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
