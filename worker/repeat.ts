import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';

/** Something that a worker does again and again beside its tasks. */
export interface Repeated {
  /** Lets a pass that runs come to its end. */
  stop(): Promise<void>;
}

/**
 * Does a pass every so often. One that fails is done again; what it was about waits, and it is said once, not each time.
 * @param failed what is said then.
 */
export function repeat(options: {
  everyMs: number;
  log: Logger;
  failed: string;
  pass(stopping: AbortSignal): Promise<void>;
}): Repeated {
  const { everyMs, log, failed, pass } = options;
  const stopping = new AbortController();
  const done = (async () => {
    let failing = false;
    while (!stopping.signal.aborted) {
      try {
        await pass(stopping.signal);
        failing = false;
      } catch (thrown) {
        if (!failing) log.warn({ err: thrown }, failed);
        failing = true;
      }
      await sleep(everyMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await done;
    },
  };
}
