import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import {
  inWords,
  isDigest,
  isRestorable,
  isSame,
  namedBy,
  releaseOr,
  type Observed,
  type Restorable,
} from '../domain/observed';
import { archiveOf, runTargetCommand } from './build';
import type { Guard, Hook, Switched } from './drivers/driver';
import { actsIn, hasActed, heldIn, mayBeOf, newerIn, switchesIn } from './drivers/numbers';
import { sentences } from '../domain/sentences';
import { fenced, underFence } from './fence';
import { judge, verdict } from './causes';
import type { StepContext } from './step';

/**
 * What was live before an attempt acted, and how it is switched. It is looked at before the migration or the swap, whichever
 * comes first, and written once: a rename and a commit are not one transaction, so that whoever looks later may see the
 * attempt's own release.
 */

/**
 * Looks before anything is touched. @returns what an undo will return to, also when an earlier try found it.
 * @throws a verdict when that could not be put back.
 */
export async function lookBefore(context: StepContext): Promise<Restorable> {
  const { attempt, driver, note, target } = context;
  const found = foundBefore(context);
  if (found) return found;
  const live = await driver.observe();
  if (!isRestorable(live))
    throw verdict(
      'NotRestorable',
      `${target.name} runs ${live.what}: a rollback could not put that back. Nothing was touched. ${live.remedy}; then deploy again.`,
    );
  await isThere(context, live).catch((thrown: unknown) => {
    if (judge(thrown).is === 'fault') throw thrown;
    throw verdict(
      'NotRestorable',
      `${target.name} runs ${inWords(live)}, which Signalbox could not put back: ${messageOf(thrown)} Nothing was touched. Take it out of service first, or let driver.observe print nothing while it is live, if a rollback need not bring it back.`,
    );
  });
  const believed = releaseOr(attempt.before);
  if (!isSame(live, believed))
    note(
      `${context.step}: ${inWords(live)} is live, and not ${inWords(believed)} as the record has it; an undo returns to what is live`,
    );
  return live;
}

/**
 * What the attempt found live, if it has acted. Workers from before observation switched without recording what they
 * found: then the target's own journal has it, and looking now would find the attempt's own release.
 */
export function foundBefore(context: StepContext): Restorable | undefined {
  const { attempt, key } = context;
  if (attempt.observed) return attempt.observed;
  const mine = switchesOf(context);
  // Another attempt may have had this key before the database was restored.
  const swap = mine.find(({ by, to }) => by === `${key} swap` && to === attempt.release);
  if (!swap) return undefined;
  const undone = mine.findLast(({ by }) => by === `${key} undo-swap`);
  const text = undone ? undone.to : swap.from;
  // Of what was no release they wrote less than it takes to put it back; they returned to what the record had.
  return releaseOr(text === null || isDigest(text) ? text : attempt.before);
}

/** What it switched since somebody else last did. */
function switchesOf({ attempt, driver, key }: StepContext) {
  const all = switchesIn(driver.room);
  return all.slice(all.findLastIndex((entry) => !mayBeOf(entry, key, attempt.origin)) + 1);
}

/** Its archive is all that brings it back when its folder is changed, or removed with the old ones. */
async function isThere(context: StepContext, live: Restorable): Promise<void> {
  if (live.kind === 'release') await archiveOf(context, live.release);
}
const isUnpacked = ({ target }: StepContext, release: string) =>
  existsSync(join(target.driver.root, 'releases', release));

/**
 * Notes a number of this attempt on the target before it looks whether a release is there: from then on nothing that an
 * earlier deployment left to be tidied removes one. A release that is not there yet is unpacked, and the newest one stays.
 */
export async function holdReleases(context: StepContext, release: string): Promise<void> {
  if (!isUnpacked(context, release)) return;
  const { key, driver, attempt } = context;
  if (actsIn(driver.room, key, attempt.origin ?? '').at(-1)?.fence === heldIn(driver.room).fence) return;
  const command = {
    argv: ['true'],
    timeoutSeconds: 60,
    shown: 'noting its fencing number',
    own: true as const,
  };
  const by = { by: `${context.key} ${context.step} looks` };
  await underFence(context, (fence) =>
    runTargetCommand(context, context.step, command, context.target.driver.root, {}, fence, by),
  );
}

/** What is to be switched to lies there as it was built. */
export async function makeReady(context: StepContext, to: Restorable): Promise<void> {
  if (to.kind !== 'release') return;
  if (isUnpacked(context, to.release) && isSame(await context.driver.observe(), to)) return;
  // Nearly always it is there still; its archive may lie with another runner.
  const { driver, name, note } = context;
  await driver.install(to.release, () => archiveOf(context, to.release), name, note);
}

/** What this attempt made live, if it came so far; the target's own journal has it also when the record has lost it. */
export function ownOf({ attempt, driver, key }: StepContext): Restorable[] {
  const acts = actsIn(driver.room, key, attempt.origin ?? '').filter(({ step }) => step === 'swap');
  const own = new Set([attempt.release, ...acts.map(({ to }) => to)]);
  return [...own].filter((release) => typeof release === 'string').map(releaseOr);
}

