import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../domain/errors';
import { ApiProblem, Unreachable, type Client } from './client';

/** Asks until there is an answer. */
export type Patiently = <T>(ask: () => Promise<T>) => Promise<T>;

/**
 * For commands that wait for an end: what is away, or asks for fewer requests, is waited for, and said once until it
 * answers again. A Signalbox that never answered is not: its address may be wrong. A write is asked under one
 * Idempotency-Key by its caller, and not for long: what somebody wanted then is not what they want hours later.
 * @param withinMs by the calendar's clock, which goes on while a computer sleeps; left out: as long as it takes.
 */
export function patience(
  client: Pick<Client, 'hasAnswered'>,
  say: (line: string) => void,
  withinMs = Number.POSITIVE_INFINITY,
): Patiently {
  const said = new Set<string>();
  return async (ask) => {
    const began = clock();
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
        if (clock() - began > withinMs) throw new GivenUp(thrown);
      }
    }
  };
}

const clock = () => new Date().getTime();

/** A write that was not answered in time, and is not sent again. */
class GivenUp extends Error {
  constructor(cause: unknown) {
    super(
      `${messageOf(cause)} It is not known whether your request was taken, and it is not sent again: look, and repeat it when you still want it.`,
      { cause },
    );
  }
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
