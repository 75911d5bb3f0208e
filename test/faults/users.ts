import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeploymentView } from '../../domain/schemas';
import { patienceMs, until } from '../helpers/until';

/**
 * The people of a stack, over HTTP as they are: whoever gets no answer asks again with the same Idempotency-Key,
 * until there is one.
 */
export interface Users {
  /** Ships and approves a revision. @returns the promotion's key. */
  approved(revision: string, target?: string): Promise<string>;
  /** Deploy Now. @returns the attempt's key. */
  deploy(promotion: string): Promise<string>;
  /** Waits until an attempt has ended. @throws with how it stands when it takes too long. */
  ended(attempt: string, withinMs?: number): Promise<DeploymentView>;
  /** One request as one person. @throws Refused for a 4xx that repeating does not change. */
  ask<T>(person: string, method: string, path: string, body?: object): Promise<T>;
}

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly body: string,
  ) {
    super(`${status}: ${body}`);
  }
}

/** Whoever gets no answer for so long asks again. */
const answerMs = 20_000;

/** I9: within this a deployment has ended. Its own limits end it far sooner; this is for hangs. */
export const boundMs = 2 * patienceMs;

export function createUsers(api: () => string, tokens: Record<string, string>): Users {
  async function ask<T>(person: string, method: string, path: string, body?: object): Promise<T> {
    const deadline = Date.now() + patienceMs;
    const key = randomUUID();
    for (;;) {
      try {
        const answer = await fetch(`${api()}api${path}`, {
          method,
          headers: {
            authorization: `Bearer ${tokens[person]}`,
            ...(body ? { 'content-type': 'application/json', 'idempotency-key': key } : {}),
          },
          body: body && JSON.stringify(body),
          signal: AbortSignal.timeout(answerMs),
        });
        const text = await answer.text();
        const seconds = Number(answer.headers.get('retry-after'));
        if (answer.ok && seconds === 0) return JSON.parse(text) as T;
        if (!answer.ok && answer.status < 500 && answer.status !== 429)
          throw new Refused(answer.status, text);
        throw new Error(`${answer.status}: ${text}`);
      } catch (thrown) {
        if (thrown instanceof Refused) throw thrown;
        if (Date.now() > deadline)
          throw new Error(`no answer to ${method} ${path}: ${String(thrown)}`, { cause: thrown });
        await sleep(100);
      }
    }
  }
  const read = (attempt: string) => ask<DeploymentView>('carla', 'GET', `/deployments/${attempt}`);
  const over = ['succeeded', 'rolled-back', 'rollback-failed', 'refused', 'cancelled', 'superseded'];
  return {
    ask,
    async approved(revision, target = 'shop') {
      const { key } = await ask<{ key: string }>('carla', 'POST', '/promotions', {
        target,
        revision,
        title: revision,
        change: { type: 'normal' },
        submit: true,
      });
      const request = `/change-requests/${key.replace('CP', 'RFC')}`;
      // Accepted is not yet recorded, when a worker is busy.
      const recorded = (wanted: string) =>
        until(`${key} to be ${wanted}`, async () => {
          const { status } = await ask<{ status: string }>('carla', 'GET', request);
          return status === wanted;
        });
      await recorded('submitted');
      await ask('amir', 'POST', `${request}/decisions`, { decision: 'approve' });
      await recorded('approved');
      return key;
    },
    async deploy(promotion) {
      const { key } = await ask<{ key: string }>('rosa', 'POST', `/promotions/${promotion}/deploy`, {
        when: 'now',
      });
      return key;
    },
    async ended(attempt, withinMs = boundMs) {
      const deadline = Date.now() + withinMs;
      for (;;) {
        const now = await read(attempt).catch((thrown: unknown) => {
          // Accepted, but not admitted yet.
          if (thrown instanceof Refused && thrown.status === 404) return undefined;
          throw thrown;
        });
        if (now && over.includes(now.status)) return now;
        if (Date.now() > deadline)
          throw new Error(
            `${attempt} has not ended after ${withinMs / 1000} s: ${now?.status}, ${now?.waitingFor ?? now?.steps.map(({ name, status }) => `${name} ${status}`).join(', ')}`,
          );
        await sleep(50);
      }
    },
  };
}
