import {
  CancellationScope,
  isCancellation,
  patched,
  setCurrentDetails,
  sleep,
  TemporalFailure,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { Plan } from '../activities/lifecycle';
import { sentences } from '../domain/sentences';
import { record, undoOnTarget } from './activities';
import type { Inbox } from './inbox';
import { claimed, recordEnd, isLost, observed, tidied, whyNotObserved } from './place';
import type { DeploymentOutcome } from './messages';

/**
 * Undoing a deployment. Undos are registered before their steps, unwind last-in-first-out in a scope that no
 * cancel reaches, and are followed by a health check of what was restored. An undo that gives a verdict, or is
 * still failing when the alarm timer fires, stops there (a later undo may be unsafe without it): the deployment
 * is rollback-failed, its lane stays held, and an SRE's `retry` or `accept` is waited for.
 */
export type UndoName = 'undoMigrate' | 'undoSwap' | 'takeOut' | 'verifyRollback';

/** In words, for the Temporal UI and for messages. */
export const undoTitle: Record<UndoName, string> = {
  undoMigrate: "Undo migrate: restore data where the target's policy says so",
  undoSwap: 'Undo swap: make the release from before current again',
  takeOut: 'Take what is live out of service until its data is back',
  verifyRollback: 'Check that what was restored is healthy',
};
export const undoLimitMs = (plan: Plan, name: UndoName) =>
  name === 'verifyRollback' ? plan.limits.healthMs : plan.limits.swapMs;

/**
 * What is registered before these steps, in this order. Where data goes back with the release, nothing may run on data that
 * is not its own: going back is then take out, restore, make the old one current.
 */
export function undosOf(plan: Plan, steps: readonly string[]): UndoName[] {
  const [migrate, swap] = [steps.includes('migrate'), steps.includes('swap')];
  if (plan.restoresData && (migrate || swap)) return ['undoSwap', 'undoMigrate', 'takeOut'];
  return [...(migrate ? (['undoMigrate'] as const) : []), ...(swap ? (['undoSwap'] as const) : [])];
}

/**
 * Runs `body`; when it fails with a Temporal failure (a verdict, a cancel, an exhausted retry), unwinds what it
 * registered. Anything else is a bug in this code: it stalls the workflow task instead of rolling back production.
 */
export async function saga(
  plan: Plan,
  body: (undo: (...names: UndoName[]) => void) => Promise<DeploymentOutcome>,
  whyCancelled: () => string,
  inbox: Inbox,
): Promise<DeploymentOutcome> {
  const undos: UndoName[] = [];
  try {
    return await body((...names) => undos.push(...names.filter((name) => !undos.includes(name))));
  } catch (thrown) {
    if (!(thrown instanceof TemporalFailure)) throw thrown;
    const why = isCancellation(thrown) ? whyCancelled() : whyOf(thrown, inbox, whyCancelled);
    return await CancellationScope.nonCancellable(() => unwind(plan, undos, why, 1, inbox));
  }
}

/**
 * Why it is undone, of a step that did not end as cancelled. One that was cancelled may end otherwise: its worker was
 * killed, so that nobody stopped it and its heartbeat ran out; or it failed just then. Who cancelled comes first.
 */
function whyOf(failure: TemporalFailure, inbox: Inbox, whyCancelled: () => string): string {
  const asked = inbox.why() !== undefined || CancellationScope.current().consideredCancelled;
  if (!asked) return rootMessage(failure);
  const met =
    failure.cause instanceof TimeoutFailure
      ? 'The worker that did the step was lost meanwhile.'
      : rootMessage(failure);
  return sentences(whyCancelled(), met);
}

/**
 * Undoes in reverse order.
 * @param round the first number for these tries; higher than any before.
 * @param failed whether its rollback has failed before: then it goes on once an SRE has decided.
 */
export async function unwind(
  plan: Plan,
  undos: UndoName[],
  why: string,
  round: number,
  inbox: Inbox,
  failed = false,
): Promise<DeploymentOutcome> {
  // Of attempts that the previous version began to undo, and of one whose undo had failed: as far as the workflow knows.
  let began: Began = { migration: false, swap: undos.includes('undoSwap'), restoresData: false };
  if (failed) {
    const accepted = await decided(plan, why, inbox);
    if (accepted) return accepted;
  } else began = ((await record.beginRollback(plan, why)) as Began | undefined) ?? began;

  const order = undos.toReversed();
  // Before the swap's undo was registered nothing was touched, so there is nothing to check.
  if (undos.includes('undoSwap')) order.push('verifyRollback');
  const rounds: Rounds = { next: round };
  for (const name of order) {
    rounds.next = round;
    for (;;) {
      setCurrentDetails(`**Rolling back.** ${sentences(why)}\n\nNow: ${undoTitle[name]}.`);
      const failure = await untilAlarm(plan, name, rounds);
      if (failure === undefined) break;
      // An SRE may answer as soon as the record says so, before this workflow knows that it does.
      inbox.asks();
      await record.rollbackFailed(plan, sentences(`${undoTitle[name]}: ${failure}`));
      const accepted = await decided(plan, why, inbox, failure);
      if (accepted) return accepted;
    }
  }
  const now = rolledBackTo(plan, began, rounds.found);
  // What refused to begin says so itself.
  const said = why.includes(now) || (now === untouched && why.includes('Nothing was changed.'));
  return recordEnd(plan, 'rolled-back', said ? sentences(why) : sentences(why, now));
}

/** Waits for an SRE's decision. @returns the outcome when the target is accepted as it is; undefined: try again. */
async function decided(
  plan: Plan,
  why: string,
  inbox: Inbox,
  failure = 'It had failed before.',
): Promise<DeploymentOutcome | undefined> {
  setCurrentDetails(
    `**Rollback failed; the lane is held.** ${sentences(failure)}\n\nAn SRE has to decide: \`signalbox resolve ${plan.key} --retry\` or \`--accept\`.`,
  );
  for (;;) {
    const resolution = await inbox.resolution(plan);
    if (resolution.action === 'retry') {
      await record.resumeRollback(plan, resolution);
      inbox.answered();
      return undefined;
    }
    const outcome = sentences(
      why,
      `The rollback failed; ${resolution.by} accepted the target as it is: ${resolution.reason}`,
    );
    try {
      const seen = plan.runner && (await observed(plan));
      const accepted = await record.acceptRollback(plan, outcome, resolution, seen);
      if (!('refused' in accepted)) return await tidied(plan, accepted);
      setCurrentDetails(
        `**Rollback failed; the lane is held.** It could not be accepted: ${accepted.refused} Decide again.`,
      );
    } catch (thrown) {
      // Refused now: it must not come true when the target can be asked again.
      const refusal = whyNotObserved(plan, thrown);
      if (refusal === undefined) throw thrown;
      if (patched('refused-words')) await record.refuseWord(plan, resolution, refusal);
      setCurrentDetails(`**Rollback failed; the lane is held.** ${refusal}`);
    }
  }
}

const untouched = 'Nothing was touched.';
/** What of an attempt has really begun, as the record has it; whether its data was put back. */
type Began = Awaited<ReturnType<typeof record.beginRollback>>;

/** @param found what the check after undoing said; the previous version's did not. */
function rolledBackTo(plan: Plan, { migration, swap, restoresData }: Began, found?: string): string {
  if (!migration && !swap && found === undefined) return untouched;
  const unsaid = plan.hadRelease
    ? 'Rolled back: the release from before is current again and healthy.'
    : 'Rolled back: this was the first deployment, so the target has no release, as before.';
  const release = found ?? (swap ? unsaid : 'The release was not switched.');
  if (!migration) return release;
  const data = restoresData
    ? 'The migration had begun; the data from before is back, from the backup.'
    : "The migration had begun; the data stays as it left it, as the target's policy says.";
  return `${release} ${data}`;
}

/** The number of an undo's next try, and what the check after all of them found, in plain words. */
interface Rounds {
  next: number;
  found?: string;
}

/** Tries one undo until it succeeds, gives a verdict, or the alarm fires. @returns what failed, or undefined. */
async function untilAlarm(plan: Plan, name: UndoName, rounds: Rounds): Promise<string | undefined> {
  const scope = new CancellationScope();
  const work = scope
    .run(() => undone(plan, name, rounds))
    .then(() => undefined)
    .catch((thrown: unknown) => {
      if (thrown instanceof TemporalFailure) return rootMessage(thrown);
      throw thrown;
    });
  const alarm = new CancellationScope();
  const rang = alarm
    .run(() =>
      sleep(plan.limits.undoAlarmMs, { summary: `Alarm: ask an SRE if "${undoTitle[name]}" still fails` }),
    )
    .then(() => 'rang' as const)
    .catch(() => undefined);
  const first = await Promise.race([work.then(() => 'worked' as const), rang]);
  if (first === 'rang') {
    scope.cancel();
    const failure = await work;
    return failure === undefined
      ? undefined
      : `it still failed after ${plan.limits.undoAlarmMs / 1000} s; see the deployment's log`;
  }
  alarm.cancel();
  return work;
}

/** Undoes once; on a target with runners it goes on with another one when the one that had it is lost. */
async function undone(plan: Plan, name: UndoName, rounds: Rounds): Promise<void> {
  for (;;) {
    if (plan.runner) plan.place ??= await claimed(plan, true);
    const undo = undoOnTarget(undoTitle[name], undoLimitMs(plan, name), plan.place);
    try {
      const found = await undo[name]({ ...plan, round: rounds.next++ });
      if (typeof found === 'string') rounds.found = found;
      return;
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
      plan.place = undefined;
    }
  }
}

/** The innermost message of a failure: what the activity said. */
export function rootMessage(failure: TemporalFailure): string {
  if (isLost(failure)) return 'No runner of the target took the step up in time: it is lost.';
  let cause: unknown = failure;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  return cause instanceof Error ? cause.message : String(cause);
}
