import type { ChangeType, Risk } from '../machines';
import { compile, shown, type Compiled, type DeploymentWindow } from './window';

/**
 * Whether a change may be deployed at an instant, why, and until when that holds: the one evaluator of API, workflow
 * and calendar. Fail-closed: a freeze beats an allow; where any allow window covers the target, outside all that fit
 * the change is closed; with none, open. Emergency changes pass.
 */
export interface Subject {
  target: string;
  environment: string;
  type: ChangeType;
  risk: Risk;
  /** Windows that were overridden for this change, each until when. */
  overridden?: { window: number; until: number }[];
}
export interface WindowStatus {
  open: boolean;
  /** In plain words. */
  reason: string;
  /** Names of the windows that make it so. */
  windows: string[];
  /** When it is open next, at or after the instant; null: not within a year. */
  nextOpen: number | null;
  /** When it is closed next, after the instant; null: not within a year. Null while it is closed. */
  nextClose: number | null;
}
export interface WindowSchedule {
  windows: readonly DeploymentWindow[];
  /** Rises with every change of a window or an override. */
  revision: number;
  status(subject: Subject, at: number): WindowStatus;
  /** What covers some of [from, to): each occurrence, in order. */
  occurrences(from: number, to: number): { window: DeploymentWindow; start: number; end: number }[];
}

const yearMs = 366 * 86_400_000;

/** @param known compiled windows of an earlier revision, by `keyOf`; they are used again. */
export function scheduleOf(
  windows: readonly DeploymentWindow[],
  revision: number,
  known: Map<string, Compiled> = new Map(),
): WindowSchedule {
  const compiled = windows.map((window) => {
    const key = JSON.stringify(window);
    const made = known.get(key) ?? compile(window);
    known.set(key, made);
    return made;
  });
  return {
    windows,
    revision,
    status: (subject, at) => statusOf(compiled, subject, at),
    occurrences(from, to) {
      const found = compiled.flatMap((c) => {
        const length = c.window.durationMinutes * 60_000;
        return c
          .starts(from - length, to)
          .filter((start) => start < to && start + length > from)
          .map((start) => ({ window: c.window, start, end: start + length }));
      });
      return found.sort((a, b) => a.start - b.start || a.window.id - b.window.id);
    },
  };
}

function statusOf(all: Compiled[], subject: Subject, at: number): WindowStatus {
  const covering = all.filter(({ window: { scope } }) =>
    scope.target
      ? scope.target === subject.target
      : !scope.environment || scope.environment === subject.environment,
  );
  const fits = ({ window: w }: Compiled) =>
    (!w.changeTypes || w.changeTypes.includes(subject.type)) && (!w.risks || w.risks.includes(subject.risk));
  const freezes = covering.filter((c) => c.window.kind === 'freeze' && fits(c));
  const allows = covering.filter((c) => c.window.kind === 'allow');
  const fitting = allows.filter(fits);
  const horizon = at + yearMs;
  const overriddenUntil = (c: Compiled) =>
    Math.max(0, ...(subject.overridden ?? []).filter((o) => o.window === c.window.id).map((o) => o.until));
  const passed = (c: Compiled, t: number) => t < overriddenUntil(c);
  const freezing = (t: number) => freezes.filter((c) => c.coveredUntil(t) !== undefined && !passed(c, t));
  // An allow window that was overridden is one whose outside does not count.
  const lifted = (t: number) => allows.filter((c) => passed(c, t));
  const allowing = (t: number) => fitting.filter((c) => c.coveredUntil(t) !== undefined);
  const until = (c: Compiled, t: number) => c.coveredUntil(t)!;
  const inWords = (c: Compiled, t: number) =>
    `"${c.window.name}" until ${shown(until(c, t), c.window.timeZone)}${c.window.reason ? ` (${c.window.reason})` : ''}`;
  const names = (some: Compiled[]) => some.map((c) => c.window.name);

  const frozen = freezing(at);
  const inside = allowing(at);
  const stepped = lifted(at);
  const isOpen = frozen.length === 0 && (allows.length === 0 || inside.length > 0 || stepped.length > 0);
  if (subject.type === 'emergency')
    return {
      open: true,
      reason:
        frozen.length > 0
          ? `An emergency change passes the freeze ${frozen.map((c) => inWords(c, at)).join(', ')}`
          : isOpen
            ? 'No window stands in the way'
            : `An emergency change passes, outside of ${quoted(names(allows))}`,
      windows: frozen.length > 0 ? names(frozen) : isOpen ? names(inside) : names(allows),
      nextOpen: at,
      nextClose: null,
    };

  if (isOpen) {
    const overridden = [
      ...freezes.filter((c) => passed(c, at) && c.coveredUntil(at) !== undefined),
      ...stepped,
    ];
    return {
      open: true,
      reason:
        overridden.length > 0
          ? `${quoted(names(overridden))} ${overridden.length > 1 ? 'are' : 'is'} overridden for this change`
          : inside.length > 0
            ? `Inside ${inside.map((c) => inWords(c, at)).join(', ')}`
            : `No deployment window restricts ${subject.target}`,
      windows: names(overridden.length > 0 ? overridden : inside),
      nextOpen: at,
      nextClose: closeAfter(at),
    };
  }
  const nextOpen = openAfter(at);
  return {
    open: false,
    reason:
      frozen.length > 0
        ? `Freeze ${frozen.map((c) => inWords(c, at)).join(', ')}`
        : fitting.length > 0
          ? `Outside of ${quoted(names(fitting))}`
          : `${quoted(names(allows))} ${allows.length > 1 ? 'are' : 'is'} not for a ${subject.type} change of ${subject.risk} risk`,
    windows: names(frozen.length > 0 ? frozen : allows),
    nextOpen,
    nextClose: null,
  };

  function openAfter(from: number): number | null {
    for (let t = from; t <= horizon;) {
      const stops = freezing(t).map((c) => until(c, t));
      if (stops.length > 0) t = Math.max(...stops);
      else if (allows.length > 0 && allowing(t).length === 0 && lifted(t).length === 0) {
        const next = earliest(fitting.map((c) => c.nextStart(t, horizon)));
        if (next === undefined) return null;
        t = next;
      } else return t;
    }
    return null;
  }

  function closeAfter(from: number): number | null {
    const frozenAt = earliest(
      freezes.map((c) => {
        const lapse = overriddenUntil(c);
        if (lapse <= from) return c.nextStart(from, horizon);
        return c.coveredUntil(lapse) === undefined ? c.nextStart(lapse, horizon) : lapse;
      }),
    );
    const stop = frozenAt ?? horizon + 1;
    let end = from;
    while (allows.length > 0 && end < stop) {
      const ends = [...allowing(end).map((c) => until(c, end)), ...lifted(end).map(overriddenUntil)];
      if (ends.length === 0) return end <= horizon ? end : null;
      end = Math.max(...ends);
    }
    return frozenAt ?? null;
  }
}

const earliest = (times: (number | undefined)[]): number | undefined => {
  let found: number | undefined;
  for (const time of times) if (time !== undefined && (found === undefined || time < found)) found = time;
  return found;
};
const quoted = (names: string[]) => names.map((name) => `"${name}"`).join(', ');
