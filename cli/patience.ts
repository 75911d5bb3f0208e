import { setTimeout as sleep } from 'node:timers/promises';
import { ApiProblem, Unreachable, type Client } from './client';

/** Asks until there is an answer. */
export type Patiently = <T>(ask: () => Promise<T>) => Promise<T>;

/**
 * For commands that wait for an end: what is away, or asks for fewer requests, is waited for, and said once until it
 * answers again. A Signalbox that never answered is not: its address may be wrong. A write is asked under one
 * Idempotency-Key by its caller.
 */
export function patience(client: Pick<Client, 'hasAnswered'>, say: (line: string) => void): Patiently {
  const said = new Set<string>();
  return async (ask) => {
    for (;;) {
      try {
        const answer = await ask();
        said.clear();
        return answer;
      } catch (thrown) {
        const nextMs = passesIn(thrown);
        if (nextMs === undefined || !client.hasAnswered()) throw thrown;
        const { message } = thrown as Error;
        if (!said.has(message)) say(`  (${message} Waiting for it.)`);
        said.add(message);
        await sleep(nextMs);
      }
    }
  };
}

/** Milliseconds until it may be asked again; undefined for what waiting does not change. */
function passesIn(thrown: unknown): number | undefined {
  if (thrown instanceof Unreachable) return 1_000;
  if (!(thrown instanceof ApiProblem)) return undefined;
  const { status, problem, retryAfterMs } = thrown;
  // Its workflow ended: that is an answer. 502 and 504 are of a proxy before a Signalbox that starts.
  const passes = [429, 502, 503, 504].includes(status) && problem.code !== 'not-begun';
  return passes ? Math.min(retryAfterMs ?? 1_000, 60_000) : undefined;
}
