import { DateTime } from 'luxon';
import type { CalendarView } from '../../../domain/schemas';

/** What a calendar shows of a range: entries cut into days of a zone, and side by side where they overlap. */
export interface Entry {
  /** Unique in an answer: a window occurs many times. */
  id: string;
  kind: 'allow' | 'freeze' | 'deployment' | 'planned';
  title: string;
  /** What it is for, such as "target shop". */
  detail: string;
  /** State of a deployment, or of a change request. */
  status?: string;
  href: string;
  /** Milliseconds since 1970, [from, to). */
  from: number;
  to: number;
}
/** A part of an entry on one day, in minutes of the day's clock. */
export interface Piece extends Entry {
  top: number;
  bottom: number;
  lane: number;
  lanes: number;
}
export interface Day {
  /** 2026-11-25 */
  date: string;
  start: DateTime;
  bands: Piece[];
  blocks: Piece[];
  /** Blocks for which there is no room; the day's own list has them. */
  more: number;
}

const titleOf = ({ key, title, emergency }: CalendarView['planned'][number]) =>
  `${emergency ? 'Emergency ' : ''}${key} ${title}`;
export const entriesOf = (view: CalendarView): Entry[] => [
  ...view.windows.map((w): Entry => ({
    id: `${w.id} ${w.from}`,
    kind: w.kind,
    title: w.name,
    detail: [w.scope, w.reason].filter(Boolean).join(': '),
    href: `/calendar/${w.id}`,
    from: Date.parse(w.from),
    to: Date.parse(w.to),
  })),
  ...view.deployments.map((d): Entry => ({
    id: d.key,
    kind: 'deployment',
    title: titleOf(d),
    detail: `to ${d.target}`,
    status: d.status,
    href: `/promotions/${d.key}`,
    from: Date.parse(d.from),
    to: Date.parse(d.to),
  })),
  ...view.planned.map((p): Entry => ({
    id: p.key,
    kind: 'planned',
    title: titleOf(p),
    detail: `planned for ${p.target}`,
    status: p.status,
    href: `/change-requests/${p.key}`,
    from: Date.parse(p.from),
    to: Date.parse(p.to),
  })),
];

/** A week begins on Monday. @returns the first day shown, and how many. */
export function rangeOf(view: 'week' | 'month', date: string, zone: string): [DateTime, number] {
  const day = DateTime.fromISO(date, { zone });
  if (view === 'week') return [day.startOf('week'), 7];
  const first = day.startOf('month').startOf('week');
  const weeks = Math.ceil(day.endOf('month').startOf('day').plus({ days: 1 }).diff(first, 'days').days / 7);
  return [first, weeks * 7];
}

/** Minutes that an entry is drawn tall at least. */
const least = 45;
const mostLanes = 3;

/** Minutes that the clock of its zone shows; at the end of the day a full day of them. */
const clock = (at: number, day: DateTime): number => {
  const local = DateTime.fromMillis(at, { zone: day.zone });
  return local >= day.plus({ days: 1 }) ? 1_440 : local <= day ? 0 : local.hour * 60 + local.minute;
};

export const touches = (entry: Entry, day: DateTime): boolean =>
  entry.from < day.plus({ days: 1 }).toMillis() && entry.to > day.toMillis();

/** The days of a range with what is on them; what overlaps stands side by side, up to three. */
export function daysOf(entries: Entry[], first: DateTime, count: number): Day[] {
  return Array.from({ length: count }, (_, n): Day => {
    const start = first.plus({ days: n });
    const pieces = entries
      .filter((entry) => touches(entry, start))
      .map((entry): Piece => {
        const top = clock(entry.from, start);
        return { ...entry, top, bottom: Math.max(top + 1, clock(entry.to, start)), lane: 0, lanes: 1 };
      })
      .sort((a, b) => a.top - b.top || b.bottom - a.bottom);
    const banded = (piece: Piece) => piece.kind === 'allow' || piece.kind === 'freeze';
    const blocks = sideBySide(
      pieces
        .filter((piece) => !banded(piece))
        // A deployment may take seconds; it is drawn tall enough to be read and hit.
        .map((piece) => ({
          ...piece,
          top: Math.min(piece.top, 1_440 - least),
          bottom: Math.max(piece.bottom, Math.min(piece.top, 1_440 - least) + least),
        })),
    );
    return {
      date: start.toISODate()!,
      start,
      bands: sideBySide(pieces.filter(banded)),
      blocks: blocks.filter(({ lane }) => lane < mostLanes),
      more: blocks.filter(({ lane }) => lane >= mostLanes).length,
    };
  });
}

/** Gives each piece of a group that overlaps a lane of its own. @param pieces ordered by their beginning. */
function sideBySide(pieces: Piece[]): Piece[] {
  let group: Piece[] = [];
  let end = -1;
  const close = () => {
    const lanes = Math.min(mostLanes, Math.max(1, ...group.map(({ lane }) => lane + 1)));
    for (const piece of group) piece.lanes = lanes;
    group = [];
  };
  for (const piece of pieces) {
    if (piece.top >= end) close();
    const taken = new Set(group.filter(({ bottom }) => bottom > piece.top).map(({ lane }) => lane));
    while (taken.has(piece.lane)) piece.lane += 1;
    group.push(piece);
    end = Math.max(end, piece.bottom);
  }
  close();
  return pieces;
}
