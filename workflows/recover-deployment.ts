import {
  CancellationScope,
  makeContinueAsNewFunc,
  patched,
  setCurrentDetails,
  setWorkflowOptions,
  TemporalFailure,
} from '@temporalio/workflow';
import { isTerminal } from '../domain/machines';
import { textOf } from '../domain/observed';
import { onTarget, record } from './activities';
import { waitingAttempt } from './attempt';
import { openInbox } from './inbox';
import type { DeploymentOutcome, RecoveryRequest } from './messages';
import { claimed, recordEnd, tracesOf } from './place';
import { rootMessage, undosOf, unwind } from './saga';
import { staysOnItsVersion } from './versioning';

setWorkflowOptions(staysOnItsVersion, recoverDeployment);
/** One that goes on waiting may go to a newer version. */
const beginAnew = makeContinueAsNewFunc<typeof recoverDeployment>({
  initialVersioningBehavior: 'AUTO_UPGRADE',
});

/**
 * Finishes or undoes an attempt whose workflow ended without recording an end (terminated, timed out, failed
 * or vanished). It takes the attempt over first, so that nothing of the old workflow can act any more, then
 * looks at the target, which may show more than the record has: a swap that is done and healthy is finished, everything
 * else is undone. One whose rollback had failed waits for an SRE again. One that waited, and whose workflow Temporal has lost
 * without anybody having ended it, goes on waiting and is deployed from here.
 */
export async function recoverDeployment(request: RecoveryRequest): Promise<DeploymentOutcome> {
  const inbox = openInbox(true);
  // Made here, outside of the scope below: who cancels in Temporal what waits, or deploys, is heard.
  const waiting = request.vanished ? waitingAttempt(inbox, () => beginAnew(request)) : undefined;
  const settled = await CancellationScope.nonCancellable(async () => {
    // Its rollback may have failed already: an SRE may answer from the moment on at which this has the attempt.
    inbox.asks();
    setCurrentDetails(`**Recovering ${request.key}.** ${request.why}`);
    const taken = await record.takeOver(request.deployment, request.why, request.vanished);
    const { plan, round } = taken;
    // What Temporal says of it, and not what this was started with.
    const why = taken.why ?? request.why;
    let { status, began } = taken;
    inbox.take(taken.words);
    void inbox.hear(plan.deployment, waiting?.stop);
    let isLive = false;
    let unseen: string | undefined;
    if (patched('look-at-target')) {
      const seen = await tracesOf(plan, taken.origin ?? '');
      const amended = await record.amend(request.deployment, seen, why);
      ({ status, began } = amended);
      if (amended.doubtful) unseen = seen.unseen;
      // Its commands are in the journal, too; only a switch says what it made live.
      const last = seen.acts.findLast(({ to }) => to !== undefined);
      // The end of one that succeeded may be among what a restored database has lost.
      const older = amended.wentBack || (amended.doubtful && patched('finish-what-is-live'));
      isLive = older && last?.step === 'swap' && seen.live !== undefined && last.to === textOf(seen.live);
    }
    // It did nothing yet, by the record and by the target.
    const untouched =
      (status === 'queued' || status === 'waiting-for-window') && !unseen && began.length === 0;
    if (waiting && untouched) {
      await inbox.drained();
      // Whatever was said until now was no answer to a question that is still to come.
      inbox.answered();
      if (!inbox.why()) return { plan, lane: await record.acquireLane(plan) };
    }
    return end(await settle());

    async function settle(): Promise<DeploymentOutcome> {
      // The task in which this recorded the end was lost, and is done again: it stays as it ended.
      if (isTerminal('deployment', status)) return recordEnd(plan, 'cancelled', why);
      if (status === 'queued' || status === 'waiting-for-window')
        return recordEnd(plan, 'cancelled', `${why} ${notBegun()}`);
      // What people asked for stands, whichever workflow they said it to.
      const cancelled = () => inbox.drained().then(inbox.why);
      // Undoing looks again, and asks an SRE while nobody can tell what the target runs.
      const undos = undosOf(plan, unseen ? [...began, 'swap'] : began);
      // Its undo failed before its workflow was lost: whether to try again is still a person's to say.
      if (status === 'rollback-failed') return unwind(plan, undos, why, round, inbox, true);
      if (status === 'running' && (began.includes('health-check') || isLive)) {
        const unasked = await cancelled();
        if (unasked) return unwind(plan, undos, `${why} ${unasked}`, round, inbox);
        try {
          plan.place ??= await claimed(plan);
          const check = onTarget(
            'Observe: is the new release current and healthy?',
            plan.limits.healthMs,
            plan.place,
          );
          await check.healthCheck({ ...plan, round });
          const late = await cancelled();
          if (late) return unwind(plan, undos, `${why} ${late}`, round + 1, inbox);
          return await recordEnd(plan, 'succeeded', `${plan.success} ${why} Recovery found it done.`);
        } catch (thrown) {
          if (!(thrown instanceof TemporalFailure)) throw thrown;
          return unwind(plan, undos, `${why} ${rootMessage(thrown)}`, round, inbox);
        }
      }
      return unwind(plan, undos, why, round, inbox);
    }

    /** The record says that it waited. */
    function notBegun(): string {
      if (unseen)
        return `By the record it had not begun, and nothing was touched; nobody could look at ${plan.target} for what the record may have lost: ${unseen}`;
      const acted = began.filter((step) => step === 'swap' || step === 'migrate');
      return acted.length === 0
        ? 'It had not begun; nothing was touched.'
        : `The record has it as waiting, but ${plan.target} shows that it did ${acted.join(' and ')}, and another deployment holds the target now. Look what it runs, and deploy again or \`signalbox adopt\` it.`;
    }
  });
  if ('outcome' in settled) return settled;
  const outcome = await waiting!.goOn(settled.plan, settled.lane);
  return CancellationScope.nonCancellable(() => end(outcome));

  async function end(outcome: DeploymentOutcome): Promise<DeploymentOutcome> {
    // What was said is answered, or recorded as refused, before the workflow is gone.
    await inbox.drained();
    setCurrentDetails(`**${outcome.status}.** ${outcome.outcome}`);
    return outcome;
  }
}
