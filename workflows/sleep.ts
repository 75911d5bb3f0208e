import { CancellationScope, condition, sleep } from '@temporalio/workflow';

/** A worker whose clock is behind the server's may say that the time has not come yet; it is asked again after this. */
const overdueMs = 200;

/**
 * Waits until a time, or until it is woken; the durable timer says in the Temporal UI what is waited for.
 * @param at milliseconds since 1970. @throws when the scope around it is cancelled.
 */
export async function sleepUntil(at: number, summary: string, woken: () => boolean): Promise<void> {
  const both = new CancellationScope();
  try {
    const left = at - Date.now();
    await both.run(() => Promise.race([sleep(left > 0 ? left : overdueMs, { summary }), condition(woken)]));
  } finally {
    // Whichever of them still waits is not waited for any more.
    both.cancel();
  }
}

/** A time as a person reads it. */
export const utc = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
