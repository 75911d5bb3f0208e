import { dropAnswers } from '../db/idempotency';
import { dropHistories, dropLogs } from '../db/retention';
import type { Deps } from './deps';

/** Removes logs and histories that policy does not keep any longer. @returns what was removed, in plain words. */
export const createRetention = ({ db, retention, log }: Pick<Deps, 'db' | 'retention' | 'log'>) => ({
  async pruneRecord(): Promise<string[]> {
    const { logDays, historyDays } = retention;
    const removed: string[] = [];
    const answers = await dropAnswers(db);
    if (answers > 0)
      removed.push(`${answers} answers that were kept for a week for requests that come again`);
    if (logDays !== undefined)
      for (const { first, last } of await dropLogs(db, logDays))
        removed.push(`logs of the attempts ${first} to ${last}, which ended more than ${logDays} days ago`);
    if (historyDays !== undefined) {
      const count = await dropHistories(db, historyDays);
      if (count > 0) removed.push(`${count} histories that were kept for more than ${historyDays} days`);
    }
    for (const line of removed) log.info({ retention }, `removed ${line}`);
    return removed;
  },
});
