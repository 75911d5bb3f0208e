import { ActivityFailure, proxyActivities, TemporalFailure, TimeoutFailure } from '@temporalio/workflow';
import type { Ended, Plan, Seen } from '../activities/lifecycle';
import type { Activities } from '../activities';
import type { Traces } from '../activities/traces';
import type { OnHost } from '../activities/runner';
import type { RunnerActivities } from '../activities/runner';
import { sentences } from '../domain/sentences';
import { runnerQueue, targetQueue } from '../temporal-config/names';
import { record, retry } from './activities';
import type { DeploymentOutcome } from './messages';

/**
 * Where a deployment's steps are done: by the workers, or by a runner on the target's own host. Whichever runner of the
 * target is there takes a deployment and keeps it, because what it built and backed up lies there. A step that it does not
 * take up in time fails; undoing then goes to whichever runner is there.
 */
export type Place = NonNullable<Plan['place']>;

/**
 * Finds a runner, if the target has any.
 * @param patient waits for one for as long as it takes.
 */
export async function claimed(plan: Plan, patient = false): Promise<Place | undefined> {
  if (!plan.runner) return undefined;
  const { lostAfterMs } = plan.runner;
  const runner = await proxyActivities<RunnerActivities>({
    taskQueue: targetQueue(plan.target),
    summary: `Find a runner of ${plan.target}`,
    startToCloseTimeout: '2 minutes',
    retry,
    // One that is there but can not take it, because the API refuses it say, is not waited for without an end either.
    ...(patient
      ? {}
      : { scheduleToStartTimeout: lostAfterMs, scheduleToCloseTimeout: lostAfterMs + 300_000 }),
  }).claimRunner({ deployment: plan.deployment, key: plan.key });
  return { taskQueue: runnerQueue(plan.target, runner.id), scheduleToStartTimeout: lostAfterMs };
}

/** Whether a runner was waited for in vain. */
export const isLost = (thrown: unknown): boolean =>
  thrown instanceof ActivityFailure &&
  thrown.cause instanceof TimeoutFailure &&
  thrown.cause.timeoutType === 'SCHEDULE_TO_START';

/** What is live, as a runner on the target's host sees it; undefined where the workers see it themselves. */
export async function observed(plan: Plan): Promise<Seen | undefined> {
  const place = await claimed(plan);
  if (!place) return undefined;
  const seen = await proxyActivities<RunnerActivities>({
    ...place,
    summary: `Look what ${plan.target} runs`,
    startToCloseTimeout: '2 minutes',
    // Somebody waits for it; what cannot be seen now is refused now.
    scheduleToCloseTimeout: '2 minutes',
    retry: { ...retry, maximumAttempts: 3 },
  }).observe({ target: plan.target, deployment: plan.deployment });
  // A runner of the version before says it by its digest alone.
  return typeof seen === 'string' || seen === null ? { release: seen } : { live: seen };
}

/** Why a target could not say what it runs, with what to do; undefined when something else failed. */
export function whyNotObserved(plan: Plan, thrown: unknown): string | undefined {
  const instead = 'Nothing was accepted. Repair that and accept again, or undo again.';
  if (isLost(thrown)) return `No runner of ${plan.target} is there to say what it runs. ${instead}`;
  if (!(thrown instanceof ActivityFailure)) return undefined;
  const { activityType, cause } = thrown;
  if (activityType !== 'observe' && activityType !== 'claimRunner') return undefined;
  return sentences(`${plan.target} could not be asked what it runs: ${cause?.message}`, instead);
}

/** What the target shows of an attempt, on whichever host it is; when no runner is there to look, it says so. */
export async function tracesOf(plan: Plan, origin: string): Promise<Traces> {
  try {
    plan.place = await claimed(plan);
    return await proxyActivities<Activities>({
      ...plan.place,
      // A runner of the previous version cannot look, and nothing waits until there is another.
      ...(plan.place ? { scheduleToCloseTimeout: '25 minutes' } : {}),
      retry: { ...retry, nonRetryableErrorTypes: plan.place ? ['NotFoundError'] : [] },
      summary: `Look what ${plan.target} shows of ${plan.key}`,
      startToCloseTimeout: '11 minutes',
      heartbeatTimeout: '10 seconds',
    }).tracesOf({ target: plan.target, deployment: plan.deployment, key: plan.key, origin });
  } catch (thrown) {
    if (!(thrown instanceof TemporalFailure)) throw thrown;
    plan.place = undefined;
    return { acts: [], unseen: `No runner of ${plan.target} is there that can look at it.` };
  }
}

/** Records the end, and has the runner tidy up if one did the steps; that is never worth the outcome. */
export async function recordEnd(
  plan: Plan,
  to: 'succeeded' | 'rolled-back' | 'cancelled',
  text: string,
): Promise<DeploymentOutcome> {
  return tidied(plan, await record.recordEnd(plan, to, text));
}
export async function tidied(plan: Plan, { left, ...outcome }: Ended): Promise<DeploymentOutcome> {
  if (left && plan.place) await tidy(left, plan.place);
  return outcome;
}

async function tidy(left: OnHost, { taskQueue }: Place): Promise<void> {
  try {
    const removed = await proxyActivities<RunnerActivities>({
      taskQueue,
      summary: 'Remove what the deployment left on the host, and old releases and backups',
      scheduleToStartTimeout: '30 seconds',
      startToCloseTimeout: '10 minutes',
      retry: { maximumAttempts: 1 },
    }).tidy(left);
    if (removed.length > 0) await record.backupsRemoved(removed);
  } catch (thrown) {
    if (!(thrown instanceof TemporalFailure)) throw thrown;
  }
}
