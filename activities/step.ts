import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TargetConfig } from '../domain/config';
import { SignalboxError } from '../domain/errors';
import { sentence } from '../domain/sentence';
import { sentences } from '../domain/sentences';
import { failpoint } from '../domain/failpoint';
import { nameOfAttempt } from '../domain/incarnation';
import type { DeploymentStatus } from '../domain/machines';
import { retryDelayMs } from '../domain/retries';
import { buildRecipe, targetRecipe } from '../db/digest';
import type { Observed } from '../domain/observed';
import type { Attempt, Journal, Made } from '../db/journal';
import type { Try } from '../db/steps';
import { removeTree } from './archive';
import { FaultError, judge, ofCommands, ruleOf, verdict, type FaultCause, type VerdictCause } from './causes';
import type { TargetDeps } from './deps';
import { createDriver, type Driver } from './drivers/driver';
import { heldIn } from './drivers/numbers';
import { openLog, type StepLog } from './log';
import { stepSeconds } from './metrics';
import { demandOrder, forged } from './orders';
import { createPlaces } from './places';
import { reap } from './process';
import { redactor, type Redactor } from './redact';
import type { Sandbox } from './sandbox';
import { hiddenOf, readSecrets } from './secrets';

/**
 * Every step runs through here: it opens the step for this try, heartbeats on a timer, offers the log, and
 * closes the step in the transaction that records what it did. A *verdict* (a failed build, an unhealthy
 * release) closes the step as failed and is not retried. A *fault* (a database away, a full disk) leaves it
 * open with the reason, and Temporal tries again. Which is which stands in `causes.ts`.
 */
export interface StepInput {
  deployment: number;
  key: string;
  target: string;
  /** How often the workflow asked for this step, from 1. */
  round: number;
}
export interface StepContext {
  step: string;
  /** The attempt's key, CP-7.1. */
  key: string;
  /** What the attempt leaves on a disk or a server is called by this: a key alone comes again. */
  name: string;
  attempt: Attempt;
  target: TargetConfig;
  driver: Driver;
  sandbox: Sandbox;
  log: StepLog;
  note(text: string): void;
  signal: AbortSignal;
  secrets: Record<string, string>;
  redact: Redactor;
  /** Names this try among all of the attempt's: what it makes carries it, so that no two tries write to one place. */
  tryName: string;
  /** Folders of this target in the state directory; the workspace is this try's alone, and goes with it. */
  room: { workspace: string; artifact(digest: string): string; backups: string };
  /** A new, higher fencing number for what comes next. @throws when a newer try has the step. */
  fence(): Promise<number>;
  /**
   * Writes what is live: before the attempt acts, of which the first stays, or what somebody else put there meanwhile.
   * @returns what stands in the record. @throws when a newer try has the step.
   */
  observed(when: 'before' | 'meanwhile', live: Observed): Promise<Observed>;
  /** Says that it has overcome what stopped earlier tries, if there were any: its command is about to run. */
  goesOn(): Promise<void>;
  /** Asks at the last moment whether it may act. @throws a verdict when it may not, WindowClosed when not now. */
  permit(what: 'migrate' | 'swap'): Promise<void>;
  /** Says that the migration did not begin after all, because its command did not run. */
  notBegun(): Promise<void>;
}
export interface StepResult<T> {
  value: T;
  /** One line in plain words, shown with the step. */
  detail: string;
  /** Recorded together with the step's end. */
  made?: Made;
}

/** The failure by which a step says that it did nothing because its window is closed; the workflow then holds. */
export const windowClosed = 'WindowClosed';
export type WindowClosed = typeof windowClosed;
/** The failure by which a step says that it waited for a place and did nothing; the workflow then asks for it again. */
export const noPlace = 'NoPlace';
export type NoPlace = typeof noPlace;
/** After so long in vain: waiting must not use up the time in which the step itself may be tried. */
const placeMs = 300_000;

const heartbeatMs = 1_000;

