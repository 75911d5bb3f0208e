import type { ChangeType, Risk } from '../machines';
import { compile, minuteMs, shown, type Compiled, type DeploymentWindow } from './window';

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
  /** What covers some of [from, to): each occurrence, in order. @param most when there are more, that is all that counts. */
  occurrences(
    from: number,
    to: number,
    most?: number,
  ): { window: DeploymentWindow; start: number; end: number }[];
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
    occurrences(from, to, most = Number.POSITIVE_INFINITY) {
      const found: { window: DeploymentWindow; start: number; end: number }[] = [];
      for (const { window, starts } of compiled) {
        const length = window.durationMinutes * minuteMs;
        for (const start of starts(from - length, to))
          if (start < to && start + length > from) found.push({ window, start, end: start + length });
        if (found.length > most) break;
      }
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
      nextClose: after(at, false),
    };
  }
  return {
    open: false,
    reason:
      frozen.length > 0
        ? `Freeze ${frozen.map((c) => inWords(c, at)).join(', ')}`
        : fitting.length > 0
          ? `Outside of ${quoted(names(fitting))}`
          : `${quoted(names(allows))} ${allows.length > 1 ? 'are' : 'is'} not for a ${subject.type} change of ${subject.risk} risk`,
    windows: names(frozen.length > 0 ? frozen : allows),
    nextOpen: after(at, true),
    nextClose: null,
  };

  function after(from: number, open: boolean): number | null {
    const effective = [
      ...freezes.map((c) => ({ c, freezes: true, from: overriddenUntil(c) })),
      ...fitting.map((c) => ({ c, freezes: false, from: 0 })),
    ];
    const lifts = allows.map(overriddenUntil).filter((end) => end > from);
    let looked = 0;
    for (let begin = from; begin <= horizon && looked <= mostChanges; begin += chunkMs) {
      const end = Math.min(begin + chunkMs, horizon + 1);
      const changes: Change[] = [{ at: begin, frozen: 0, allowed: allows.length === 0 ? 1 : 0 }];
      const cover = (start: number, stop: number, frozen: number, allowed: number) => {
        if (start >= stop || start >= end || stop <= begin) return;
        changes.push({ at: Math.max(start, begin), frozen, allowed });
        if (stop < end) changes.push({ at: stop, frozen: -frozen, allowed: -allowed });
      };
      for (const stop of lifts) cover(begin, stop, 0, 1);
      for (const { c, freezes: freeze, from: since } of effective) {
        const [frozen, allowed] = freeze ? [1, 0] : [0, 1];
        const length = c.window.durationMinutes * minuteMs;
        // All last equally long: of what began before, the one that ends last decides.
        cover(Math.max(begin, since), c.coveredUntil(begin) ?? begin, frozen, allowed);
        for (const start of c.starts(begin, end))
          if (start > begin && start < end) cover(Math.max(start, since), start + length, frozen, allowed);
      }
      const found = firstThat(open, changes);
      if (found !== undefined) return found;
      looked += changes.length;
    }
    return null;
  }
}

/** By how much the number of freezes and of allow windows that cover an instant changes there. */
interface Change {
  at: number;
  frozen: number;
  allowed: number;
}
/** So far is looked at once, and on in as long parts. */
const chunkMs = 31 * 86_400_000;
/** Then the rest of the year is not looked through: it would take seconds, in which nobody is answered. */
const mostChanges = 100_000;

function firstThat(open: boolean, changes: Change[]): number | undefined {
  changes.sort((a, b) => a.at - b.at);
  let frozen = 0;
  let allowed = 0;
  for (const [n, change] of changes.entries()) {
    frozen += change.frozen;
    allowed += change.allowed;
    // All that happens at one instant happens together.
    if (changes[n + 1]?.at === change.at) continue;
    if ((frozen === 0 && allowed > 0) === open) return change.at;
  }
  return undefined;
}

const quoted = (names: string[]) => names.map((name) => `"${name}"`).join(', ');
