import { failpoint } from '../domain/failpoint';
import { inWords, releaseOr } from '../domain/observed';
import { archiveOf, releaseOf, runTargetCommand } from './build';
import { underFence } from './fence';
import { demandThere, holdReleases, lookBefore, ownOf, switchTo } from './live';
import { verdict, type RunStep, type StepContext, type StepInput } from './step';

/** Optional: the target's migration command, run from the new release. It may run again after a fault. */
export const createMigrate =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('migrate', ['running'], input, async (context) => {
      const { target } = context;
      const { release, folder } = await installed(context);
      const before = await lookBefore(context);
      await context.permit('migrate');
      await context.observed('before', before);
      await failpoint('migrate/middle');
      const env = { SIGNALBOX_RELEASE: release };
      await underFence(context, (fence) =>
        runTargetCommand(
          context,
          'migrate',
          { ...target.migrate!, notRun: context.notBegun },
          folder,
          env,
          fence,
        ),
      );
      return { value: undefined, detail: 'the migration command succeeded' };
    });

/** Swap: install the release, then make it current under a new fencing number. */
export const createSwap =
  (runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('swap', ['running'], input, async (context) => {
      const { release } = await installed(context);
      const looked = await lookBefore(context);
      // While this was built an approver may have lost the right to approve, the target may have been changed, and the
      // window may have closed.
      await context.permit('swap');
      const before = await context.observed('before', looked);
      // An earlier try of this attempt may have switched already.
      const { result, from, fence } = await switchTo(context, releaseOr(release), [
        before,
        ...ownOf(context),
      ]);
      if (result === 'drifted') {
        demandThere(context);
        await context.observed('meanwhile', from);
        throw verdict(
          'Drifted',
          `Drifted: somebody else switched ${context.target.name} meanwhile. ${inWords(from)} is live, and not ${inWords(before)} as when this deployment began; nothing was switched.`,
        );
      }
      const now = inWords(releaseOr(release));
      return {
        value: undefined,
        detail:
          result === 'already'
            ? `${now} was current already (fence ${fence})`
            : `${now} is current, before it ${inWords(from)} (fence ${fence})`,
      };
    });

/** The attempt's release beside the others, its archive checked also where it was there. */
async function installed(context: StepContext): Promise<{ release: string; folder: string }> {
  const release = releaseOf(context);
  const archive = await archiveOf(context, release);
  await holdReleases(context, release);
  const folder = await context.driver.install(
    release,
    () => Promise.resolve(archive),
    context.name,
    context.note,
  );
  return { release, folder };
}