export function createStepRunner(deps: TargetDeps) {
  const journal = reaching(deps.journal);
  const places = createPlaces(deps.slots);
  return async function runStep<T>(
    name: string,
    during: readonly DeploymentStatus[],
    input: StepInput,
    work: (context: StepContext) => Promise<StepResult<T>>,
  ): Promise<T> {
    demandOrder(name, input);
    const activity = Context.current();
    const { info, cancellationSignal: signal } = activity;
    const mine = {
      deployment: input.deployment,
      step: name,
      owner: info.workflowExecution!.workflowId,
      round: input.round,
      attempt: info.attempt,
      scheduled: info.currentAttemptScheduledTimestampMs,
      during,
    } satisfies Try;
    // Its number may come again after a reset.
    const tryName = `${name}-${mine.round}-${mine.attempt}-${mine.scheduled.toString(36)}`;
    const workplace = join(deps.stateDir, 'work', input.key);
    // Named for this try alone: a try that Temporal counts from 1 again must not be taken for the one before.
    const workspace = join(workplace, `${tryName}.${randomUUID().slice(0, 8)}`);
    // What Temporal shows of a step that is tried again and again: the fault of the try before, until it goes on.
    let trouble: unknown = info.heartbeatDetails;
    const beat = setInterval(() => activity.heartbeat(trouble), heartbeatMs);
    const took = stepSeconds.startTimer({ target: input.target, step: name });
    const about = {
      deployment: input.key,
      target: input.target,
      step: name,
      try: info.attempt,
      workflow: mine.owner,
    };
    const ended = (result: 'done' | 'failed' | 'fault' | 'cancelled', detail: string) => {
      const seconds = took({ result });
      deps.log[result === 'fault' ? 'warn' : 'info']({ ...about, result, seconds }, `${name}: ${detail}`);
    };
    let log: StepLog | undefined;
    let leavePlace: (() => void) | undefined;
    const note = (text: string) => log?.write('note', text);
    try {
      await failpoint(`${name}/asked`);
      const target = deps.targets().get(input.target);
      const recipe = target ? buildRecipe(target) : '';
      // Each try makes its folder after it has opened its step. What is there before this one opens it is therefore of
      // an older try, whenever it is removed; looked for later, it could be a newer one's.
      const older = await readdir(workplace).catch(() => []);
      const begin = async () => {
        const opened = await journal.begin(mine, recipe);
        if (opened === 'held') throw supersededTry(name, input.key);
        if (opened) {
          const { key = input.key, target: on = input.target } = opened;
          if (key === input.key && on === (deps.only ?? input.target) && on === input.target) return opened;
          throw forged(
            `${name} of ${input.key} on ${input.target} was ordered, but the record has ${key} on ${on}.`,
          );
        }
        throw verdict(
          'Superseded',
          `${name} of ${input.key}: the attempt has ended or a recovery has taken over; this try does nothing.`,
        );
      };
      let attempt = await begin();
      // Whatever stops a try from here on is written to its step. Before there is one, only the record itself is asked.
      if (!target) throw new FaultError('target-gone', whyGone(input.target));
      // Before its log is opened: waiting for a place is shown in the step, and not line by line.
      leavePlace = places.take(name);
      if ((trouble as { cause?: FaultCause } | undefined)?.cause === 'no-place') await goesOn();
      const secrets = readSecrets(target);
      const redact = redactor({ ...secrets, ...hiddenOf(target) });
      const driver = driverOf(deps, target);
      log = openLog((lines) => journal.append(mine, lines), redact, signal);
      if (info.attempt > 1) note(`${name}: try ${info.attempt}; looking at what the last one left behind`);
      await failpoint(`${name}/begun`);
      // A worker that was killed or stopped may have left its command running; nothing acts beside it. Where a
      // command was ever started there is a workspace.
      if (older.length > 0) {
        // This try may have been paused since it opened the step: one that has lost it does nothing more.
        attempt = await begin();
        for (const folder of older.map((entry) => join(workplace, entry))) {
          const left = await reap(folder);
          if (left > 0) note(`${name}: killed ${left} processes that an earlier try left behind`);
          await removeTree(folder);
        }
      }
      await failpoint(`${name}/before`);
      const result = await work({
        step: name,
        key: input.key,
        name: nameOfAttempt(input.key, attempt.origin),
        attempt,
        target,
        driver,
        sandbox: deps.sandbox,
        log,
        note,
        signal,
        secrets,
        redact,
        tryName,
        room: {
          workspace,
          artifact: (digest) => artifactIn(join(deps.stateDir, 'artifacts', target.name), digest),
          backups: join(deps.stateDir, 'backups', target.name),
        },
        async fence() {
          // What acted there may be above all that this record gave out.
          const fence = await journal.fence(mine, heldIn(driver.room));
          if (fence === undefined) throw supersededTry(name, input.key);
          return fence;
        },
        async observed(when, live) {
          const stands = await journal.observed(mine, when, live);
          if (!stands) throw supersededTry(name, input.key);
          return stands;
        },
        async permit(what) {
          const refusal = await journal.permit(mine, what, recipe, targetRecipe(target));
          if (refusal) throw verdict(refusal.type, refusal.message);
        },
        async notBegun() {
          // One of an earlier try may have. What cannot be said now stands as begun: its data goes back.
          if (!attempt.migrationBegan) await journal.notBegun(mine).catch(() => undefined);
        },
        goesOn,
      });
      await failpoint(`${name}/effect-unreported`);
      const detail = log.clean(result.detail);
      await log.close();
      // All or nothing: what a try did that lost its step meanwhile is not recorded.
      if (!(await journal.finish(mine, 'done', detail, result.made))) throw supersededTry(name, input.key);
      await failpoint(`${name}/recorded-unreported`);
      ended('done', detail);
      return result.value;
    } catch (thrown) {
      throw await failureOf(thrown);
    } finally {
      clearInterval(beat);
      leavePlace?.();
      await leave(workplace, workspace);
    }

    async function goesOn(): Promise<void> {
      trouble = undefined;
      if (info.attempt > 1) await journal.overcame(mine, ofCommands).catch(() => undefined);
    }

    /** Records why this try did not succeed. @returns what Temporal learns of it. */
    async function failureOf(thrown: unknown): Promise<Error> {
      const failure = interruption(name, thrown) ?? (await judged(thrown));
      const stopped = failure instanceof CancelledFailure;
      const over = !stopped && failure.nonRetryable === true;
      const waits = over && (failure.type === windowClosed || failure.type === noPlace);
      ended(stopped ? 'cancelled' : over ? 'failed' : 'fault', failure.message);
      if (!over || failure.type === windowClosed)
        note(`${name}: ${stopped ? 'stopped, because it was cancelled' : failure.message}`);
      await log?.close();
      // One that waits for its window, or for a place, has not failed: it is tried again. And what a newer try or a recovery did to this
      // one is no verdict on what is deployed.
      if (over && !waits && !(await journal.finish(mine, 'failed', failure.message)))
        return superseded(failure) ? failure : supersededTry(name, input.key);
      return failure;
    }

    /** Of an undo: until when it is tried; its alarm began when Temporal was asked for it. */
    function triedUntil(): string | undefined {
      const target = during.includes('rolling-back') ? deps.targets().get(input.target) : undefined;
      if (!target) return undefined;
      const alarm = new Date(info.scheduledTimestampMs + target.undoAlarmSeconds * 1000);
      return `It is tried until ${alarm.toISOString().slice(11, 19)} UTC (undoAlarmSeconds of the target); then an SRE is asked`;
    }

    async function judged(thrown: unknown): Promise<ApplicationFailure> {
      // One that has lost its step.
      if (thrown instanceof ApplicationFailure && !thrown.nonRetryable) return thrown;
      const { is, cause, message: whole } = judge(thrown);
      // What Temporal keeps in the history has no secrets. A cause is told in the message and not passed on, because
      // its own text and stack would be kept as they are.
      const message = log?.clean(whole) ?? whole;
      if (is === 'verdict') return ApplicationFailure.nonRetryable(message, cause);
      const { then, forMinutes } = ruleOf(cause);
      const said = sentences(message, then, triedUntil());
      const nextTryMs = retryDelayMs(info.attempt);
      trouble = { cause, message: said, nextTryMs };
      activity.heartbeat(trouble);
      // A fault of the record itself cannot be written there.
      const met =
        cause === 'record-away'
          ? 'unknown'
          : await journal.trouble(mine, { cause, message: said, nextTryMs }).catch(() => 'unknown' as const);
      if (met === undefined) return supersededTry(name, input.key);
      if (met !== 'unknown' && cause === 'no-place' && met.forMs > placeMs)
        return ApplicationFailure.nonRetryable(said, noPlace satisfies VerdictCause);
      // An undo is tried until its alarm.
      const bounded = during.includes('running') && forMinutes !== undefined;
      if (met !== 'unknown' && bounded && met.forMs > forMinutes * 60_000)
        return ApplicationFailure.nonRetryable(
          `${sentence(message)} It was tried ${met.tries} times in ${Math.round(met.forMs / 60_000)} minutes.`,
          cause,
        );
      return ApplicationFailure.create({
        message: `${name} met a fault and is tried again: ${said}`,
        type: cause,
        nextRetryDelay: nextTryMs,
      });
    }
  };
}

