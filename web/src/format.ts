import { rowOf, type MachineName } from '../../domain/machines';

export const short = (digest: string | null) => digest?.slice(0, 12) ?? 'none';

/** @param at ISO 8601, or milliseconds since 1970. */
export const time = (at: string | number | null) => (at ? new Date(at).toLocaleTimeString() : '');
/** A day of the calendar, such as a due date: it is the same day everywhere. */
export const day = (date: string) => new Date(`${date}T12:00`).toLocaleDateString();
export const dateTime = (iso: string) => moment.format(new Date(iso));
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export function elapsed(from: string | null, to: string | null): string {
  if (!from) return '';
  const ms = (to ? Date.parse(to) : Date.now()) - Date.parse(from);
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

/** A time span in the one or two units that matter. @param ms milliseconds. */
export function lasting(ms: number): string {
  const [minutes, hours] = [ms / 60_000, ms / 3_600_000];
  if (hours >= 48) return `${number(hours / 24)} days`;
  if (hours >= 1) return `${number(hours)} h`;
  return minutes >= 1 ? `${number(minutes)} min` : `${number(ms / 1000)} s`;
}
/** A number as one writes it here, with at most one digit behind the point; small ones with two. */
export const number = (value: number): string =>
  value.toLocaleString(undefined, { maximumFractionDigits: value < 1 ? 2 : 1 });
/** How many of something: "1 file", "2 files". */
export const count = (n: number, what: string) => `${number(n)} ${what}${n === 1 ? '' : 's'}`;
export const percent = (share: number): string =>
  share.toLocaleString(undefined, { style: 'percent', maximumFractionDigits: 0 });

export const bytes = (count: number) =>
  count < 1024
    ? `${count} B`
    : count < 1_048_576
      ? `${number(count / 1024)} KiB`
      : `${number(count / 1_048_576)} MiB`;

export const labelOf = (machine: MachineName, state: string) => rowOf(machine, state)?.label ?? state;
export const toneOf = (machine: MachineName, state: string) => rowOf(machine, state)?.tone ?? 'quiet';
