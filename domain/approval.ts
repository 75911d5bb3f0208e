import type { Refusal } from './admission';
import { personKey, samePerson } from './person';

/**
 * The approval chain: levels in order, each with seats. One person fills one seat of the whole chain. Who sits where is
 * not fixed when they approve but found anew each time, as a maximum matching: somebody of several groups never stands
 * in the way of somebody of one, whichever of them came first.
 */
export interface Level {
  name: string;
  groups: readonly string[];
  /** How many different people. */
  quorum: number;
  /** Groups of which one of them has to be. */
  mandatory: readonly string[];
}
/** An approval that counts, with the groups its giver was in at that moment. */
export interface Approval {
  approver: string;
  groups: readonly string[];
}
export interface Seat {
  /** Groups of which one is needed. */
  groups: readonly string[];
  filledBy: string | null;
}
export interface LevelState {
  name: string;
  seats: Seat[];
  /** In plain words, what is missing; empty when it is complete. */
  missing: string[];
}
export interface ChainState {
  levels: LevelState[];
  complete: boolean;
  /** Index of the first level that is not complete; null when all are. */
  current: number | null;
}

/** Everybody who may decide is in this group. */
export const everyApprover = 'approvers';
export const defaultChain: readonly Level[] = [
  { name: 'approval', groups: [everyApprover], quorum: 1, mandatory: [] },
];

/** Who fills which seat. Seats are filled in the chain's order; a filled one is only ever handed on, never emptied. */
export function assess(chain: readonly Level[], approvals: readonly Approval[]): ChainState {
  const seats = chain.flatMap((level, at) =>
    Array.from({ length: level.quorum }, (_, n) => ({
      level: at,
      groups: n < level.mandatory.length ? [level.mandatory[n]!] : level.groups,
    })),
  );
  const people = [...new Map(approvals.map((a) => [personKey(a.approver), a])).values()];
  const seatOf = new Map<string, number>();
  const seated = (seat: number, tried: Set<string>): boolean => {
    for (const { approver, groups } of people) {
      if (tried.has(approver) || !seats[seat]!.groups.some((group) => groups.includes(group))) continue;
      tried.add(approver);
      const other = seatOf.get(approver);
      if (other !== undefined && !seated(other, tried)) continue;
      seatOf.set(approver, seat);
      return true;
    }
    return false;
  };
  seats.forEach((_, seat) => seated(seat, new Set()));
  const filledBy = new Map([...seatOf].map(([approver, seat]) => [seat, approver]));
  const levels = chain.map((level, at) => {
    const own = seats.flatMap((seat, n) =>
      seat.level === at ? [{ groups: seat.groups, filledBy: filledBy.get(n) ?? null }] : [],
    );
    const missing = own
      .filter((seat) => seat.filledBy === null)
      .map(({ groups }) => `one of ${groups.join(' or ')}`);
    return { name: level.name, seats: own, missing };
  });
  const first = levels.findIndex(({ missing }) => missing.length > 0);
  return { levels, complete: first < 0, current: first < 0 ? null : first };
}

/** Why an approval by this person would fill no seat now; undefined when it would. @param key the request's, for messages. */
export function whyNoSeat(
  key: string,
  chain: readonly Level[],
  approvals: readonly Approval[],
  candidate: Approval,
): Refusal | undefined {
  const { approver, groups } = candidate;
  if (approvals.some((given) => samePerson(given.approver, approver)))
    return {
      code: 'already-approved',
      message: `${approver} has approved ${key} already; one person fills one seat. Somebody else has to fill the next.`,
    };
  const before = assess(chain, approvals);
  const mine = (level: Level) =>
    [...level.groups, ...level.mandatory].some((group) => groups.includes(group));
  if (before.current === null)
    return { code: 'already-approved', message: `${key} has every approval that it needs.` };
  const filled = (state: ChainState) =>
    state.levels
      .slice(0, before.current! + 1)
      .flatMap(({ seats }) => seats.filter((s) => s.filledBy !== null)).length;
  if (filled(assess(chain, [...approvals, candidate])) > filled(before)) return undefined;
  const { name, missing } = before.levels[before.current]!;
  const needs = `Level "${name}" needs ${missing.join(' and ')}`;
  if (!chain.some(mine))
    return {
      code: 'not-eligible',
      message: `${approver} is in none of the groups that decide on ${key}. ${needs}.`,
    };
  return chain.slice(before.current + 1).some(mine)
    ? { code: 'not-your-turn', message: `${needs} first; ${approver} comes after that.` }
    : {
        code: 'seat-taken',
        message: `The seats that ${approver} could fill on ${key} are filled. ${needs}.`,
      };
}

/** Whether this person may reject: whoever could approve at some level. */
export const mayReject = (chain: readonly Level[], groups: readonly string[]): boolean =>
  chain.some((level) => [...level.groups, ...level.mandatory].some((group) => groups.includes(group)));