const superseded = (failure: Error) => failure instanceof ApplicationFailure && failure.type === 'Superseded';

/** The record, whose own faults are told from those of the target. */
function reaching(journal: Journal): Journal {
  const guarded = Object.entries(
    journal as unknown as Record<string, (...asked: unknown[]) => Promise<unknown>>,
  ).map(([name, call]) => [
    name,
    (...asked: unknown[]) =>
      call(...asked).catch((thrown: unknown) => {
        if (thrown instanceof SignalboxError) throw thrown;
        throw new FaultError('record-away', "Signalbox's own record could not be reached", { cause: thrown });
      }),
  ]);
  return Object.fromEntries(guarded) as unknown as Journal;
}

function artifactIn(room: string, name: string): string {
  if (/^[^./][^/]*$/.test(name)) return join(room, `${name}.tar`);
  throw verdict('NoRelease', `"${name.slice(0, 80)}" is no name of a release.`);
}

/** Removes what a try worked in; what cannot be removed now is removed with the deployment's end. */
async function leave(workplace: string, workspace: string): Promise<void> {
  if (!existsSync(workplace)) return;
  await removeTree(workspace)
    .then(() => rmdir(workplace))
    .catch(() => undefined);
}

export { verdict };
export type RunStep = ReturnType<typeof createStepRunner>;

