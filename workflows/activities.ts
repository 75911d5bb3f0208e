import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  patched,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { Activities, Steps } from '../activities';
import type { Plan } from '../activities/lifecycle';
import { stepRetry } from '../domain/retries';
import { recordSummaries } from '../domain/record-acts';

/**
 * How activities are called. What acts on a target, or writes Signalbox's own record, heartbeats; the former is waited for
 * when it is cancelled: its undo must not start while it still acts. Each has a summary, which the Temporal UI shows with
 * its event.
 */
const heartbeatTimeout = '10 seconds';
const recordOptions = {
  startToCloseTimeout: '30 seconds',
  // Without an end: a record that cannot be written now is written when the database is back.
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '15 seconds' },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} as const;
type Acts = Pick<ReturnType<typeof proxyActivities<Activities>>, keyof typeof recordSummaries>;
type ActName = keyof Acts;

type Act = (...input: unknown[]) => Promise<unknown>;

function inQueue(name: ActName): Act {
  const act = proxyActivities<Activities>({
    ...recordOptions,
    heartbeatTimeout,
    // A record is a moment's work, which a step may wait for. It has a slot in any case: activities/places.ts.
    priority: { priorityKey: 1 },
    summary: recordSummaries[name],
  })[name] as Act;
  // Where a workflow ends with it, the reason stands first, not that an activity failed.
  return (...input) =>
    act(...input).catch((thrown: unknown) => {
      throw thrown instanceof ActivityFailure && thrown.cause instanceof ApplicationFailure
        ? thrown.cause
        : thrown;
    });
}
const inTask = (name: ActName) =>
  proxyLocalActivities<Activities>({
    ...recordOptions,
    // Longer pauses are timers of the workflow. Temporal's core tries a pause that it keeps to itself again and again also
    // while its worker stops, which then never ends; and a timer leaves the worker free while it waits.
    localRetryThreshold: '150 milliseconds',
    summary: recordSummaries[name],
  })[name] as Act;

/** Acts of change requests, which a version before had taken out of their tasks, also in runs that had begun before it. */
const ofRequests: readonly ActName[] = [
  'changeRequestStatus',
  'decide',
  'decideTogether',
  'changeRequestDue',
  'followed',
];
/**
 * Whether this run began with a version none of whose acts are local ones. Its first act decides that, for all of the run (a
 * module's variables are those of one run), so that older and newer workers may share what an older one began.
 */
let begunOutsideOfTasks: boolean | undefined;
const outsideOfTasks = (name: ActName): boolean =>
  ofRequests.includes(name)
    ? patched('no-task-lasts')
    : (begunOutsideOfTasks ??= patched('acts-outside-of-tasks'));

/**
 * Transactions on Signalbox's own record. A local activity keeps its workflow's task open. Temporal fails or ends a task beside
 * which more than a hundred signals have come, or whose worker's host was suspended for longer than ten seconds, and hands
 * out another. The worker then goes on with that one as if nothing had happened, and its history has what it did behind the
 * signals that came meanwhile: replayed, another activity comes first, and the workflow stands still for ever. So these are no
 * local ones: no task lasts while something is recorded. Only runs that a version began whose acts were local ones keep those.
 */
export const record = Object.fromEntries(
  (Object.keys(recordSummaries) as ActName[]).map((name) => {
    const [queued, local] = [inQueue(name), inTask(name)];
    return [name, (...input: unknown[]) => (outsideOfTasks(name) ? queued : local)(...input)];
  }),
) as unknown as Acts;

export const retry = stepRetry;

/**
 * Activities on one target.
 * @param place of the runner that took the deployment; left out: the workers.
 * @param limitMs how long one try may take; tries are bounded by time, not by number, because a worker that
 * was stopped may use up any number of them.
 */
export const onTarget = (summary: string, limitMs: number, place?: Plan['place']) =>
  proxyActivities<Steps & Pick<Activities, 'adoptLive'>>({
    summary,
    startToCloseTimeout: limitMs,
    scheduleToCloseTimeout: limitMs * 2 + 900_000,
    ...place,
    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });

/** Undo has neither an attempt cap nor an end: the saga's alarm timer decides when a person is asked. */
export const undoOnTarget = (summary: string, limitMs: number, place?: Plan['place']) =>
  proxyActivities<Steps>({
    summary,
    // Before whatever waits in the queue beside it. That moves nothing out of its slot: activities/places.ts.
    priority: { priorityKey: 1 },
    startToCloseTimeout: limitMs,
    ...place,
    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
