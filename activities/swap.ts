import { failpoint } from '../domain/failpoint';
import { archiveOf, releaseOf, runTargetCommand, short } from './build';
import { fenced, underFence } from './fence';
import type { RunStep, StepContext, StepInput } from './step';

/** Optional: the target's migration command, run from the new release. It may run again after a fault. */
export const createMigrate =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('migrate', ['running'], input, async (context) => {
      const { target } = context;
      const { release, folder } = await installed(context);
      await context.permit('migrate');
      await failpoint('migrate/middle');
      const env = { SIGNALBOX_RELEASE: release };
      await underFence(context, (fence) =>
        runTargetCommand(context, 'migrate', target.migrate!, folder, env, fence),
      );
      return { value: undefined, detail: 'the migration command succeeded' };
    });

/** Swap: install the release, then make it current under a new fencing number. */
export const createSwap =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('swap', ['running'], input, async (context) => {
      const { release } = await installed(context);
      // While this was built an approver may have lost the right to approve, the target may have been changed, and the
      // window may have closed.
      if (context.attempt.trigger !== 'rollback') await context.permit('swap');
      return { value: undefined, detail: await makeCurrent(context, release, input.key) };
    });

/** The attempt's release beside the others, its archive checked also where it was there. */
async function installed(context: StepContext): Promise<{ release: string; folder: string }> {
  const release = releaseOf(context);
  const archive = await archiveOf(context, release);
  const folder = await context.driver.install(
    release,
    () => Promise.resolve(archive),
    context.key,
    context.note,
  );
  return { release, folder };
}

/** Undo of swap: what was current before is current again. Harmless when the swap never happened. */
export const createUndoSwap =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('undo-swap', ['rolling-back'], input, async (context) => {
      const { before } = context.attempt;
      // Nearly always it is there still; its archive may lie with another runner.
      if (before)
        await context.driver.install(before, () => archiveOf(context, before), context.key, context.note);
      return { value: undefined, detail: await makeCurrent(context, before, input.key, true) };
    });

const makeCurrent = (context: StepContext, release: string | null, key: string, undo = false) =>
  underFence(context, (fence) => switchTo(context, release, key, undo, fence));

async function switchTo(
  context: StepContext,
  release: string | null,
  key: string,
  undo: boolean,
  fence: number,
): Promise<string> {
  await failpoint(`${context.step}/middle`);
  const switched = await context.driver.switchTo(
    release,
    { fence, by: `${key} ${context.step}`, undo },
    (what, command, env, more) =>
      runTargetCommand(context, what, command, context.target.driver.root, env, fence, more),
  );
  if (switched.result === 'refused') throw fenced(context.target.name, fence, switched.fence);
  if (release === null)
    return switched.result === 'already'
      ? 'no release was current before, and none is now'
      : `no release is current: before this first deployment there was no release (fence ${fence})`;
  return switched.result === 'already'
    ? `release ${short(release)} was current already (fence ${fence})`
    : `release ${short(release)} is current, before it ${short(switched.from)} (fence ${fence})`;
}