/** Thrown where the caller saw the cancellation; the workflow compensates. */
export const cancelled = () => new CancelledFailure('the step was cancelled');

/**
 * A fault, not a verdict: the server listens to no try but its newest. Is this the newest (an operator had its count
 * reset), then it is tried again, and opening the step says how things stand.
 */
function supersededTry(step: string, key: string) {
  return ApplicationFailure.create({
    message: `${step} of ${key}: a newer try or a recovery has taken over; this one does nothing.`,
    type: 'Superseded',
  });
}

/** What Temporal learns of a step that was stopped, or undefined when it was not. */
function interruption(step: string, thrown: unknown): ApplicationFailure | CancelledFailure | undefined {
  const activity = Context.current();
  if (!activity.cancellationSignal.aborted || judge(thrown).is === 'verdict') return undefined;
  if (activity.cancellationDetails?.cancelRequested) return cancelled();
  // Not a person's cancel: this worker stops, or the server no longer knows this try. Another try goes on.
  return ApplicationFailure.create({
    message: `${step} was interrupted because this worker is stopping; it is tried again.`,
    type: 'Interrupted',
  });
}

const whyGone = (name: string) => `The targets file of this worker no longer names the target ${name}`;

/** Where somebody waits for the answer. @throws a verdict when the targets file names it no more. */
export function targetOf(deps: Pick<TargetDeps, 'targets'>, name: string): TargetConfig {
  const target = deps.targets().get(name);
  if (!target) throw verdict('UnknownTarget', sentences(whyGone(name), 'Put it back and try again'));
  return target;
}

/** The driver of a target, whose commands do not see the state directory. */
export const driverOf = ({ sandbox }: Pick<TargetDeps, 'sandbox'>, target: TargetConfig): Driver =>
  createDriver(target.driver, sandbox.hook(target, target.driver.root));

/** Why what is under way cannot go on; undefined when the targets file names its target. */
export const whyTargetGone = (deps: Pick<TargetDeps, 'targets'>, name: string): string | undefined =>
  deps.targets().has(name) ? undefined : sentences(whyGone(name), ruleOf('target-gone').then);
