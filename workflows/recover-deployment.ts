import {
  CancellationScope,
  setCurrentDetails,
  setWorkflowOptions,
  TemporalFailure,
} from '@temporalio/workflow';
import { onTarget, record } from './activities';
import { openInbox } from './inbox';
import type { DeploymentOutcome, RecoveryRequest } from './messages';
import { claimed, recordEnd } from './place';
import { rootMessage, undosOf, unwind } from './saga';
import { staysOnItsVersion } from './versioning';

setWorkflowOptions(staysOnItsVersion, recoverDeployment);

/**
 * Finishes or undoes an attempt whose workflow ended without recording an end (terminated, timed out, failed
 * or vanished). It takes the attempt over first, so that nothing of the old workflow can act any more, then
 * looks at the target: a swap that is done and healthy is finished, everything else is undone. One whose rollback had
 * failed waits for an SRE again.
 */
export async function recoverDeployment(request: RecoveryRequest): Promise<DeploymentOutcome> {
  return CancellationScope.nonCancellable(async () => {
    const inbox = openInbox(true);
    // Its rollback may have failed already: an SRE may answer from the moment on at which this has the attempt.
    inbox.asks();
    setCurrentDetails(`**Recovering ${request.key}.** ${request.why}`);
    const { plan, status, began, round, words } = await record.takeOver(request.deployment, request.why);
    inbox.take(words);
    void inbox.hear(plan.deployment);
    const outcome = await settle();
    // What was said is answered, or recorded as refused, before the workflow is gone.
    await inbox.drained();
    setCurrentDetails(`**${outcome.status}.** ${outcome.outcome}`);
    return outcome;

    async function settle(): Promise<DeploymentOutcome> {
      if (status === 'queued' || status === 'waiting-for-window')
        return recordEnd(plan, 'cancelled', `${request.why} It had not begun; nothing was touched.`);
      // What people asked for stands, whichever workflow they said it to.
      const cancelled = () => inbox.drained().then(inbox.why);
      const undos = undosOf(plan, began);
      // Its undo failed before its workflow was lost: whether to try again is still a person's to say.
      if (status === 'rollback-failed') return unwind(plan, undos, request.why, round, inbox, true);
      if (status === 'running' && began.includes('health-check')) {
        const unasked = await cancelled();
        if (unasked) return unwind(plan, undos, `${request.why} ${unasked}`, round, inbox);
        try {
          plan.place = await claimed(plan);
          const check = onTarget(
            'Observe: is the new release current and healthy?',
            plan.limits.healthMs,
            plan.place,
          );
          await check.healthCheck({ ...plan, round });
          const late = await cancelled();
          if (late) return unwind(plan, undos, `${request.why} ${late}`, round + 1, inbox);
          return await recordEnd(plan, 'succeeded', `${plan.success} ${request.why} Recovery found it done.`);
        } catch (thrown) {
          if (!(thrown instanceof TemporalFailure)) throw thrown;
          return unwind(plan, undos, `${request.why} ${rootMessage(thrown)}`, round, inbox);
        }
      }
      return unwind(plan, undos, request.why, round, inbox);
    }
  });
}
