import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { Activities } from '../activities';
import { targetQueue } from '../temporal-config/names';

/**
 * How activities are called. Short transactions on Signalbox's own record are local activities; what acts on a
 * target runs on that target's queue, heartbeats, and is waited for when it is cancelled: its undo must not
 * start while it still acts.
 */
export const record = proxyLocalActivities<Activities>({
  startToCloseTimeout: '30 seconds',
  // Without an end: a record that can not be written now is written when the database is back.
  retry: { initialInterval: '100 milliseconds', backoffCoefficient: 2, maximumInterval: '5 seconds' },
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

const heartbeatTimeout = '10 seconds';
const retry = { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds' };

/**
 * Activities on one target.
 * @param limitMs how long one try may take; tries are bounded by time, not by number, because a worker that
 * was stopped may use up any number of them.
 */
export const onTarget = (target: string, summary: string, limitMs: number) =>
  proxyActivities<Activities>({
    taskQueue: targetQueue(target),
    summary,
    startToCloseTimeout: limitMs,
    scheduleToCloseTimeout: limitMs * 2 + 900_000,
    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });

/** Undo has neither an attempt cap nor an end: the saga's alarm timer decides when a person is asked. */
export const undoOnTarget = (target: string, summary: string, limitMs: number) =>
  proxyActivities<Activities>({
    taskQueue: targetQueue(target),
    summary,
    startToCloseTimeout: limitMs,
    heartbeatTimeout,
    retry,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  });
