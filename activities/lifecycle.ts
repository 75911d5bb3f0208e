import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { SignalDefinition } from '@temporalio/common';
import type { TargetConfig } from '../domain/config';
import { failpoint } from '../domain/failpoint';
import { incarnationOf } from '../domain/incarnation';
import { messageOf, SignalboxError } from '../domain/errors';
import { isTerminal, type DeploymentStatus, type Trigger } from '../domain/machines';
import { inWords, type Observed } from '../domain/observed';
import type { WordKind } from '../domain/words';
import { backupRemoved } from '../db/backups';
import { acquireLane, admit, type LaneAnswer } from '../db/admission';
import { amend, type Amended, type Traces } from '../db/amend';
import {
  attemptOf,
  beginRollback,
  deploymentById,
  findDeploymentById,
  recordEnd,
  rowKey,
  rollbackFailed,
  stillUndecided,
  takeOver,
  type DeploymentRow,
} from '../db/deployments';
import { findChangeRequest } from '../db/change-requests';
import { relatedTo } from '../db/conflicts';
import { firstInLine } from '../db/lane';
import { leftBy, oldBackups, type OnHost } from '../db/left';
import { demandDone, NotDone, planned, sightedLive, sightedTraces, takeAway, vouched } from '../db/believed';
import { findPromotion, type PromotionRow } from '../db/promotions';
import { whyMayNotNow } from '../db/people';
import { refuseWord, waitingWords, wordByRequest } from '../db/words';
import {
  changeRequestMoved,
  changeRequestWorkflowId,
  laneFree,
  recoverWorkflowId,
  type DeploymentOutcome,
  type DeploymentRequest,
  type Resolution,
} from '../workflows/messages';
import type { Deps } from './deps';
import type { Heard } from './heard';
import { look, noteLive } from './look';
import { sameChain, workflowNow } from './lost';
import { orderedBy } from './orders';
import { demandPresent } from './present';
import { targetOf } from './step';
import { tidyTarget } from './tidy';
import { sentences } from '../domain/sentences';

/** What a deployment's workflow has to know; fixed at admission, so that replay never reads configuration. */
export interface Plan {
  deployment: number;
  key: string;
  target: string;
  title: string;
  revision: string;
  commit: string;
  trigger: Trigger;
  migrates: boolean;
  /** Its steps are done by a runner on the target's own host. */
  runner?: { lostAfterMs: number };
  /** The queue of the runner that took it; the workflow's own note. */
  place?: { taskQueue: string; scheduleToStartTimeout: number };
  /** Its data goes back with its release; not in plans of the version before. */
  restoresData?: boolean;
  /** Whether the target has a release to return to; known once the lane is held. */
  hadRelease: boolean;
  /** What is recorded when it succeeds. */
  success: string;
  limits: {
    buildMs: number;
    backupMs: number;
    migrateMs: number;
    swapMs: number;
    healthMs: number;
    undoAlarmMs: number;
    /** How long it may hold before the swap for its window; not in plans of the version before. */
    windowHoldMs?: number;
  };
}

export type Ended = DeploymentOutcome & { left?: OnHost };

/** What a runner saw live; by the digest alone from a runner of the version before. */
export type Seen = { live: Observed } | { release: string | null };
/** A word that waits to be heard; the record has it. */
export interface WaitingWord {
  id: number;
  kind: WordKind;
}

/** How the lane stands, for the workflow. */
export type LaneNews =
  | { kind: 'acquired'; hadRelease: boolean }
  | { kind: 'waiting'; position: number; behind: string }
  | { kind: 'asleep'; until: number; left?: number; why: string }
  | { kind: 'ended'; outcome: DeploymentOutcome };

