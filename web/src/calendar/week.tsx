import { DateTime } from 'luxon';
import { Link } from 'wouter';
import { labelOf, toneOf } from '../format';
import type { Day, Piece } from './days';

/** Seven days side by side, each from midnight to midnight of its zone; on a phone a list of days. */
export function Week({ days, today, query }: { days: Day[]; today: string; query: string }) {
  return (
    <div className="week" role="region" aria-label="Week" tabIndex={0}>
      <div className="hours" aria-hidden="true">
        {Array.from({ length: 24 }, (_, hour) => (
          <span key={hour} style={{ top: `${(hour / 24) * 100}%` }}>
            {String(hour).padStart(2, '0')}:00
          </span>
        ))}
      </div>
      {days.map((day) => (
        <section
          key={day.date}
          aria-label={day.start.toLocaleString(DateTime.DATE_HUGE)}
          className={day.date === today ? 'day today' : 'day'}
        >
          <h3>
            <Link href={`/calendar/${day.date}${query}`} data-row>
              {day.start.toLocaleString({ weekday: 'short', day: 'numeric', month: 'short' })}
            </Link>
            {day.more > 0 && <small> {day.more} more</small>}
          </h3>
          <ul>
            {[...day.bands, ...day.blocks].map((piece) => (
              <Shown key={piece.id} piece={piece} query={query} zone={day.start.zoneName!} />
            ))}
            {day.date === today && <Now day={day.start} />}
          </ul>
        </section>
      ))}
    </div>
  );
}

/** Where now is on the day that is today. */
function Now({ day }: { day: DateTime }) {
  const now = DateTime.now().setZone(day.zone);
  return (
    <li
      aria-hidden="true"
      className="now"
      style={{ top: `${((now.hour * 60 + now.minute) / 1440) * 100}%` }}
    />
  );
}

function Shown({ piece, query, zone }: { piece: Piece; query: string; zone: string }) {
  const { kind, top, bottom, lane, lanes } = piece;
  const window = kind === 'allow' || kind === 'freeze';
  return (
    <li
      className={`piece ${kind}${piece.status ? ` tone-${tone(piece)}` : ''}`}
      style={{
        top: `${(top / 1440) * 100}%`,
        height: `${((bottom - top) / 1440) * 100}%`,
        left: `${(lane / lanes) * 100}%`,
        width: `${100 / lanes}%`,
      }}
    >
      <Link href={window ? `${piece.href}${query}` : piece.href} title={inWords(piece, zone)}>
        <span className="when">{clock(piece.from, zone)}</span> {says(piece)}
      </Link>
    </li>
  );
}

export const machineOf = ({ kind }: Pick<Piece, 'kind'>) =>
  kind === 'deployment' ? ('deployment' as const) : ('changeRequest' as const);
export const tone = (entry: Pick<Piece, 'kind' | 'status'>) => toneOf(machineOf(entry), entry.status!);
/** What stands in an entry: never colour alone. */
export const says = (entry: Pick<Piece, 'kind' | 'status' | 'title'>): string =>
  entry.kind === 'freeze'
    ? `Freeze: ${entry.title}`
    : entry.kind === 'allow'
      ? `Open: ${entry.title}`
      : `${entry.title}, ${labelOf(machineOf(entry), entry.status!).toLowerCase()}`;

const clock = (at: number, zone: string) =>
  DateTime.fromMillis(at, { zone }).toLocaleString(DateTime.TIME_24_SIMPLE);
export const span = ({ from, to }: Pick<Piece, 'from' | 'to'>, zone: string): string =>
  `${clock(from, zone)} to ${clock(to, zone)}`;
const inWords = (piece: Piece, zone: string) =>
  `${says(piece)} (${piece.detail})\n${DateTime.fromMillis(piece.from, { zone }).toLocaleString(DateTime.DATETIME_MED)} to ${DateTime.fromMillis(piece.to, { zone }).toLocaleString(DateTime.DATETIME_MED)} ${zone}`;
