import { TerminatedFailure, WorkflowFailedError } from '@temporalio/client';
import { messageOf, SignalboxError } from '../domain/errors';
import type { ApiDeps } from './deps';

/**
 * Why a workflow that recorded nothing has ended already: most often its workers refused what they were sent.
 * @param what it was started for, in words.
 * @returns undefined while it runs: then what was asked for still begins.
 */
export async function whyNotBegun(
  deps: Pick<ApiDeps, 'temporal' | 'runUrl'>,
  workflowId: string,
  what: string,
): Promise<SignalboxError | undefined> {
  const handle = deps.temporal.workflow.getHandle(workflowId);
  // Temporal has taken it. If it does not answer now, it begins later.
  const status = await handle.describe().then(
    (found) => found.status.name,
    () => 'RUNNING',
  );
  if (status === 'RUNNING' || status === 'COMPLETED') return undefined;
  const why = await handle.result().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(why instanceof WorkflowFailedError)) return undefined;
  return new SignalboxError('not-begun', `${what} did not begin. ${reasonOf(why)}`, {
    temporal: deps.runUrl(workflowId, ''),
  });
}

function reasonOf({ cause }: WorkflowFailedError): string {
  if (cause instanceof TerminatedFailure) return 'Its workflow was terminated in Temporal; try again.';
  let root: unknown = cause;
  while (root instanceof Error && root.cause) root = root.cause;
  return messageOf(root);
}
