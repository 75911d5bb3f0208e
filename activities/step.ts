import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TargetConfig } from '../domain/config';
import { messageOf, SignalboxError } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import type { DeploymentStatus } from '../domain/machines';
import type { Reference } from '../domain/service-config';
import { recipeDigest } from '../db/digest';
import type { Observed } from '../domain/observed';
import type { Attempt, Made } from '../db/journal';
import type { Try } from '../db/steps';
import { removeTree } from './archive';
import type { TargetDeps } from './deps';
import { createDriver, type Driver } from './drivers/driver';
import { heldIn } from './drivers/numbers';
import { openLog, type StepLog } from './log';
import { stepSeconds } from './metrics';
import { reap } from './process';
import { redactor, shortestSecret, type Redactor } from './redact';

/**
 * Every step runs through here: it opens the step for this try, heartbeats on a timer, offers the log, and
 * closes the step in the transaction that records what it did. A *verdict* (a failed build, an unhealthy
 * release) closes the step as failed and is not retried. A *fault* (a database away, a full disk) leaves it
 * open, and Temporal tries again.
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
  attempt: Attempt;
  target: TargetConfig;
  driver: Driver;
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
  /** Asks at the last moment whether it may act. @throws a verdict when it may not, WindowClosed when not now. */
  permit(what: 'migrate' | 'swap'): Promise<void>;
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

export const verdict = (type: string, message: string) => ApplicationFailure.nonRetryable(message, type);

const heartbeatMs = 1_000;

export function createStepRunner(deps: TargetDeps) {
  const { journal } = deps;
  return async function runStep<T>(
    name: string,
    during: readonly DeploymentStatus[],
    input: StepInput,
    work: (context: StepContext) => Promise<StepResult<T>>,
  ): Promise<T> {
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
    const beat = setInterval(() => activity.heartbeat(), heartbeatMs);
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
    try {
      await failpoint(`${name}/asked`);
      const target = targetOf(deps, input.target);
      const recipe = recipeDigest(target);
      // Each try makes its folder after it has opened its step. What is there before this one opens it is therefore of
      // an older try, whenever it is removed; looked for later, it could be a newer one's.
      const older = await readdir(workplace).catch(() => []);
      const begin = async () => {
        const opened = await journal.begin(mine, recipe);
        if (opened === 'held') throw supersededTry(name, input.key);
        if (opened) return opened;
        throw verdict(
          'Superseded',
          `${name} of ${input.key}: the attempt has ended or a recovery has taken over; this try does nothing.`,
        );
      };
      let attempt = await begin();
      const secrets = readSecrets(target);
      const redact = redactor({ ...secrets, ...hiddenOf(target) });
      const driver = createDriver(target.driver);
      const log = openLog((lines) => journal.append(mine, lines), redact, signal);
      const note = (text: string) => log.write('note', text);
      if (info.attempt > 1) note(`${name}: try ${info.attempt}; looking at what the last one left behind`);
      try {
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
          attempt,
          target,
          driver,
          log,
          note,
          signal,
          secrets,
          redact,
          tryName,
          room: {
            workspace,
            artifact: (digest) => join(deps.stateDir, 'artifacts', target.name, `${digest}.tar`),
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
            const refusal = await journal.permit(mine, what, recipe);
            if (refusal) throw verdict(refusal.type, refusal.message);
          },
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
        const failure = asFailure(thrown, name, log.clean);
        const isVerdict = failure instanceof ApplicationFailure && failure.nonRetryable;
        ended(
          failure instanceof CancelledFailure ? 'cancelled' : isVerdict ? 'failed' : 'fault',
          failure.message,
        );
        if (!isVerdict || failure.type === windowClosed)
          note(
            `${name}: ${failure instanceof CancelledFailure ? 'stopped, because it was cancelled' : failure.message}`,
          );
        await log.close();
        // One that waits for its window has not failed: it is tried again.
        if (isVerdict && failure.type !== windowClosed) {
          const ours = await journal.finish(mine, 'failed', failure.message);
          // What a late try found out is nobody's verdict.
          if (!ours && failure.type !== 'Superseded') throw supersededTry(name, input.key);
        }
        throw failure;
      }
    } finally {
      clearInterval(beat);
      await leave(workplace, workspace);
    }
  };
}
/** Removes what a try worked in; what cannot be removed now is removed with the deployment's end. */
async function leave(workplace: string, workspace: string): Promise<void> {
  if (!existsSync(workplace)) return;
  await removeTree(workspace)
    .then(() => rmdir(workplace))
    .catch(() => undefined);
}

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

/**
 * What Temporal learns, and keeps in the history: a message without secrets. A cause is told in the message and not
 * passed on, because its own text and stack would be kept as they are.
 */
function asFailure(
  thrown: unknown,
  step: string,
  clean: (text: string) => string,
): ApplicationFailure | CancelledFailure {
  if (thrown instanceof ApplicationFailure)
    return ApplicationFailure.create({
      message: clean(thrown.message),
      type: thrown.type ?? undefined,
      nonRetryable: thrown.nonRetryable ?? false,
    });
  if (thrown instanceof SignalboxError) return verdict(thrown.code, clean(thrown.message));
  const activity = Context.current();
  if (activity.cancellationSignal.aborted) {
    if (activity.cancellationDetails?.cancelRequested) return cancelled();
    // Not a person's cancel: this worker stops, or the server no longer knows this try. Another try goes on.
    return ApplicationFailure.create({
      message: `${step} was interrupted because this worker is stopping; it is tried again.`,
      type: 'Interrupted',
    });
  }
  return ApplicationFailure.create({
    message: clean(`${step} met a fault and is tried again: ${messageOf(thrown)}`),
    type: 'Fault',
  });
}

export function targetOf(deps: Pick<TargetDeps, 'targets'>, name: string): TargetConfig {
  const target = deps.targets().get(name);
  if (!target)
    throw verdict(
      'UnknownTarget',
      `The targets file has no target "${name}" any more; put it back and retry.`,
    );
  return target;
}

/** A value that the targets file refers to. @throws a verdict when it is not there. */
export function valueOf(name: string, target: string, reference: Reference): string {
  if ('file' in reference) {
    try {
      return readFileSync(reference.file, 'utf8').trimEnd();
    } catch (thrown) {
      throw verdict('MissingSecret', `Secret ${name} of ${target}: ${messageOf(thrown)}`);
    }
  }
  const value = process.env[reference.env];
  if (!value)
    throw verdict('MissingSecret', `Secret ${name} of ${target}: the variable ${reference.env} is not set.`);
  return value;
}

function readSecrets({ name: target, secrets }: TargetConfig): Record<string, string> {
  const read = Object.fromEntries(
    Object.entries(secrets).map(([name, reference]) => [name, valueOf(name, target, reference)]),
  );
  for (const [name, value] of Object.entries(read))
    if (value.length < shortestSecret)
      throw verdict(
        'MissingSecret',
        `Secret ${name} of ${target} is shorter than ${shortestSecret} characters, so it could not be kept out of the log; use a longer one.`,
      );
  return read;
}

/** What no command is given but must not stand in the log either: passwords of databases that are backed up. */
function hiddenOf({ name: target, backup }: TargetConfig): Record<string, string> {
  if (backup.kind !== 'postgres') return {};
  const urls = [backup.database, ...(backup.scratch ? [backup.scratch] : [])];
  const passwords = urls
    .map((reference) => decodeURIComponent(new URL(valueOf('backup.database', target, reference)).password))
    .filter((password) => password.length >= shortestSecret);
  return Object.fromEntries(passwords.map((password, n) => [`DATABASE_PASSWORD_${n}`, password]));
}
