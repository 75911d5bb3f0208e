import { ApplicationFailure, Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { SignalDefinition } from '@temporalio/common';
import type { TargetConfig } from '../domain/config';
import { failpoint } from '../domain/failpoint';
import { deploymentKey } from '../domain/keys';
import type { DeploymentStatus, Trigger } from '../domain/machines';
import {
  acquireLane,
  admit,
  beginRollback,
  deploymentById,
  nextAttempt,
  nextInLine,
  NotOwner,
  recordEnd,
  rollbackFailed,
  takeOver,
  type DeploymentRow,
} from '../db/deployments';
import { findChangeRequest } from '../db/change-requests';
import { findPromotion } from '../db/promotions';
import { switchedOff } from '../db/targets';
import {
  changeRequestMoved,
  changeRequestWorkflowId,
  laneFree,
  type DeploymentOutcome,
  type DeploymentRequest,
} from '../workflows/messages';
import { removeTree } from './archive';
import { short } from './build';
import type { Deps } from './deps';
import { directoryDriver } from './drivers/directory';
import { targetOf } from './step';
import { join } from 'node:path';

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
  };
}

/** The transactions by which a deployment's workflow writes the record. Each may be repeated. */
export function createLifecycle(deps: Deps) {
  const { db } = deps;
  const me = () => Context.current().info.workflowExecution!.workflowId;
  const owned = async <T>(work: (owner: string) => Promise<T>): Promise<T> => {
    try {
      return await work(me());
    } catch (thrown) {
      if (thrown instanceof NotOwner) throw ApplicationFailure.nonRetryable(thrown.message, 'Superseded');
      throw thrown;
    }
  };
  /** Signals a workflow, if it is still there. */
  const signalled = (workflowId: string, signal: SignalDefinition) =>
    deps.temporal.workflow
      .getHandle(workflowId)
      .signal(signal)
      .catch((thrown: unknown) => {
        if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
      });
  const outcomeOf = (row: DeploymentRow): DeploymentOutcome => ({
    deployment: deploymentKey(row.promotion, row.attempt),
    status: row.status,
    outcome: row.outcome ?? row.status,
  });

  async function planOf(row: DeploymentRow): Promise<Plan> {
    const target = targetOf(deps, row.target);
    const promotion = (await findPromotion(db, row.promotion))!;
    const byHand = row.trigger === 'rollback';
    return {
      deployment: row.id,
      key: deploymentKey(row.promotion, row.attempt),
      target: row.target,
      title: promotion.title,
      revision: promotion.revision,
      commit: promotion.commit,
      trigger: row.trigger,
      migrates: !byHand && target.migrate !== undefined,
      hadRelease: row.from_deployment !== null,
      success: byHand
        ? `${row.target} was rolled back by hand to the release before and is healthy.`
        : `${promotion.revision} is deployed to ${row.target} and healthy.`,
      limits: limitsOf(target),
    };
  }

  return {
    /** Writes the attempt's row. @returns the plan, or the outcome when it was refused or had ended. */
    async admit(request: DeploymentRequest, runId: string): Promise<Plan | DeploymentOutcome> {
      const promotion = await findPromotion(db, request.promotion);
      if (!promotion)
        throw ApplicationFailure.nonRetryable(`There is no promotion ${request.promotion}.`, 'not-found');
      const next = await nextAttempt(db, request.promotion);
      if (request.attempt > next)
        throw ApplicationFailure.nonRetryable(
          `The next attempt is ${next}, not ${request.attempt}.`,
          'invalid-input',
        );
      const target = deps.targets().get(promotion.target);
      await failpoint('admit/before');
      const row = await admit(db, {
        ...request,
        owner: me(),
        runId,
        switchedOff: target ? switchedOff(target) : 'the targets file no longer names this target',
      });
      await failpoint('admit/recorded-unreported');
      return row.status === 'queued' && row.owner === me() ? planOf(row) : outcomeOf(row);
    },

    async acquireLane(plan: Plan) {
      const concurrency = deps.targets().get(plan.target)?.concurrency;
      await failpoint('lane/before');
      const answer = await acquireLane(db, plan.deployment, me(), concurrency);
      await failpoint('lane/recorded-unreported');
      if (answer.kind === 'waiting') {
        // Each ends itself when it looks again; until then this one waits behind it.
        for (const older of answer.supersedes) await signalled(older, laneFree);
        return answer;
      }
      const row = await deploymentById(db, plan.deployment);
      return answer.kind === 'ended'
        ? { kind: answer.kind, outcome: outcomeOf(row) }
        : { kind: answer.kind, plan: await planOf(row) };
    },

    beginRollback: (plan: Plan, why: string) =>
      owned((owner) => beginRollback(db, plan.deployment, owner, why)),
    resumeRollback: (plan: Plan) => owned((owner) => beginRollback(db, plan.deployment, owner)),
    rollbackFailed: (plan: Plan, why: string) =>
      owned(async (owner) => {
        await rollbackFailed(db, plan.deployment, owner, why);
        deps.log.error(
          { deployment: plan.key, target: plan.target, why },
          'rollback failed: an SRE has to decide',
        );
      }),

    /** An SRE leaves the target as it is: what is really current is observed and recorded. */
    acceptRollback: (plan: Plan, outcome: string) =>
      owned(async (owner) => {
        const release = await directoryDriver(targetOf(deps, plan.target).driver.root).observe();
        const told = `${outcome} Current: ${release ? `release ${short(release)}` : 'no release'}.`;
        await recordEnd(db, plan.deployment, owner, 'rolled-back', told, { release });
        return outcomeOf(await deploymentById(db, plan.deployment));
      }),

    recordEnd: (plan: Plan, to: 'succeeded' | 'rolled-back' | 'cancelled', outcome: string) =>
      owned(async (owner) => {
        await failpoint('record/before');
        await recordEnd(db, plan.deployment, owner, to, outcome);
        await failpoint('record/recorded-unreported');
        deps.log.info({ deployment: plan.key, target: plan.target, status: to }, outcome);
        return outcomeOf(await deploymentById(db, plan.deployment));
      }),

    /** Wakes whoever waits for the lane, and the change request's workflow. Lost signals are `reconcile`'s. */
    async tellOthers(plan: Plan): Promise<void> {
      const { promotion, target } = await deploymentById(db, plan.deployment);
      const next = await nextInLine(db, target);
      if (next) await signalled(next, laneFree);
      const request = (await findChangeRequest(db, promotion))!;
      if (request.submission > 0)
        await signalled(changeRequestWorkflowId(promotion, request.submission), changeRequestMoved);
    },

    /** Removes workspaces and old releases; never the one in use nor the one to return to. */
    async tidy(plan: Plan): Promise<void> {
      try {
        await removeTree(join(deps.stateDir, 'work', plan.key));
        const target = targetOf(deps, plan.target);
        const { current_deployment: current } = await db('targets').where({ name: plan.target }).first();
        if (!current) return;
        const row = await deploymentById(db, current);
        const removed = await directoryDriver(target.driver.root).prune(
          target.driver.keepReleases,
          [row.to_release, row.from_release].filter((digest) => digest !== null),
        );
        if (removed.length > 0) deps.log.info({ target: plan.target, removed }, 'removed old releases');
      } catch (thrown) {
        // Tidying is never worth a deployment's outcome.
        deps.log.warn({ deployment: plan.key, err: thrown }, 'could not tidy up');
      }
    },

    /** Hands an attempt to the recovery that calls this. */
    async takeOver(
      deployment: number,
    ): Promise<{ plan: Plan; status: DeploymentStatus; began: string[]; round: number }> {
      const { workflowId, runId } = Context.current().info.workflowExecution!;
      const { row, began, round } = await takeOver(db, deployment, workflowId, runId);
      return { plan: await planOf(row), status: row.status, began, round };
    },
  };
}

const marginMs = 60_000;
const limitsOf = (target: TargetConfig): Plan['limits'] => ({
  buildMs: target.build.timeoutSeconds * 1000 + marginMs,
  backupMs: 3_600_000,
  migrateMs: (target.migrate?.timeoutSeconds ?? 0) * 1000 + marginMs,
  swapMs: (target.driver.reload?.timeoutSeconds ?? 0) * 1000 + 3_600_000,
  healthMs: target.health.deadlineSeconds * 1000 + marginMs,
  undoAlarmMs: target.undoAlarmSeconds * 1000,
});
