import {
  CancellationScope,
  setCurrentDetails,
  setWorkflowOptions,
  TemporalFailure,
} from '@temporalio/workflow';
import { onTarget, record } from './activities';
import type { DeploymentOutcome, RecoveryRequest } from './messages';
import { claimed, recordEnd } from './place';
import { rootMessage, undosOf, unwind } from './saga';
import { ignoreUnknownSignals } from './signals';
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
    ignoreUnknownSignals();
    setCurrentDetails(`**Recovering ${request.key}.** ${request.why}`);
    const { plan, status, began, round } = await record.takeOver(request.deployment, request.why);
    const outcome = await settle();
    setCurrentDetails(`**${outcome.status}.** ${outcome.outcome}`);
    return outcome;

    async function settle(): Promise<DeploymentOutcome> {
      if (status === 'queued' || status === 'waiting-for-window')
        return recordEnd(plan, 'cancelled', `${request.why} It had not begun; nothing was touched.`);
      const undos = undosOf(plan, began);
      // Its undo failed before its workflow was lost: whether to try again is still a person's to say.
      if (status === 'rollback-failed') return unwind(plan, undos, request.why, round, true);
      if (status === 'running' && began.includes('health-check')) {
        try {
          plan.place = await claimed(plan);
          const check = onTarget(
            'Observe: is the new release current and healthy?',
            plan.limits.healthMs,
            plan.place,
          );
          await check.healthCheck({ ...plan, round });
          return await recordEnd(plan, 'succeeded', `${plan.success} ${request.why} Recovery found it done.`);
        } catch (thrown) {
          if (!(thrown instanceof TemporalFailure)) throw thrown;
          return unwind(plan, undos, `${request.why} ${rootMessage(thrown)}`, round);
        }
      }
      return unwind(plan, undos, request.why, round);
    }
  });
}
