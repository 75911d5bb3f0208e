import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { Activities, Steps } from '../activities';
import type { Plan } from '../activities/lifecycle';
import { stepRetry } from '../domain/retries';

/**
 * How activities are called. Short transactions on Signalbox's own record are local activities; what acts on a
 * target heartbeats, and is waited for when it is cancelled: its undo must not start while it still acts. Each has
 * a summary, which the Temporal UI shows with its event.
 */
const recordSummaries = {
  admit: 'Admit the attempt, or refuse it with the reason',
  acquireLane: "Take the target's lane, or learn the place in its queue",
  beginRollback: 'Record why it is rolled back',
  resumeRollback: 'Record that the rollback is tried again',
  rollbackFailed: 'Record that the rollback failed and an SRE has to decide',
  refuseWord: 'Record why an answer was refused',
  acceptRollback: 'Record what is current, as an SRE accepted it',
  holdForWindow: 'Look whether the window is open; record that it holds if not',
  recordEnd: 'Record the outcome, free the lane and wake who waits for it',
  backupsRemoved: 'Record which backups the runner removed',
  beginAdoption: 'Record that what is live is to be adopted, or why not',
  endAdoption: 'Record what was adopted, or why nothing was',
  takeOver: 'Take the attempt over from the workflow that was lost',
  amend: 'Take into the record what the target shows and the record has lost',
  heard: 'Verify what was said to this workflow; record it as refused if the API did not say it',
  submitChangeRequest: 'Record that the request is submitted',
  changeRequestStatus: 'Read how the request stands',
  decide: 'Verify a decision and record it, counted or refused',
  decideTogether: 'Verify decisions and record each, counted or refused',
  changeRequestDue: 'Do what is due: remind, escalate, expire',
  undeliverable: 'Put it on the list of the undeliverable',
  followed: 'Record that the request was followed to its end',
} as const satisfies Partial<Record<keyof Activities, string>>;

const localOptions = {
  startToCloseTimeout: '30 seconds',
  // Without an end: a record that cannot be written now is written when the database is back.
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '15 seconds' },
  // Longer pauses are timers of the workflow. Temporal's core tries a pause that it keeps to itself again and again also
  // while its worker stops, which then never ends; and a timer leaves the worker free while it waits.
  localRetryThreshold: '150 milliseconds',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} as const;

export const record = Object.fromEntries(
  Object.entries(recordSummaries).map(([name, summary]) => [
    name,
    proxyLocalActivities<Activities>({ ...localOptions, summary })[name as keyof Activities],
  ]),
) as Pick<ReturnType<typeof proxyLocalActivities<Activities>>, keyof typeof recordSummaries>;

const requestNames = [
  'changeRequestStatus',
  'decide',
  'decideTogether',
  'changeRequestDue',
  'followed',
] as const;
/**
 * The record's part in a change request, to which anybody may say any number of things at any time. A local activity keeps
 * the workflow's task open, and Temporal fails a task when more than a hundred signals have come beside it. The worker then
 * goes on with the next task as if nothing had happened, and its history has what it did behind the signals that came
 * meanwhile: when that is replayed, a batch of three decisions takes the first hundred, and the others are lost. So these
 * are no local ones: no task lasts while decisions are recorded.
 */
export const requestRecord = Object.fromEntries(
  requestNames.map((name) => [
    name,
    proxyActivities<Activities>({
      startToCloseTimeout: localOptions.startToCloseTimeout,
      retry: localOptions.retry,
      cancellationType: localOptions.cancellationType,
      summary: recordSummaries[name],
    })[name],
  ]),
) as Pick<ReturnType<typeof proxyActivities<Activities>>, (typeof requestNames)[number]>;

const heartbeatTimeout = '10 seconds';
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
