import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Journal } from '../db/journal';
import type { OnHost } from '../db/left';
import { messageOf } from '../domain/errors';
import type { HelloBody } from '../domain/runner';

/** The record as a runner reaches it: through the API, over one outgoing connection, with a token for its target alone. */
export interface Remote {
  journal: Journal;
  hello(about: HelloBody): Promise<void>;
  /** @returns false when the attempt is not this workflow's any more. */
  claim(deployment: number, owner: string, runner: string): Promise<boolean>;
  /** What an ended attempt of this workflow left on its host; undefined when the record knows of nothing. */
  left(key: string, owner: string): Promise<OnHost | undefined>;
}
const answerMs = 30_000;
/** An API that is started anew is waited for; then it is a fault, and the step is tried again. */
const patienceMs = 60_000;
const againMs = 500;

/** @param api address of the API, such as `https://signalbox.example.com/api`. */
export function createRemote(options: { api: string; token: string; target: string }): Remote {
  const base = `${options.api}/runners/${options.target}`;

  /** @param once it has a key of its own, so that it is not done twice when its answer is lost. */
  async function call<T>(what: string, body: object, once = false, patience = patienceMs): Promise<T> {
    const deadline = performance.now() + patience;
    const key: Record<string, string> = once ? { 'idempotency-key': randomUUID() } : {};
    for (;;) {
      const answer = await fetch(`${base}/${what}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${options.token}`,
          'content-type': 'application/json',
          ...key,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(answerMs),
      }).catch((thrown: unknown) => thrown as Error);
      if (answer instanceof Response) {
        const found = (await answer.json().catch(() => ({}))) as { value: T; detail?: string };
        if (answer.ok) return found.value;
        if (answer.status < 500 && answer.status !== 429)
          throw new Error(`The API refused ${what} of this runner: ${found.detail ?? answer.status}`);
      }
      if (performance.now() > deadline)
        throw new Error(
          `The API at ${options.api} does not answer: ${answer instanceof Error ? answer.message : answer.status}`,
        );
      await sleep(againMs);
    }
  }

  return {
    journal: {
      begin: async (t, recipe) => (await call('begin', { try: t, recipe })) ?? undefined,
      fence: async (t, held) => (await call('fence', { try: t, held })) ?? undefined,
      permit: async (t, what, recipe, acts) =>
        (await call('permit', { try: t, what, recipe, acts })) ?? undefined,
      // An API of the previous version refuses it; then it stands as begun.
      notBegun: (t) => call('not-begun', { try: t }),
      observed: async (t, when, live) => (await call('observed', { try: t, when, live })) ?? undefined,
      trouble: async (t, met) => (await call('trouble', { try: t, met })) ?? undefined,
      // An API of the previous version refuses it; what was seen then does not count.
      sighted: (seen) => call('sighted', seen),
      overcame: (t, kept) => call('overcame', { try: t, kept }),
      append: (t, lines) => call('lines', { try: t, lines }, true),
      finish: (t, to, detail, made) =>
        call('finish', { try: t, to, detail, ...(made ? { made } : {}) }, true),
    },
    async hello({ sandbox, ...about }) {
      await call('hello', { ...about, sandbox }, false, 0).catch((thrown: unknown) => {
        // An API of the previous version does not know what a host keeps builds in.
        if (!messageOf(thrown).includes('unknown "sandbox"')) throw thrown;
        return call('hello', about, false, 0);
      });
    },
    claim: (deployment, owner, runner) => call('claim', { deployment, owner, runner }),
    left: async (key, owner) => (await call('left', { key, owner })) ?? undefined,
  };
}
