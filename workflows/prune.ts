import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';

/** What is old enough is removed, by schedules. */
const removing = (summary: string) =>
  proxyActivities<Activities>({
    summary,
    startToCloseTimeout: '30 minutes',
    // The next pass of the schedule is the retry.
    retry: { maximumAttempts: 1 },
  });
const backups = removing('Remove backups that are old enough and that nothing can need any more');
const record = removing('Remove logs and histories that policy does not keep any longer');

export const pruneBackups = () => shown(backups.pruneBackups(), 'No backup is old enough.');
export const pruneRecord = () => shown(record.pruneRecord(), 'Nothing is older than policy keeps it.');

async function shown(removing: Promise<string[]>, otherwise: string): Promise<string[]> {
  const removed = await removing;
  setCurrentDetails(removed.length === 0 ? otherwise : removed.map((line) => `- ${line}`).join('\n'));
  return removed;
}
