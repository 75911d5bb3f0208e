import {
  CancellationScope,
  condition,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { LaneNews } from '../activities/lifecycle';
import { attributes } from '../temporal-config/names';
import type { Signed } from '../temporal-config/signing';
import { onTarget, record } from './activities';
import {
  cancelDeployment,
  laneFree,
  progress,
  resolveRollback,
  type CancelRequest,
  type DeploymentOutcome,
  type DeploymentRequest,
} from './messages';
import { saga } from './saga';
import { ignoreUnknownSignals } from './signals';

/**
 * Deploy Now. Admitted once, one at a time per target, and undone by itself when a step fails or it is
 * cancelled. The same process carries a retry and a rollback by hand (which swaps back without a build).
 */
export async function deployPromotion(request: Signed<DeploymentRequest>): Promise<DeploymentOutcome> {
  let cancel: CancelRequest | undefined;
  const cancels: unknown[] = [];
  let hearing = false;
  let lookAgain = false;
  let status = 'queued';
  let doing = 'being admitted';
  let waitingFor: string | null = null;
  // A cancel from the API stops this scope; one from the Temporal UI reaches it through the workflow's own.
  const stoppable = new CancellationScope();
  setHandler(cancelDeployment, (asked) => void cancels.push(asked));
  setHandler(laneFree, () => void (lookAgain = true));
  // Until something has to be resolved there is nothing to hear; a stray signal must not pile up.
  setHandler(resolveRollback, () => undefined);
  ignoreUnknownSignals();
  setHandler(progress, () => ({ status, doing, waitingFor }));
  const show = (next: string, details: string) => {
    status = doing = next;
    setCurrentDetails(details);
    upsertSearchAttributes([{ key: attributes.status, value: next }]);
  };
  const whyCancelled = () =>
    cancel
      ? `Cancelled by ${cancel.by}${cancel.reason ? `: ${cancel.reason}` : '.'}`
      : 'Cancelled from Temporal (its UI or command line).';

  // Refused: nothing happened, nothing to undo.
  const admitted = await CancellationScope.nonCancellable(() => record.admit(request, workflowInfo().runId));
  if ('outcome' in admitted) return end(admitted);
  let { plan } = admitted;
  void CancellationScope.nonCancellable(hearCancels);

  const ended = await untilLaneIsOurs(admitted.lane);
  if (ended) return end(ended);

  show('running', `**Deploying ${plan.title} to ${plan.target}.** Build, backup, swap, health check.`);
  const outcome = await saga(
    plan,
    (undo) =>
      stoppable.run(async () => {
        const input = { ...plan, round: 1 };
        const step = (summary: string, limitMs: number) => {
          doing = summary;
          return onTarget(summary, limitMs);
        };

        // An archive that nobody refers to harms nobody: no undo. A rollback by hand has its release already.
        if (plan.trigger !== 'rollback')
          await step(`Build ${plan.revision} (${plan.commit.slice(0, 12)})`, plan.limits.buildMs).build(
            input,
          );

        // A backup is kept whatever happens: no undo.
        await step('Back up the data and read it back', plan.limits.backupMs).backup(input);

        if (plan.migrates) {
          undo('undoMigrate');
          await step("Run the target's migration", plan.limits.migrateMs).migrate(input);
        }

        // Registered before the step: whether a lost swap happened is unknown, and undoing it is harmless.
        undo('undoSwap');
        await step('Swap: make the new release current', plan.limits.swapMs).swap(input);

        // Only reads: no undo.
        await step('Health check: the new release answers for itself', plan.limits.healthMs).healthCheck(
          input,
        );

        // From here on it is deployed; a cancel comes too late.
        return CancellationScope.nonCancellable(() => record.recordEnd(plan, 'succeeded', plan.success));
      }),
    whyCancelled,
  );
  return end(outcome);

  /** Waits in the target's queue. @returns the outcome when it ended while it waited. */
  async function untilLaneIsOurs(lane: LaneNews): Promise<DeploymentOutcome | undefined> {
    for (;;) {
      if (lane.kind === 'ended') return lane.outcome;
      if (lane.kind === 'acquired') {
        waitingFor = null;
        plan = { ...plan, hadRelease: lane.hadRelease };
        return undefined;
      }
      waitingFor = `the lane of ${plan.target}: position ${lane.position}, behind ${lane.behind}`;
      show('queued', `**Waiting for ${waitingFor}.** One deployment at a time runs on a target.`);
      try {
        await stoppable.run(() => condition(() => lookAgain));
      } catch {
        const why = whyCancelled();
        return CancellationScope.nonCancellable(() =>
          record.recordEnd(plan, 'cancelled', `${why} It had not begun; nothing was touched.`),
        );
      }
      lookAgain = false;
      lane = await CancellationScope.nonCancellable(() => record.acquireLane(plan));
    }
  }

  /** Beside the process: each cancel is verified before it stops anything. */
  async function hearCancels(): Promise<void> {
    for (;;) {
      await condition(() => cancels.length > 0);
      hearing = true;
      const asked = await record.heard('cancel', plan.deployment, cancels.shift(), false);
      hearing = false;
      if (!asked) continue;
      cancel ??= asked;
      stoppable.cancel();
    }
  }

  async function end(outcome: DeploymentOutcome): Promise<DeploymentOutcome> {
    // What was said is answered, or recorded as refused, before the workflow is gone.
    await CancellationScope.nonCancellable(() => condition(() => cancels.length === 0 && !hearing));
    show(outcome.status, `**${outcome.status}.** ${outcome.outcome}`);
    return outcome;
  }
}