/**
 * What has to be live for data to go back: what this attempt itself left live. A switch is noted before it is done, so that
 * of one whose end the record does not have either side may be live.
 * @param before what was live before it acted.
 */
export function leftBy(context: StepContext, before: Observed): Observed[] {
  const { attempt, key } = context;
  const last = switchesOf(context).at(-1);
  if (!last) return attempt.done?.includes('swap') ? ownOf(context) : [before];
  const isDone = attempt.done?.includes(last.by.slice(key.length + 1)) === true;
  return [namedBy(last.to), ...(isDone ? [] : [namedBy(last.from)])];
}

/**
 * Whether data went back and what was live before is live again: the target's journal has both, also where the record has
 * lost them. What was written since must stay.
 */
export function isBack({ attempt, driver, key }: StepContext): boolean {
  const steps = actsIn(driver.room, key, attempt.origin ?? '').map(({ step }) => step);
  const out = steps.indexOf('take-out');
  const back = steps.lastIndexOf('undo-migrate');
  return out !== -1 && out < back && steps.indexOf('undo-swap', back) !== -1;
}

/**
 * Why nobody can tell whether the attempt succeeded, in plain words: it made its release live before the database was
 * restored, and has not undone that, so that its end may be among what was lost.
 */
export function mayHaveSucceeded({ attempt, driver, key }: StepContext): string | undefined {
  const last = actsIn(driver.room, key, attempt.origin ?? '').findLast(({ to }) => to !== undefined);
  if (last?.step !== 'swap' || last.fence > (attempt.lostUpTo ?? 0)) return undefined;
  return `the database was restored to a time before the end of ${key}, which may have succeeded: it made its release live at ${last.at}`;
}

/** Who else has acted on the target since this attempt did, in plain words. */
export function newerThan({ attempt, driver, key }: StepContext): string | undefined {
  const newer = newerIn(driver.room, key, attempt.origin ?? '');
  return newer && `${newer.by} acted there since, under fencing number ${newer.fence}`;
}

/**
 * Each act is noted in the target's folder before it is done. What is live in one that has none says nothing of what the
 * attempt left elsewhere. @throws a verdict when this is not where it acted.
 */
export function demandThere({ attempt, driver, key, target }: StepContext): void {
  const did = ['swap', 'migrate'].find((step) => attempt.done?.includes(step));
  if (!did || !attempt.origin || hasActed(driver.room, key, attempt.origin)) return;
  throw verdict(
    'Drifted',
    sentences(
      `${target.driver.root}, the driver.root of ${target.name}, has no trace of ${key}, which did its ${did}: driver.root was changed in the targets file meanwhile, or the folder was replaced`,
      `Nothing was changed. Put it back as it was, then signalbox resolve ${key} --retry; or look what is live, and signalbox resolve ${key} --accept`,
    ),
  );
}

/** Switches under a new fencing number. @throws a verdict when a newer number has acted. */
export const switchTo = (
  context: StepContext,
  to: Restorable,
  over: Observed[],
  undo = false,
): Promise<Switched> =>
  underFence(context, async (fence) => {
    await failpoint(`${context.step}/middle`);
    const switching = {
      fence,
      by: `${context.key} ${context.step}`,
      origin: context.attempt.origin,
      over,
      undo,
    };
    const switched = await context.driver.switchTo(to, switching, hookOf(context, fence));
    await failpoint(`${context.step}/switched`);
    if (switched.result === 'refused') throw fenced(context.target.name, fence, switched.fence);
    return { ...switched, fence };
  });

/** Runs a target's command; with a guard it says whether it was run at all. */
const hookOf =
  (context: StepContext, fence: number): Hook =>
  (what, command, env, more, guard) =>
    guarded(context, guard, (asked) =>
      runTargetCommand(context, what, command, context.target.driver.root, env, fence, { ...more, ...asked }),
    );

/**
 * Runs a command that asks first, under the target's lock, what is live.
 * @param run starts it with this, besides, for the process that holds the lock.
 * @returns what was live instead, when the command was not run.
 */
export async function guarded(
  context: StepContext,
  guard: Guard | undefined,
  run: (more: object) => Promise<void>,
): Promise<{ drifted: string } | undefined> {
  const answer = join(context.room.workspace, 'observed.json');
  const { target } = context;
  const { root } = target.driver;
  await rm(answer, { force: true });
  try {
    await run(
      guard ? { guard: { ...guard, hidden: context.sandbox.hook(target, root), cwd: root, answer } } : {},
    );
  } catch (thrown) {
    const said = await readFile(answer, 'utf8').catch(() => undefined);
    if (said === undefined) throw thrown;
    const { drifted, fault } = JSON.parse(said) as { drifted?: string; fault?: string };
    if (drifted === undefined) throw new Error(fault, { cause: thrown });
    return { drifted };
  }
  return undefined;
}
