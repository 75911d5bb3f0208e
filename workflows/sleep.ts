import { CancellationScope, condition, sleep } from '@temporalio/workflow';
import { stamp } from '../domain/windows/stamp';

/** A timer that fired before its time, by the clock that judges it, is set again for this, and longer each time. */
const earlyMs = 1_000;
const longestEarlyMs = 60_000;

/** Waits until a time, or until it is woken; the durable timer says in the Temporal UI what is waited for. */
export type SleepUntil = (
  /** Milliseconds since 1970. */
  at: number,
  summary: string,
  woken: () => boolean,
  /** How many ms that is from now by the database's clock; histories of the previous version do not say. */
  left?: number,
) => Promise<void>;

/**
 * For one waiter, who asks the record again after each sleep. A timer whose time has come by Temporal's clock and not by
 * the database's would be asked for again at once, until the clocks agree: it waits a second, then two, up to a minute.
 */
export function createSleep(): SleepUntil {
  let before: number | undefined;
  let early = 0;
  return async (at, summary, woken, left = at - Date.now()) => {
    early = at === before ? early + 1 : 0;
    before = at;
    const again = early === 0 ? 0 : Math.min(earlyMs * 2 ** (early - 1), longestEarlyMs);
    const ms = Math.ceil(Math.max(left > 0 ? left : earlyMs, again));
    const both = new CancellationScope();
    try {
      await both.run(() => Promise.race([sleep(ms, { summary }), condition(woken)]));
      // It was not the timer that woke it.
      if (woken()) before = undefined;
    } finally {
      // Whichever of them still waits is not waited for any more.
      both.cancel();
    }
  };
}

/** A time as a person reads it. */
export const utc = (at: number): string => `${stamp(at)} UTC`;
