import { inWords, isRestorable, isSame, nothing, type Observed, type Restorable } from '../domain/observed';
import { wholeBackup } from './backup';
import { foundBefore, lookBefore, makeReady, ownOf, switchTo } from './live';
import { verdict, type RunStep, type StepContext, type StepInput } from './step';

/**
 * Undos of what changes what is live. They return to what was observed before the attempt acted. What somebody else made
 * live meanwhile is theirs: it is recorded, and left as it is.
 */

/** Undo of swap: what was live before is live again. Harmless when the swap never happened. */
export const createUndoSwap =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('undo-swap', ['rolling-back'], input, async (context) => ({
      value: undefined,
      detail: await makeOldCurrent(context),
    }));

async function makeOldCurrent(context: StepContext): Promise<string> {
  const { attempt } = context;
  const own = ownOf(context);
  if (attempt.drifted && !isRestorable(attempt.drifted)) return leftAlone(attempt.drifted);
  const wanted = attempt.drifted ?? (await recordedBefore(context));
  if (!wanted) return `the swap had not begun; ${inWords(await context.driver.observe())} was left as it is`;
  await makeReady(context, wanted);
  const over: Observed[] = [wanted, ...own, ...(attempt.tookOut ? [nothing] : [])];
  const { result, from, fence } = await switchTo(context, wanted, over, true);
  if (result === 'drifted') {
    await context.observed('meanwhile', from);
    return leftAlone(from);
  }
  if (attempt.drifted) return leftAlone(wanted);
  if (wanted.kind === 'nothing')
    return result === 'already'
      ? 'no release was current before, and none is now'
      : `no release is current: before this first deployment there was no release (fence ${fence})`;
  return result === 'already'
    ? `${inWords(wanted)} was current already (fence ${fence})`
    : `${inWords(wanted)} is current, before it ${inWords(from)} (fence ${fence})`;
}

/** What was live before the attempt acted, on record from here on; undefined: it did not come so far. */
async function recordedBefore(context: StepContext): Promise<Restorable | undefined> {
  const found = foundBefore(context);
  if (found && !context.attempt.observed) await context.observed('before', found);
  return found;
}

const leftAlone = (live: Observed) =>
  `somebody else made ${inWords(live)} live meanwhile; it was left as it is`;

/**
 * Where data goes back: nothing may run on data that is being replaced, so that whatever is live is taken out of service
 * first. Nothing is live then until undo-swap puts back what was.
 */
export const createTakeOut =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('take-out', ['rolling-back'], input, async (context) => {
      const { attempt, target } = context;
      if (!attempt.migrationBegan || !target.migrate?.restoreDataOnRollback)
        return { value: undefined, detail: 'no data goes back, so that what is live stays live' };
      // Without the data there is nothing to wait for: what is live stays live, and a person is asked.
      await wholeBackup(context);
      // The migration began, and whoever ran it was killed before it had written what was live: nothing has switched since.
      const before = attempt.observed ?? (await context.observed('before', await lookBefore(context)));
      const taken = await takeOut(context, [
        before,
        ...ownOf(context),
        ...(attempt.drifted ? [attempt.drifted] : []),
      ]);
      return {
        value: undefined,
        detail:
          taken.kind === 'nothing'
            ? 'nothing was live; data can go back'
            : `${inWords(taken)} is out of service until data is back; nothing is live meanwhile`,
      };
    });

/** @returns what was live. @throws a verdict when that could not be put back. */
async function takeOut(context: StepContext, over: Observed[]): Promise<Observed> {
  const { result, from } = await switchTo(context, nothing, over, true);
  if (result !== 'drifted') return from;
  if (!isRestorable(from))
    throw verdict(
      'NotRestorable',
      `${context.target.name} runs ${from.what}, which could not be put back once it is taken out of service. ${from.remedy}; then resolve with retry.`,
    );
  // Somebody else's: it comes back once the data is back.
  await context.observed('meanwhile', from);
  return takeOut(context, [...over, from]);
}

/** What is live after undoing, and what its health check may ask it for. */
export interface Restored {
  live: Observed;
  /** Nothing of the attempt ever acted. */
  untouched: boolean;
}
/** Looks at what an undo left. @throws a verdict when that is not what it had to return to. */
export async function restored(context: StepContext): Promise<Restored> {
  const { attempt, driver, target } = context;
  const live = await driver.observe();
  const wanted = attempt.drifted ?? (await recordedBefore(context));
  if (wanted && !isSame(live, wanted))
    throw verdict('NotRestored', `${target.name} runs ${inWords(live)}, not ${inWords(wanted)}.`);
  return { live, untouched: !wanted && !attempt.migrationBegan };
}
