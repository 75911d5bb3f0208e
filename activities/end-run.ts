import { WorkflowNotFoundError } from '@temporalio/client';
import { failpoint } from '../domain/failpoint';
import { recordAudit, type AuditEvent } from '../db/audit';
import type { Deps } from './deps';

/**
 * Ends a workflow that has nothing left to do, with the reason in Temporal and in the audit trail.
 * @param runId left out: whichever run goes on. @returns false when it had ended by itself.
 */
export async function endRun(
  { db, temporal }: Pick<Deps, 'db' | 'temporal'>,
  { workflowId, runId }: { workflowId: string; runId?: string },
  entry: Omit<AuditEvent, 'actor'> & { why: string },
): Promise<boolean> {
  const run = temporal.workflow.getHandle(workflowId, runId);
  try {
    // Visibility may show one that has ended by itself as running for a moment.
    if ((await run.describe()).status.name !== 'RUNNING') return false;
    // First the word, then the deed: whoever is killed in between does it again, and no run ends without a reason.
    await recordAudit(db, { actor: 'signalbox', ...entry });
    await failpoint('end-run/recorded');
    await run.terminate(entry.why);
    return true;
  } catch (thrown) {
    if (thrown instanceof WorkflowNotFoundError) return false;
    throw thrown;
  }
}
