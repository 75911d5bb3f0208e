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

export const bytes = (count: number) =>
  count < 1024
    ? `${count} B`
    : count < 1_048_576
      ? `${(count / 1024).toFixed(1)} KiB`
      : `${(count / 1_048_576).toFixed(1)} MiB`;

export const labelOf = (machine: MachineName, state: string) => rowOf(machine, state)?.label ?? state;
export const toneOf = (machine: MachineName, state: string) => rowOf(machine, state)?.tone ?? 'quiet';
