import { WorkflowNotFoundError, type Client } from '@temporalio/client';

/** How a workflow ended without recording it, in plain words; undefined while it runs. */
export async function lost(
  temporal: Client,
  workflowId: string,
  runId?: string,
): Promise<string | undefined> {
  try {
    const { status } = await temporal.workflow.getHandle(workflowId, runId).describe();
    if (status.name === 'RUNNING' || status.name === 'CONTINUED_AS_NEW') return undefined;
    return `Its workflow ${workflowId} ended as ${status.name.toLowerCase().replaceAll('_', ' ')} without recording an end.`;
  } catch (thrown) {
    if (thrown instanceof WorkflowNotFoundError)
      return `Its workflow ${workflowId} has vanished from Temporal.`;
    throw thrown;
  }
}
