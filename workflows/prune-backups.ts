import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';

const { pruneBackups: prune } = proxyActivities<Activities>({
  summary: 'Remove backups that are old enough and that nothing can need any more',
  startToCloseTimeout: '30 minutes',
  // The next pass of the schedule is the retry.
  retry: { maximumAttempts: 1 },
});

/** Removes old backups. Run by a schedule. */
export async function pruneBackups(): Promise<string[]> {
  const removed = await prune();
  setCurrentDetails(
    removed.length === 0 ? 'No backup is old enough.' : removed.map((line) => `- ${line}`).join('\n'),
  );
  return removed;
}
