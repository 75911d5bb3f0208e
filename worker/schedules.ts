import { setTimeout as sleep } from 'node:timers/promises';
import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
} from '@temporalio/client';
import type { Logger } from 'pino';
import type { Temporal } from '../temporal-config/connection';
import { controlQueue } from '../temporal-config/names';
import { setUpTemporal } from '../temporal-config/setup';

export const reconcileEveryMs = 30_000;
export const reconcileSchedule = 'signalbox-reconcile';
const lookEveryMs = 10_000;

/**
 * Keeps what Signalbox needs in Temporal there: a namespace that was lost and made anew has neither its search
 * attributes nor its schedule. When the schedule was gone it runs at once, because everything else is gone too.
 */
export async function keepSchedules(temporal: Temporal, log: Logger): Promise<{ stop(): Promise<void> }> {
  await registerSchedules(temporal.client);
  const stopping = new AbortController();
  const done = (async () => {
    for (;;) {
      await sleep(lookEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      try {
        await temporal.client.schedule.getHandle(reconcileSchedule).describe();
      } catch (thrown) {
        // Any other error says that Temporal is away; then there is nothing to keep.
        if (!(thrown instanceof ScheduleNotFoundError)) continue;
        log.warn("Temporal lost Signalbox's schedule; setting everything up again and comparing the record");
        await setUpTemporal(temporal)
          .then(() => registerSchedules(temporal.client))
          .then(() => temporal.client.schedule.getHandle(reconcileSchedule).trigger())
          .catch((again: unknown) => log.warn({ err: again }, 'Temporal could not be set up; trying again'));
      }
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await done;
    },
  };
}

/** What runs by itself, and how often. */
const schedules = [
  {
    scheduleId: reconcileSchedule,
    workflowType: 'reconcile',
    everyMs: reconcileEveryMs,
    summary: 'Compare the record with Temporal and mend what drifted apart',
  },
  {
    scheduleId: 'signalbox-prune-backups',
    workflowType: 'pruneBackups',
    everyMs: 3_600_000,
    summary: 'Remove backups that are old enough and that nothing can need any more',
  },
  {
    scheduleId: 'signalbox-prune-record',
    workflowType: 'pruneRecord',
    everyMs: 3_600_000,
    summary: 'Remove logs and histories that policy does not keep any longer',
  },
];

/** Registers the schedules that the worker owns, or brings them up to date. */
export async function registerSchedules(client: Client): Promise<void> {
  for (const schedule of schedules) {
    const options = {
      scheduleId: schedule.scheduleId,
      spec: { intervals: [{ every: schedule.everyMs }] },
      policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '10 seconds' },
      action: {
        type: 'startWorkflow' as const,
        workflowType: schedule.workflowType,
        workflowId: schedule.scheduleId.replace('signalbox-', ''),
        taskQueue: controlQueue,
        args: [],
        staticSummary: schedule.summary,
      },
    };
    try {
      await client.schedule.create(options);
    } catch (thrown) {
      if (!(thrown instanceof ScheduleAlreadyRunning)) throw thrown;
      await client.schedule.getHandle(options.scheduleId).update((old) => ({ ...old, ...options }));
    }
  }
}
