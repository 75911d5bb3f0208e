import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';

const { mend } = proxyActivities<Activities>({
  summary: 'Compare the record with Temporal and mend',
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: '30 seconds',
  // The next pass of the schedule is the retry.
  retry: { maximumAttempts: 1 },
});

/**
 * Compares the record with Temporal and mends what drifted apart: attempts whose workflow ended without an end
 * are handed to recovery, lost signals are sent again. Run by a schedule.
 */
export async function reconcile(): Promise<string[]> {
  const mended = await mend();
  setCurrentDetails(
    mended.length === 0 ? 'Record and workflows agree.' : mended.map((line) => `- ${line}`).join('\n'),
  );
  return mended;
}