/** The transactions by which a deployment's workflow writes the record. Each may be repeated. */
export function createLifecycle(deps: Deps, heard: Heard) {
  const { db } = deps;
  const me = () => orderedBy().workflowId;
  const owned = <T>(work: (owner: string) => Promise<T>): Promise<T> => work(me());
  /** Signals a workflow, if it is still there. */
  const signalled = (workflowId: string, signal: SignalDefinition) =>
    deps.temporal.workflow
      .getHandle(workflowId)
      .signal(signal)
      .catch((thrown: unknown) => {
        if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
      });
  const outcomeOf = (row: DeploymentRow): DeploymentOutcome => ({
    deployment: rowKey(row),
    status: row.status,
    outcome: row.outcome ?? row.status,
  });

  function planOf(row: DeploymentRow, promotion: Pick<PromotionRow, 'title' | 'revision' | 'commit'>): Plan {
    const target = targetOf(deps, row.target);
    const byHand = row.trigger === 'rollback';
    return {
      deployment: row.id,
      key: rowKey(row),
      target: row.target,
      title: promotion.title,
      revision: promotion.revision,
      commit: promotion.commit,
      trigger: row.trigger,
      migrates: !byHand && target.migrate !== undefined,
      restoresData: !byHand && target.migrate?.restoreDataOnRollback === true,
      ...(target.runner ? { runner: { lostAfterMs: target.runner.lostAfterSeconds * 1000 } } : {}),
      hadRelease: row.from_deployment !== null,
      success: byHand
        ? `${row.target} was rolled back by hand to the release before and is healthy.`
        : `${promotion.revision} is deployed to ${row.target} and healthy.`,
      limits: limitsOf(target),
    };
  }

  /**
   * Wakes who waits and tidies up, once the attempt has ended; one that a recovery has taken over has not. Repeating
   * it is harmless.
   */
  async function afterEnd(row: DeploymentRow): Promise<Ended> {
    if (!isTerminal('deployment', row.status)) return outcomeOf(row);
    await tellOthers(row);
    const onHost = deps.targets().get(row.target)?.runner !== undefined;
    // On a host of its own it is the workflow that has it tidied up there, if a runner ever had it.
    if (onHost)
      return row.runner ? { ...outcomeOf(row), left: await leftBy(db, deps.targets(), row) } : outcomeOf(row);
    // Tidying is never worth a deployment's outcome.
    await failpoint('tidy/before');
    await leftBy(db, deps.targets(), row)
      .then((left) => tidyTarget(deps, left))
      .catch((thrown: unknown) =>
        deps.log.warn({ deployment: rowKey(row), err: thrown }, 'could not tidy up'),
      );
    return outcomeOf(row);
  }

  /** Wakes whoever waits first for this lane, or for it behind a related target. Lost signals are `reconcile`'s. */
  async function wakeNext(target: string): Promise<void> {
    for (const next of await firstInLine(db, relatedTo(deps.targets(), target)))
      await signalled(next, laneFree);
  }

  /** Tells who waits for the lane, and the change request's workflow. */
  async function tellOthers({ promotion, target }: DeploymentRow): Promise<void> {
    await wakeNext(target);
    const request = await findChangeRequest(db, promotion);
    if (request!.submission > 0)
      await signalled(
        changeRequestWorkflowId(promotion, request!.submission, request!.incarnation),
        changeRequestMoved,
      );
  }

  /** What the workflow learns of the lane; older attempts that this one supersedes are told to look again. */
  async function told(deployment: number, answer: LaneAnswer): Promise<LaneNews> {
    if (answer.kind === 'ended')
      return { kind: 'ended', outcome: await afterEnd(await deploymentById(db, deployment)) };
    // Who waited behind it may pass: an emergency does not wait for a window.
    if (answer.kind === 'asleep' && answer.leftQueue)
      await wakeNext((await deploymentById(db, deployment)).target);
    // Each ends itself when it looks again; until then this one waits behind it.
    if (answer.kind === 'waiting') for (const older of answer.supersedes) await signalled(older, laneFree);
    return answer;
  }

  /**
   * The answer to a failed rollback, as its row in the record has it: that one was verified, and not what Temporal says was.
   * @returns it; or why it does not count; or the attempt, when it was followed already.
   */
  async function answered(
    deployment: number,
    { request }: Resolution,
    action: Resolution['action'],
  ): Promise<{ said?: Resolution; done?: DeploymentRow; refused: string }> {
    const row = await deploymentById(db, deployment);
    const word = request ? await wordByRequest(db, deployment, 'resolve', request) : undefined;
    const none = `${rowKey(row)} has no such answer that waits; nothing was changed.`;
    if (word?.action !== action) return { refused: none };
    if (word.status === 'done' && row.status !== 'rollback-failed') return { done: row, refused: none };
    const refused =
      word.status === 'waiting' && (await whyMayNotNow(db, word.said_by, 'resolve', row.target));
    if (refused === undefined)
      return { said: { action, by: word.said_by, reason: word.reason ?? '', request }, refused: none };
    return { refused: refused ? refused.message : none };
  }

  /** An answer that cannot be followed is refused now: it must not come true once it can. */
  async function refuse(plan: Plan, { request }: Resolution, why: string): Promise<void> {
    const word = request && (await wordByRequest(db, plan.deployment, 'resolve', request));
    if (word) await refuseWord(db, word.id, why);
  }

  /**
   * What became of the workflow that had the attempt. Nobody takes over what still runs, whoever started the recovery, and
   * nothing of what the recovery says itself is believed. @throws a failure that ends it.
   */
  async function lostBefore(
    deployment: number,
    resumes: boolean,
  ): Promise<{ why?: string; resumes?: boolean }> {
    const { workflowId, runId } = orderedBy();
    const refusal = (why: string) => ApplicationFailure.nonRetryable(why, 'NothingToRecover');
    const row = await findDeploymentById(db, deployment);
    if (!row) throw refusal('There is no such attempt.');
    const key = rowKey(row);
    if (workflowId !== recoverWorkflowId(row.promotion, row.attempt, incarnationOf(workflowId)))
      throw refusal(`${workflowId} recovers nothing: it is no workflow of ${key}.`);
    const mine = row.owner === workflowId;
    // This was done before, or the recovery goes on as a new run.
    if (mine && (row.run_id === runId || (await sameChain(deps.temporal, workflowId, row.run_id, runId))))
      return { resumes: row.resumes ?? resumes };
    if (!mine && isTerminal('deployment', row.status)) throw refusal(`${key} has ended: ${row.status}.`);
    const now = await workflowNow(deps.temporal, row.owner, row.run_id);
    if (!now.lost && !mine) throw refusal(`${key} is run by ${row.owner}; there is nothing to recover.`);
    if (resumes && !now.vanished)
      throw refusal(`The workflow of ${key} was ended, so that it does not go on waiting. ${now.lost ?? ''}`);
    // It was taken away from its workflow for this recovery, which had not begun yet.
    return { why: mine && now.vanished && row.failure ? row.failure : now.lost, resumes };
  }

  /**
   * What a run goes on with whose workflow has an attempt already, from the attempt's row: the key that signed its start may be
   * gone by now. It has to be of the chain of runs in which it was admitted. @throws a failure that ends the workflow.
   */
  async function continued(row: DeploymentRow, message: unknown): Promise<DeploymentRequest> {
    const { runId } = orderedBy();
    if (row.run_id !== runId && !(await sameChain(deps.temporal, row.owner, row.run_id, runId))) {
      const why = `${rowKey(row)} was begun by another workflow of this id, and is ${row.status}. What was signed once is begun once`;
      await heard.refuse('start', rowKey(row), message, why);
      throw ApplicationFailure.nonRetryable(sentences(`Refused: ${why}`, 'Nothing was changed'), 'Forged');
    }
    return {
      promotion: row.promotion,
      attempt: row.attempt,
      trigger: row.trigger,
      startedBy: row.started_by,
      whenOpen: row.when_open,
      ...(row.reason === null ? {} : { reason: row.reason }),
      ...(row.request_id === null ? {} : { request: row.request_id }),
    };
  }

  return {
    /**
     * Writes the attempt's row and takes the lane if it is free, in one transaction.
     * @returns the plan and how the lane stands, or the outcome when it was refused or had ended.
     */
    async admit(
      message: unknown,
      runId: string,
    ): Promise<{ plan: Plan; lane: LaneNews; words?: WaitingWord[] } | DeploymentOutcome> {
      const begun = await attemptOf(db, me());
      const request: DeploymentRequest = begun
        ? await continued(begun, message)
        : await heard.verifiedStart('start', message);
      await failpoint('admit/before');
      await demandPresent(db);
      const { row, asked, lane } = await admit(db, { ...request, owner: me(), runId }, deps).catch(
        (thrown: unknown) => {
          if (thrown instanceof SignalboxError)
            throw ApplicationFailure.nonRetryable(thrown.message, thrown.code);
          throw thrown;
        },
      );
      await failpoint('admit/recorded-unreported');
      const about = { deployment: rowKey(row), target: row.target, request: request.request };
      deps.log.info(
        { ...about, lane: lane?.kind },
        lane ? `admitted; its lane: ${lane.kind}` : `${row.status}: ${row.outcome}`,
      );
      if (!lane) return afterEnd(row);
      const words = await waitingWords(db, row.id);
      const plan = planOf(row, asked);
      if (row.plan === null) await planned(db, row.id, plan);
      return {
        plan,
        lane: await told(row.id, lane),
        ...(words.length ? { words } : {}),
      };
    },

    async acquireLane(plan: Plan): Promise<LaneNews> {
      await failpoint('lane/before');
      const answer = await acquireLane(db, plan.deployment, me(), deps);
      await failpoint('lane/recorded-unreported');
      return told(plan.deployment, answer);
    },

    beginRollback: (plan: Plan, why: string) =>
      owned(async (owner) => {
        await failpoint('begin-rollback/before');
        const began = await beginRollback(
          db,
          plan.deployment,
          owner,
          await vouched(db, plan.deployment, why),
        );
        await failpoint('begin-rollback/recorded-unreported');
        // A target that is gone from the file comes back before anything is undone: as it was planned, as far as is known.
        const now = deps.targets().get(plan.target);
        const restores = now ? now.migrate?.restoreDataOnRollback === true : plan.restoresData === true;
        return { ...began, restoresData: began.migration && restores };
      }),
    resumeRollback: (plan: Plan, asked: Resolution) =>
      owned(async (owner) => {
        const { said, refused, done } = await answered(plan.deployment, asked, 'retry');
        if (!said && !done) throw ApplicationFailure.nonRetryable(refused, 'Forged');
        return beginRollback(db, plan.deployment, owner, undefined, said && moveOf(said));
      }),
    rollbackFailed: (plan: Plan, why: string) =>
      owned(async (owner) => {
        await rollbackFailed(db, plan.deployment, owner, why);
        deps.log.error(
          { deployment: plan.key, target: plan.target, why },
          'rollback failed: an SRE has to decide',
        );
        await noteLive(deps, plan.target);
      }),

    /**
     * An SRE leaves the target as it is: what is really live is observed and recorded.
     * @returns the outcome, or why it could not be accepted.
     */
    acceptRollback: (
      plan: Plan,
      outcome: string,
      asked: Resolution,
      seen?: Seen,
    ): Promise<Ended | { refused: string }> =>
      owned(async (owner) => {
        const { said, refused, done } = await answered(plan.deployment, asked, 'accept');
        if (done) return afterEnd(done);
        if (!said) return { refused };
        const live = seen
          ? await sightedLive(db, deps.keyring, plan.deployment, owner)
          : await look(deps, plan.target).catch((thrown: unknown) => ({ refused: messageOf(thrown) }));
        if ('refused' in live) {
          const why = sentences(
            live.refused,
            'Nobody could say what is live, so that it could not be recorded',
          );
          await stillUndecided(db, plan.deployment, owner, why);
          await refuse(plan, said, why);
          return { refused: why };
        }
        const told = sentences(outcome, `Current: ${inWords(live)}`);
        return afterEnd(
          await recordEnd(db, plan.deployment, owner, 'rolled-back', told, {
            live,
            accepted: moveOf(said),
          }),
        );
      }),

    refuseWord: refuse,

    recordEnd: (plan: Plan, to: 'succeeded' | 'rolled-back' | 'cancelled', outcome: string) =>
      owned(async (owner) => {
        await failpoint('record/before');
        const target = deps.targets().get(plan.target);
        const told = await vouched(db, plan.deployment, outcome);
        const row = await recordEnd(db, plan.deployment, owner, to, told, {
          reviewMs: (target?.reviewHours ?? 72) * 3_600_000,
          itemsDone: target?.itemsDoneWhenDeployed,
          demand: (tx, row) => demandDone(tx, deps.keyring, row, to),
        }).catch(async (thrown: unknown) => {
          if (thrown instanceof NotDone) await takeAway(db, thrown);
          throw thrown;
        });
        await failpoint('record/recorded-unreported');
        deps.log.info({ deployment: plan.key, target: plan.target, status: to }, outcome);
        return afterEnd(row);
      }),

    /** Backups that a runner has removed: of its own target, and only those that may go. */
    async backupsRemoved(deployments: number[]): Promise<void> {
      const mine = await db('deployments').where({ owner: me() }).distinct('target');
      for (const { target } of mine as Pick<DeploymentRow, 'target'>[])
        for (const { deployment } of await oldBackups(db, deps.targets(), target))
          if (deployments.includes(deployment)) await backupRemoved(db, deployment);
    },

    /** Hands an attempt to the recovery that calls this. */
    async takeOver(
      deployment: number,
      lostHow = 'Its workflow was lost.',
      resumes = false,
    ): Promise<{
      plan: Plan;
      /** What became of the workflow that had it, as Temporal says it; not told by the previous version. */
      why?: string;
      status: DeploymentStatus;
      began: string[];
      round: number;
      origin?: string;
      words?: WaitingWord[];
    }> {
      const { workflowId, runId } = orderedBy();
      const before = await lostBefore(deployment, resumes);
      const why = before.why ?? lostHow;
      const { row, began, round, origin } = await takeOver(db, deployment, workflowId, runId, why);
      const promotion = (await findPromotion(db, row.promotion))!;
      const words = await waitingWords(db, deployment);
      const plan = planOf(row, promotion);
      await planned(db, row.id, plan, before.resumes);
      return { plan, why, status: row.status, began, round, origin, words };
    },

    /** Takes into the record what the target shows and the record has lost. */
    amend: (deployment: number, _told: Traces, why: string): Promise<Amended> =>
      owned(async (owner) => {
        const seen = await sightedTraces(db, deps.keyring, deployment, owner);
        return amend(db, deps.keyring, deployment, owner, seen, why);
      }),
  };
}

const moveOf = ({ by, reason, request }: Resolution) => ({ by, why: reason, request });

/** Seconds that switching the target may take by its own commands. */
const longestHook = ({ driver }: TargetConfig) =>
  driver.kind === 'command'
    ? Math.max(driver.swap.timeoutSeconds, driver.restore.timeoutSeconds)
    : (driver.reload?.timeoutSeconds ?? 0);

/** Milliseconds that a full row of good answers may take; it is not cut off by the deadline. */
const longestRow = ({ health }: TargetConfig) =>
  health.successes * (health.requestTimeoutMs + health.intervalMs);

const marginMs = 60_000;
const limitsOf = (target: TargetConfig): Plan['limits'] => ({
  buildMs: target.build.timeoutSeconds * 1000 + marginMs,
  backupMs: 3_600_000,
  migrateMs: (target.migrate?.timeoutSeconds ?? 0) * 1000 + marginMs,
  swapMs: longestHook(target) * 1000 + 3_600_000,
  healthMs: target.health.deadlineSeconds * 1000 + longestRow(target) + marginMs,
  undoAlarmMs: target.undoAlarmSeconds * 1000,
  windowHoldMs: target.windowHoldSeconds * 1000,
});
