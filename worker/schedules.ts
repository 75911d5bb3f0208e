import { ScheduleAlreadyRunning, ScheduleOverlapPolicy, type Client } from '@temporalio/client';
import { controlQueue } from '../temporal-config/names';

const everyMs = 30_000;

/** Registers the schedules that the worker owns, or brings them up to date. */
export async function registerSchedules(client: Client): Promise<void> {
  const options = {
    scheduleId: 'signalbox-reconcile',
    spec: { intervals: [{ every: everyMs }] },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '10 seconds' },
    action: {
      type: 'startWorkflow' as const,
      workflowType: 'reconcile',
      workflowId: 'reconcile',
      taskQueue: controlQueue,
      args: [],
      staticSummary: 'Compare the record with Temporal and mend what drifted apart',
    },
  };
  try {
    await client.schedule.create(options);
  } catch (thrown) {
    if (!(thrown instanceof ScheduleAlreadyRunning)) throw thrown;
    await client.schedule.getHandle(options.scheduleId).update((old) => ({ ...old, ...options }));
  }
}
