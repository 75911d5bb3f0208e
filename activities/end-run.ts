import { WorkflowNotFoundError } from '@temporalio/client';
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
  try {
    await temporal.workflow.getHandle(workflowId, runId).terminate(entry.why);
  } catch (thrown) {
    if (thrown instanceof WorkflowNotFoundError) return false;
    throw thrown;
  }
  await recordAudit(db, { actor: 'signalbox', ...entry });
  return true;
}
