import { failpoint } from '../domain/failpoint';
import { sentences } from '../domain/sentences';
import {
  inWords,
  isRestorable,
  isSame,
  nothing,
  textOf,
  type Observed,
  type Restorable,
} from '../domain/observed';
import { wholeBackup } from './backup';
import { backupKind } from './backups/kind';
import { underFence } from './fence';
import {
  demandThere,
  foundBefore,
  guarded,
  isBack,
  leftBy,
  lookBefore,
  makeReady,
  mayHaveSucceeded,
  newerThan,
  ownOf,
  switchTo,
} from './live';
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
  demandThere(context);
  const own = ownOf(context);
  if (attempt.drifted && !isRestorable(attempt.drifted)) return leftAlone(attempt.drifted);
  const wanted = attempt.drifted ?? (await recordedBefore(context));
  if (!wanted) {
    const live = await context.driver.observe();
    return `the swap had not begun; ${live.kind === 'nothing' ? 'nothing was switched' : `${inWords(live)} was left as it is`}`;
  }
  await makeReady(context, wanted);
  const over: Observed[] = [wanted, ...own, ...(attempt.tookOut ? [nothing] : [])];
  const { result, from, fence } = await switchTo(context, wanted, over, true);
  if (result === 'drifted') {
    await context.observed('meanwhile', from);
    return leftAlone(from);
  }
  if (attempt.drifted && !(attempt.observed && isSame(attempt.drifted, attempt.observed)))
    return leftAlone(wanted);
  if (wanted.kind === 'nothing')
    return result === 'already'
      ? 'no release was current before, and none is now'
      : `no release is current: before this first deployment there was no release (fence ${fence})`;
  return result === 'already'
    ? `${inWords(wanted)} was current already (fence ${fence})`
    : attempt.tookOut && from.kind === 'nothing'
      ? `${inWords(wanted)} is current again; nothing was live since what had replaced it was taken out of service (fence ${fence})`
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
 * first. Nothing is live then until undo-swap puts back what was. Only what this attempt itself left live is taken out:
 * what runs on the data of somebody else's release writes to it, and a backup from before would lose that.
 */
export const createTakeOut =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('take-out', ['rolling-back'], input, async (context) => {
      const { attempt, target } = context;
      if (!attempt.migrationBegan || !target.migrate?.restoreDataOnRollback)
        return { value: undefined, detail: 'no data goes back, so that what is live stays live' };
      await demandNewest(context);
      if (isBack(context))
        return { value: undefined, detail: 'data went back already; what is live since stays live' };
      // Without the data there is nothing to wait for: what is live stays live, and a person is asked.
      await wholeBackup(context);
      // The migration began, and whoever ran it was killed before it had written what was live: nothing has switched since.
      const before = attempt.observed ?? (await context.observed('before', await lookBefore(context)));
      const over = await mayGoBack(context, before);
      const { result, from } = await switchTo(context, nothing, over, true);
      if (result === 'drifted') throw driftedVerdict(context, over, from);
      // It had been switched by somebody else, who made what was live before live again.
      if (attempt.drifted && isRestorable(before)) await context.observed('meanwhile', before);
      return {
        value: undefined,
        detail:
          from.kind === 'nothing'
            ? 'nothing was live; data can go back'
            : `${inWords(from)} is out of service until data is back; nothing is live meanwhile`,
      };
    });

/** Undo of migrate: the backup's data back in place. Harmless when repeated. */
export const createRestoreData =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('undo-migrate', ['rolling-back'], input, async (context) => {
      const { attempt, driver, target } = context;
      if (!attempt.migrationBegan)
        return { value: undefined, detail: 'the migration had not begun; data was left alone' };
      if (!target.migrate?.restoreDataOnRollback)
        return {
          value: undefined,
          detail: "data was left alone, as the target's policy says (migrate.restoreDataOnRollback: false)",
        };
      await demandNewest(context);
      if (isBack(context))
        return { value: undefined, detail: 'data went back already; what was written since stays' };
      const backup = await wholeBackup(context);
      const over = await mayGoBack(context, foundBefore(context) ?? nothing);
      const guard = { ...driver.asked, over: over.map((live) => textOf(live) ?? '') };
      await underFence(context, async (fence) => {
        await failpoint('undo-migrate/middle');
        const stopped = await guarded(context, guard, (more) =>
          backupKind(target.backup).restore(context, backup.reference, fence, more),
        );
        if (stopped) throw driftedVerdict(context, over, await driver.observe());
      });
      return { value: undefined, detail: `data restored from ${backup.reference}` };
    });

/** @throws a verdict when the record may be older than the target: somebody else acted there since, or it had succeeded. */
async function demandNewest(context: StepContext): Promise<void> {
  demandThere(context);
  const newer = newerThan(context) ?? mayHaveSucceeded(context);
  if (newer) throw driftedVerdict(context, [], await context.driver.observe(), newer);
}

/** What may be live when data goes back; compared again under the target's lock. @throws a verdict when something else is. */
async function mayGoBack(context: StepContext, before: Observed): Promise<Observed[]> {
  const over = leftBy(context, before);
  const live = await context.driver.observe();
  // Nothing being live is no switch, so that no lock would tell. A switching command that was stopped may leave that.
  const half = context.target.driver.kind === 'command' && live.kind === 'nothing';
  if (!half && !over.some((mine) => isSame(mine, live))) throw driftedVerdict(context, over, live);
  return over;
}

function driftedVerdict({ key, target }: StepContext, [mine]: Observed[], live: Observed, newer?: string) {
  const why = newer
    ? `${newer}, and ${inWords(live)} is live`
    : `somebody else switched it; ${inWords(live)} is live, and not ${inWords(mine!)} as ${key} left it`;
  const again = newer
    ? `To put the data of ${key} back all the same, accept, and then: signalbox backup restore ${key} --in-place`
    : `To undo all the same, which loses what was written since the backup: ${
        mine!.kind === 'nothing' ? 'take it out of service' : `make ${inWords(mine!)} live again`
      }, then signalbox resolve ${key} --retry`;
  return verdict(
    'Drifted',
    sentences(
      `Drifted: ${target.name} ${newer ? 'may no longer be' : 'is no longer'} as ${key} left it: ${why}`,
      `Data may have been written since, so nothing was taken out and no data was restored. To keep what is live and its data: signalbox resolve ${key} --accept`,
      again,
    ),
  );
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
