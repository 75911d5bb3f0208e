import {
  ApplicationFailure,
  ActivityFailure,
  CancellationScope,
  condition,
  patched,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { LaneNews, Plan } from '../activities/lifecycle';
import type { NoPlace, WindowClosed } from '../activities/step';
import { attributes } from '../temporal-config/names';
import { onTarget, record } from './activities';
import type { Inbox } from './inbox';
import { laneFree, progress, windowChanged, type DeploymentOutcome } from './messages';
import { claimed, recordEnd } from './place';
import { saga, undosOf } from './saga';
import { createSleep, utc } from './sleep';
import { sentences } from '../domain/sentences';

/** An attempt from the moment at which it waits: for its window, in its target's queue, and then its steps. */
export interface Waiting {
  /** Waits, deploys, and undoes when a step fails. */
  goOn(plan: Plan, lane: LaneNews): Promise<DeploymentOutcome>;
  /** A cancel that counts was heard. */
  stop(): void;
  show(status: string, details: string): void;
}

/**
 * Made before anything else, in the workflow's own scope: a cancel from the Temporal UI reaches the attempt through that.
 * @param beginAnew goes on as a new run, where one that waits has got a long history.
 */
export function waitingAttempt(inbox: Inbox, beginAnew: () => Promise<never>): Waiting {
  let plan: Plan;
  let lookAgain = false;
  let status = 'queued';
  let doing = 'being admitted';
  let waitingFor: string | null = null;
  const sleepUntil = createSleep();
  /** One deadline for the attempt: a window that flaps does not keep the lane forever. */
  let holdUntil: number | undefined;
  // A cancel from the API stops this scope; one from the Temporal UI reaches it through the workflow's own.
  const stoppable = new CancellationScope();
  setHandler(laneFree, () => void (lookAgain = true));
  setHandler(windowChanged, () => void (lookAgain = true));
  setHandler(progress, () => ({ status, doing, waitingFor }));
  const show = (next: string, details: string) => {
    status = doing = next;
    setCurrentDetails(details);
    upsertSearchAttributes([{ key: attributes.status, value: next }]);
  };
  const whyCancelled = () => inbox.why() ?? 'Cancelled from Temporal (its UI or command line).';

  return { goOn, stop: () => stoppable.cancel(), show };

  async function goOn(admitted: Plan, lane: LaneNews): Promise<DeploymentOutcome> {
    plan = admitted;
    return (await untilLaneIsOurs(lane)) ?? deploy();
  }

  async function deploy(): Promise<DeploymentOutcome> {
    show('running', `**Deploying ${plan.title} to ${plan.target}.** Build, backup, swap, health check.`);
    return saga(
      plan,
      (undo) =>
        stoppable.run(async () => {
          const input = { ...plan, round: 1 };
          const step = (summary: string, limitMs: number) => {
            doing = summary;
            return placed(onTarget(summary, limitMs, plan.place));
          };

          if (plan.runner) {
            doing = `finding a runner of ${plan.target}`;
            plan.place = await claimed(plan);
          }
          // An archive that nobody refers to harms nobody: no undo. A rollback by hand has its release already.
          if (plan.trigger !== 'rollback')
            await step(`Build ${plan.revision} (${plan.commit.slice(0, 12)})`, plan.limits.buildMs).build(
              input,
            );

          // A backup is kept whatever happens: no undo.
          await step('Back up the data and read it back', plan.limits.backupMs).backup(input);

          if (plan.migrates) {
            undo(...undosOf(plan, ['migrate']));
            await whenOpen(
              'migrate',
              (round) =>
                step("Run the target's migration", plan.limits.migrateMs).migrate({ ...input, round }),
              // What was written while it was held is in no backup yet, and would be lost with the one from before.
              async (round) => {
                if (patched('backup-after-hold'))
                  await step('Back up the data again, as it is after the hold', plan.limits.backupMs).backup({
                    ...input,
                    round,
                  });
              },
            );
          }

          // Registered before the step: whether a lost swap happened is unknown, and undoing it is harmless.
          undo(...undosOf(plan, ['swap']));
          await whenOpen('swap', (round) =>
            step('Swap: make the new release current', plan.limits.swapMs).swap({ ...input, round }),
          );

          // Only reads: no undo.
          await step('Health check: the new release answers for itself', plan.limits.healthMs).healthCheck(
            input,
          );

          // From here on it is deployed; a cancel comes too late.
          return CancellationScope.nonCancellable(() => recordEnd(plan, 'succeeded', plan.success));
        }),
      whyCancelled,
      inbox,
    );
  }

  /**
   * Runs a step that refuses to act outside of the window: then it is held, with the lane, until the window opens or
   * the target's deadline passes; that undoes the deployment.
   * @param opened what is done once more before it goes on.
   */
  async function whenOpen(
    before: 'migrate' | 'swap',
    run: (round: number) => Promise<void>,
    opened?: (round: number) => Promise<void>,
  ): Promise<void> {
    for (let round = 1; ; round++) {
      try {
        return await run(round);
      } catch (thrown) {
        if (!failedAs(thrown, 'WindowClosed' satisfies WindowClosed)) throw thrown;
        await held(before);
        await opened?.(round + 1);
      }
    }
  }

  async function held(step: 'migrate' | 'swap'): Promise<void> {
    const what = step === 'migrate' ? 'migration' : 'swap';
    // For histories of the previous version, whose answers name no deadline: by Temporal's clock, as it judged.
    const before = holdUntil ?? Date.now() + (plan.limits.windowHoldMs ?? 3_600_000);
    for (;;) {
      lookAgain = false;
      const news = await record.holdForWindow(plan, holdUntil, what);
      const deadline = (holdUntil = news.deadline ?? before);
      if (news.open) {
        waitingFor = null;
        return show('running', `**Deploying ${plan.title} to ${plan.target}.** Its window is open again.`);
      }
      if (news.over ?? Date.now() >= deadline)
        throw ApplicationFailure.nonRetryable(
          sentences(
            `Its window closed before the ${what} and was still closed at the deadline, ${utc(deadline)}: ${news.why}`,
          ),
          'WindowClosed' satisfies WindowClosed,
        );
      waitingFor = `its window: ${news.why}`;
      const opens = news.until === null ? 'It does not open within a year.' : `It opens ${utc(news.until)}.`;
      show(
        'running',
        `**Held before the ${what}, with the lane of ${plan.target}.** ${sentences(news.why)} ${opens} At ${utc(deadline)} it is undone.\n\nEdit or override the window to go on, or \`signalbox cancel ${plan.key}\`.`,
      );
      const next = Math.min(news.until ?? deadline, deadline);
      await sleepUntil(next, `Held before the ${what}: ${news.why}`, () => lookAgain, news.left);
    }
  }

  /** Waits for its window and in the target's queue. @returns the outcome when it ended while it waited. */
  async function untilLaneIsOurs(lane: LaneNews): Promise<DeploymentOutcome | undefined> {
    for (;;) {
      if (lane.kind === 'ended') return lane.outcome;
      if (lane.kind === 'acquired') {
        waitingFor = null;
        plan = { ...plan, hadRelease: lane.hadRelease };
        return undefined;
      }
      // A sleep may see any number of edited windows, and newer workers; a new run takes no history along.
      const { continueAsNewSuggested, targetWorkerDeploymentVersionChanged } = workflowInfo();
      // A cancel that counts ends this run, and no other: the next one would not know of it.
      if ((continueAsNewSuggested || targetWorkerDeploymentVersionChanged) && inbox.idle()) await beginAnew();
      const news = lane;
      try {
        await stoppable.run(() => (news.kind === 'asleep' ? asleep(news) : queued(news)));
      } catch {
        const why = whyCancelled();
        return CancellationScope.nonCancellable(() =>
          recordEnd(plan, 'cancelled', `${why} It had not begun; nothing was touched.`),
        );
      }
      lookAgain = false;
      lane = await CancellationScope.nonCancellable(() => record.acquireLane(plan));
    }
  }

  function queued({ position, behind }: LaneNews & { kind: 'waiting' }): Promise<void> {
    waitingFor = `the lane of ${plan.target}: position ${position}, behind ${behind}`;
    show('queued', `**Waiting for ${waitingFor}.** One deployment at a time runs on a target.`);
    return condition(() => lookAgain);
  }

  function asleep({ until, left, why }: LaneNews & { kind: 'asleep' }): Promise<void> {
    waitingFor = `its window: ${why}`;
    const details = `**Asleep until ${utc(until)}: ${plan.target} is closed.** ${why}.\n\nAn edited window wakes it. \`signalbox cancel ${plan.key}\` ends it.`;
    // Of a thousand sleepers that an edit wakes, none writes again what its search attributes say already.
    if (status === 'waiting-for-window') setCurrentDetails(details);
    else show('waiting-for-window', details);
    return sleepUntil(until, `Until the window of ${plan.target} opens: ${why}`, () => lookAgain, left);
  }
}

/** Each is asked for until a worker has a place for it: waiting for one does not count against its limit. */
const placed = <Steps extends object>(steps: Steps): Steps =>
  new Proxy(steps, {
    get: (real, name) => {
      const step = Reflect.get(real, name) as (...input: unknown[]) => Promise<unknown>;
      return async (...input: unknown[]) => {
        for (;;) {
          try {
            return await step(...input);
          } catch (thrown) {
            if (!failedAs(thrown, 'NoPlace' satisfies NoPlace)) throw thrown;
          }
        }
      };
    },
  });

/** Whether a step failed with this type. */
const failedAs = (thrown: unknown, type: string): boolean =>
  thrown instanceof ActivityFailure &&
  thrown.cause instanceof ApplicationFailure &&
  thrown.cause.type === type;
