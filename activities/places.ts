import { FaultError } from './causes';

/**
 * A worker does a limited number of steps at once, and whoever has a slot keeps it: with a build in each of them an undo
 * would wait for the longest. Steps that go forward therefore share a part of the slots, and try again when it is full;
 * the rest is for undos and health checks. One queue serves them all, because a runner and a worker of the previous version
 * know no other. Undos go first in it (their priority), which by itself would move no build out of its slot.
 */
export const defaultSlots = 100;

/** What a step asks of the record, and what people say to it, waits behind no step: these are slots beyond. */
const recordSlots = 100;
/** How many activities a worker takes that does so many steps at once. */
export const slotsOf = (slots = defaultSlots): number => slots + recordSlots;

/** Of the slots of a worker, how many may be taken before such a step begins. A swap does not wait behind builds either. */
const shareOf: Partial<Record<string, number>> = { build: 0.6, backup: 0.6, migrate: 0.6, swap: 0.8 };

export interface Places {
  /** @returns what gives the place back. @throws FaultError when there is none for this step. */
  take(step: string): () => void;
}

export function createPlaces(slots = defaultSlots): Places {
  const taken = new Map<string, number>();
  const add = (step: string, count: number) => void taken.set(step, (taken.get(step) ?? 0) + count);
  return {
    take(step) {
      const share = shareOf[step];
      if (share === undefined) return () => undefined;
      const most = Math.max(1, Math.min(Math.floor(slots * share), slots - 1));
      const counts = [...taken].filter(([, count]) => count > 0);
      if (counts.reduce((sum, [, count]) => sum + count, 0) >= most)
        throw new FaultError(
          'no-place',
          `It waits for a place: ${counts.map(([name, count]) => `${count} of ${name}`).join(', ')} run on this worker, which does ${slots} steps at once`,
        );
      add(step, 1);
      return () => add(step, -1);
    },
  };
}
