import { setTimeout as sleep } from 'node:timers/promises';
import type { TargetConfig } from '../domain/config';
import { messageOf } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { inWords } from '../domain/observed';
import type { Version } from '../db/journal';
import { releaseOf } from './build';
import { scarcity, verdict } from './causes';
import { cancelled, type RunStep, type StepContext, type StepInput } from './step';
import { restored } from './undo';

/** Health-check: the new release answers for itself, so many times in a row, before the deadline. */
export const createHealthCheck =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('health-check', ['running'], input, async (context) => {
      // A database that went back may have lost it.
      releaseOf(context);
      // Rolling back by hand deploys what another promotion built; that one's commit and revision count. Of what was
      // adopted the record knows none.
      return { value: undefined, detail: await untilHealthy(context, context.attempt.version ?? {}) };
    });

/**
 * After an undo: what is live again is healthy too, matched to its own version where it has one.
 * @returns in plain words what the target runs now.
 */
export const createVerifyRollback =
  (runStep: RunStep) =>
  (input: StepInput): Promise<string> =>
    runStep('verify-rollback', ['rolling-back'], input, async (context) => {
      const { attempt, target } = context;
      const { live, untouched } = await restored(context);
      if (untouched)
        return {
          value: 'Nothing was touched.',
          detail: `${inWords(live)} was left as it was; there is nothing to check`,
        };
      if (live.kind === 'nothing')
        return {
          value: attempt.drifted
            ? 'Left as it is: somebody else took it out of service meanwhile, so the target has no release.'
            : 'Rolled back: this was the first deployment, so the target has no release, as before.',
          detail: `${target.name} has no release; there is nothing to check`,
        };
      const known: Partial<Version> = attempt.versionBefore ?? {};
      const unversioned = target.health.version !== 'none' && known[target.health.version] === undefined;
      const healthy = unversioned
        ? `healthy; it was checked without a version, because the record knows none of it`
        : 'healthy';
      const what =
        live.kind === 'release' ? 'the release from before' : `what was live before, ${inWords(live)},`;
      return {
        value: attempt.drifted
          ? `Left as it is: somebody else made ${inWords(live)} live meanwhile. It is ${healthy}.`
          : `Rolled back: ${what} is current again and ${healthy}.`,
        detail: await untilHealthy(context, known),
      };
    });

/** @param version what of it is known; what is not known is not asked for. */
async function untilHealthy(
  { step, target, note, signal }: StepContext,
  version: Partial<Version>,
): Promise<string> {
  const { health } = target;
  const expected = health.version === 'none' ? undefined : version[health.version];
  let deadline = performance.now() + health.deadlineSeconds * 1000;
  note(
    `health check: ${health.url} has to answer ${timesInARow(health.successes)}${expected ? ` as ${expected}` : ''}`,
  );
  let row = 0;
  let tries = 0;
  let last = '';
  // The last word is an answer's: who answered well when time was up is asked until the row is full, or broken.
  while (performance.now() < deadline || last === '') {
    if (signal.aborted) throw cancelled();
    const asked = performance.now();
    const wrong = await probe(health, expected, signal);
    if (signal.aborted) throw cancelled();
    tries += 1;
    await failpoint(`${step}/middle`);
    if (wrong !== last && wrong) note(`health check: ${wrong}`);
    last = wrong ?? '';
    row = wrong ? 0 : row + 1;
    if (row >= health.successes)
      return `healthy: ${inARow(row, tries)}${expected || health.version === 'none' ? '' : ', checked without a version'}`;
    await sleep(health.intervalMs, undefined, { signal }).catch(() => undefined);
    // While this worker stood still (a paused machine, a database that was away) nobody asked: that time says nothing
    // about the release.
    const stoodStill = performance.now() - asked - (health.requestTimeoutMs + health.intervalMs + slackMs);
    if (stoodStill > 0) deadline += stoodStill;
  }
  throw verdict(
    'Unhealthy',
    `Unhealthy: ${health.url} did not answer ${timesInARow(health.successes)} within ${health.deadlineSeconds} s. Last: ${last}.`,
  );
}

const timesInARow = (count: number) => (count === 1 ? 'once' : `${count} times in a row`);
const inARow = (row: number, tries: number) =>
  `${row === 1 ? '1 answer' : `${row} answers in a row`} after ${tries === 1 ? '1 try' : `${tries} tries`}`;

/** What a try may take beyond its own limits. */
const slackMs = 500;
const maxBody = 65_536;

/** Asks once. @returns what is wrong, or undefined when it is healthy. */
async function probe(
  health: TargetConfig['health'],
  expected: string | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const response = await fetch(health.url, {
      redirect: 'manual',
      headers: { 'cache-control': 'no-cache', connection: 'close' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(health.requestTimeoutMs)]),
    });
    const body = await read(response);
    if (response.status !== 200) return `status ${response.status}: ${body.slice(0, 200)}`;
    if (expected !== undefined && !names(body, expected))
      return `answered 200, but not as ${expected}: ${body.slice(0, 200)}`;
    return undefined;
  } catch (thrown) {
    // Nobody asked, because this host has no file or memory to spare: that says nothing about the release.
    if (scarcity(thrown)) throw thrown;
    if ((thrown as Error).name === 'TimeoutError') return `no answer within ${health.requestTimeoutMs} ms`;
    return messageOf(thrown);
  }
}

async function read(response: Response): Promise<string> {
  let body = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    body += decoder.decode(chunk as Uint8Array, { stream: true });
    if (body.length > maxBody) {
      await response.body?.cancel().catch(() => undefined);
      break;
    }
  }
  return body.trim();
}

/** Whether the text names this version as a whole word: `v1` is not named by `v10`. */
export function names(text: string, version: string): boolean {
  const escaped = version.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w.-])${escaped}(?![\\w-]|\\.\\w)`).test(text);
}
