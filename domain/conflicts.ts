import type { Refusal } from './admission';
import { changeRequestKey, deploymentKey } from './keys';

/** Schedules that overlap: on one target, or on two of which one is declared to depend on the other. */
export interface Conflict {
  /** Key of what it overlaps. */
  with: string;
  target: string;
  title: string;
  from: string;
  to: string;
}

/** What stands in the calendar of a target: a planned change, a deployment that sleeps until its window, or one that runs. */
export interface Scheduled {
  kind: 'planned' | 'scheduled' | 'running';
  /** Number of the promotion. */
  id: number;
  attempt: number | null;
  target: string;
  title: string;
  /** Milliseconds since 1970. */
  from: number;
  to: number;
}

/** Which of these overlap [from, to); half-open, so that the next may begin when the other ends. */
export const overlapping = (calendar: readonly Scheduled[], from: number, to: number): Conflict[] =>
  calendar
    .filter((entry) => entry.from < to && entry.to > from)
    .sort((a, b) => a.from - b.from || a.id - b.id)
    .map((entry) => ({
      with: entry.attempt === null ? changeRequestKey(entry.id) : deploymentKey(entry.id, entry.attempt),
      target: entry.target,
      title: entry.title,
      from: new Date(entry.from).toISOString(),
      to: new Date(entry.to).toISOString(),
    }));

/** Why a schedule is refused; undefined when nothing overlaps it, or the overlap was accepted with a reason. */
export function conflictRefusal(
  key: string,
  conflicts: readonly Conflict[],
  accepted: string | null,
): Refusal | undefined {
  if (conflicts.length === 0 || accepted) return undefined;
  const nextFree = conflicts
    .map((c) => c.to)
    .sort()
    .at(-1);
  const inWords = conflicts.map((c) => `${c.with} (${c.title}) on ${c.target}, ${c.from} to ${c.to}`);
  return {
    code: 'schedule-conflict',
    message: `${key} overlaps ${inWords.join('; ')}. Wait until ${nextFree}, plan it at another time, or accept the overlap with a reason in conflictsAccepted.`,
    detail: { conflicts, nextFree },
  };
}
