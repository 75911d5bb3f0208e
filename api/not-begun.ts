import { TerminatedFailure, WorkflowFailedError } from '@temporalio/client';
import { rootCause } from '@temporalio/common';
import { SignalboxError } from '../domain/errors';
import type { ApiDeps } from './deps';

/** Whoever waits for the result of any other waits for as long as it runs, or is paused. */
const endedBadly = ['FAILED', 'TERMINATED', 'CANCELLED', 'TIMED_OUT'];

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
  const found = await handle.describe().catch(() => undefined);
  if (!found || !endedBadly.includes(found.status.name)) return undefined;
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
  return rootCause(cause) ?? 'The Temporal UI has the reason.';
}
