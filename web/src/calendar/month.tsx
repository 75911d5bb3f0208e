import { DateTime } from 'luxon';
import { Link } from 'wouter';
import type { Day } from './days';
import { says, tone } from './week';

const most = 4;

/** Weeks under each other; each day says what is on it, and opens whole. */
export function Month(props: { days: Day[]; month: string; today: string; query: string }) {
  const { days, month, today, query } = props;
  return (
    <ol className="month" aria-label="Month">
      {days.map((day) => {
        const all = [...day.bands, ...day.blocks];
        const left = all.length - most + day.more;
        return (
          <li
            key={day.date}
            className={['day', day.date === today && 'today', !day.date.startsWith(month) && 'outside']
              .filter(Boolean)
              .join(' ')}
          >
            <h3>
              <Link
                href={`/calendar/${day.date}${query}`}
                data-row
                title={day.start.toLocaleString(DateTime.DATE_FULL)}
              >
                {day.start.toLocaleString({ weekday: 'short', day: 'numeric' })}
              </Link>
            </h3>
            <ul>
              {all.slice(0, most).map((piece) => (
                <li
                  key={piece.id}
                  className={`chip ${piece.kind}${piece.status ? ` tone-${tone(piece)}` : ''}`}
                >
                  <Link
                    href={piece.href.startsWith('/calendar') ? `${piece.href}${query}` : piece.href}
                    title={`${says(piece)} (${piece.detail})`}
                  >
                    {says(piece)}
                  </Link>
                </li>
              ))}
            </ul>
            {left > 0 && <small>{left} more</small>}
          </li>
        );
      })}
    </ol>
  );
}
