import {
  CancellationScope,
  makeContinueAsNewFunc,
  setWorkflowOptions,
  workflowInfo,
} from '@temporalio/workflow';
import { asSent } from '../domain/as-sent';
import type { Signed } from '../temporal-config/signing';
import { record } from './activities';
import { waitingAttempt } from './attempt';
import { openInbox } from './inbox';
import type { DeploymentOutcome, DeploymentRequest } from './messages';
import { staysOnItsVersion } from './versioning';

setWorkflowOptions(staysOnItsVersion, deployPromotion);
/** One that has not begun may go to the newer one. */
const beginAnew = makeContinueAsNewFunc<typeof deployPromotion>({
  initialVersioningBehavior: 'AUTO_UPGRADE',
});

/**
 * Deploy Now. Admitted once, one at a time per target, and undone by itself when a step fails or it is
 * cancelled. The same process carries a retry and a rollback by hand (which swaps back without a build).
 */
export async function deployPromotion(request: Signed<DeploymentRequest>): Promise<DeploymentOutcome> {
  const inbox = openInbox();
  const attempt = waitingAttempt(inbox, () => beginAnew(request));

  // Refused: nothing happened, nothing to undo.
  const { runId } = workflowInfo();
  const admitted = await CancellationScope.nonCancellable(() => record.admit(asSent(request), runId));
  if ('outcome' in admitted) return end(admitted);
  const { plan } = admitted;
  // What was said to a run before this one, or while there was none.
  inbox.take(admitted.words);
  void CancellationScope.nonCancellable(() => inbox.hear(plan.deployment, attempt.stop));
  return end(await attempt.goOn(plan, admitted.lane));

  async function end(outcome: DeploymentOutcome): Promise<DeploymentOutcome> {
    // What was said is answered, or recorded as refused, before the workflow is gone.
    await CancellationScope.nonCancellable(() => inbox.drained());
    attempt.show(outcome.status, `**${outcome.status}.** ${outcome.outcome}`);
    return outcome;
  }
}
