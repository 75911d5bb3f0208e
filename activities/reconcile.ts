import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { failpoint } from '../domain/failpoint';
import { changeRequestKey, deploymentKey, promotionKey } from '../domain/keys';
import { databaseNow } from '../db/clock';
import { recordAudit, recordRefused } from '../db/audit';
import {
  decide,
  endedUnfollowed,
  findChangeRequest,
  followedRequests,
  isFollowed,
  markFollowed,
  type ChangeRequestRow,
} from '../db/change-requests';
import { nextDue } from '../db/deadlines';
import { deliveriesUnderWay, handOverAgain } from '../db/deliveries';
import {
  anyStaleSleeper,
  attemptsToLookAt,
  deploymentById,
  noteWorkflow,
  overslept,
  ownedBy,
  swept,
  type DeploymentRow,
} from '../db/deployments';
import { freeLanesWaitedFor } from '../db/lane';
import { knownIncarnation } from '../db/installation';
import { findPromotion } from '../db/promotions';
import { windowRevision } from '../db/windows';
import { controlQueue } from '../temporal-config/names';
import { startOwn } from '../temporal-config/own-start';
import { unheardDecisions, unheardWords, type WaitingDecision } from '../db/words';
import {
  approvalDecision,
  cancelDeployment,
  changeRequestMoved,
  changeRequestWorkflowId,
  deliverWorkflowId,
  laneFree,
  recoverWorkflowId,
  resolveRollback,
  wakeWorkflowId,
  windowChanged,
  type RecoveryRequest,
} from '../workflows/messages';
import type { Deps } from './deps';
import { endRun } from './end-run';
import { endLeftRuns } from './left-runs';
import { removeLeftWork } from './left-work';
import { noteLive } from './look';
import { lastEventOf, lost, workflowNow, type WorkflowNow } from './lost';
import { reconciledAt, repairs } from './metrics';
import { whyTargetGone } from './step';
import { endStrays } from './strays';

/**
 * One pass of reconciling. What holds a lane is always looked at; of what waits, a few each time, so that a thousand
 * sleepers cost nothing. Workflows that ended badly are told by Temporal's visibility, and confirmed by asking for them.
 */

/** An attempt younger than this may not have been seen by the server's describe yet. */
const settlingMs = 5_000;
/** What is due is done by the request's own workflow; later than this it was missed. */
const overdueMs = 60_000;
/** An act on the record of an earlier version may pause for as long as a quarter of it. */
const standingStillMs = 60_000;
/** How far back visibility is asked for what ended badly; passes come far more often. */
const lookBackMs = 900_000;
/** A task that waits for longer was not taken up at once. */
const takenUpMs = 5_000;
const sweepAtOnce = 50;
/** Temporal's clock: when this pass was asked for. */
const askedAt = () => Context.current().info.currentAttemptScheduledTimestampMs;
/** In one pass of so many (half an hour) all that runs in Temporal is listed; in the others, what began lately. */
const passesForAll = 60;
/** Which part of what is swept has its turn. */
const pass = () => Math.floor(askedAt() / 30_000);

/** @returns each repair in plain words. */
export function createReconcileActivities(deps: Deps) {
  const { db, temporal, log } = deps;

  return {
    async mend(): Promise<string[]> {
      const mended: string[] = [];
      const put = (kind: string, line: string) => {
        mended.push(line);
        repairs.inc({ kind });
      };
      const now = await databaseNow(db);
      const incarnation = await knownIncarnation(db);
      const everything = pass() % passesForAll === 0;
      const rows = new Map<number, DeploymentRow>();
      for (const row of await attemptsToLookAt(db, sweepAtOnce)) rows.set(row.id, row);
      for (const row of await ownedBy(db, await endedBadly())) rows.set(row.id, row);
      for (const row of rows.values()) {
        Context.current().heartbeat();
        if (now - row.created_at.getTime() < settlingMs) continue;
        const key = deploymentKey(row.promotion, row.attempt);
        const found = await workflowNow(temporal, row.owner, row.run_id);
        const why = found.lost;
        const gone = why && whyTargetGone(deps, row.target);
        // Recovery would end without a word.
        const waits = gone && `its target: ${gone}`;
        await noteWorkflow(db, row, waits ? { ...found, paused: waits } : found);
        if (waits) {
          if (row.paused !== waits) put('deployment', `${key}: ${why} It is not recovered yet. ${gone}`);
          continue;
        }
        if (await standsStill(row, found)) {
          const told = `${key} is ${row.status}, and ${row.owner} waits for nothing by which it would go on: somebody answered for a worker, say. It was ended.`;
          const entry = { action: 'deployment.run-ended' as const, subject: key, why: told };
          if (await endRun(deps, { workflowId: row.owner, runId: found.runId }, entry))
            put('deployment', `${told} Its recovery looks at the target.`);
          continue;
        }
        if (why) {
          const request: RecoveryRequest = {
            deployment: row.id,
            key,
            why,
            ...(found.vanished ? { vanished: true } : {}),
          };
          await startOwn(
            temporal,
            'recoverDeployment',
            {
              workflowId: recoverWorkflowId(row.promotion, row.attempt, incarnation),
              taskQueue: controlQueue,
              args: [request],
              staticSummary: `Recover ${key}: ${why}`,
            },
            ownOf(key, { deployment: row.id }),
          );
          await failpoint('reconcile/recovering');
          put('deployment', `${key}: ${why} Recovery was started.`);
        }
      }
      for (const { id, kind, owner } of await unheardWords(db))
        await signal(owner, kind === 'cancel' ? cancelDeployment.name : resolveRollback.name, { word: id });
      await swept(db, [...rows.keys()]);
      for (const line of await endLeftRuns(deps, everything ? undefined : askedAt() - lookBackMs))
        put('left-run', line);
      // Nobody vouches for what is live there; it is shown as it is.
      for (const row of rows.values()) if (row.status === 'rollback-failed') await noteLive(deps, row.target);
      for (const next of await freeLanesWaitedFor(db, deps.targets())) await signal(next, laneFree.name);
      for (const sleeper of await overslept(db, sweepAtOnce))
        if (await signal(sleeper, windowChanged.name))
          put('sleepers', `${sleeper} was told to look at its window again, because it slept on.`);
      const revision = await windowRevision(db);
      if (await anyStaleSleeper(db, revision)) {
        await startOwn(
          temporal,
          'wakeSleepers',
          {
            workflowId: wakeWorkflowId(revision),
            taskQueue: controlQueue,
            args: [],
            staticSummary: 'Wake deployments that wait for a window by an older revision of the windows',
          },
          ownOf('windows', {}),
        );
        put('sleepers', 'Deployments that waited for a window by an older revision were told to look again.');
      }
      for (const request of await endedUnfollowed(db)) {
        const there = await signal(
          changeRequestWorkflowId(request.id, request.submission, request.incarnation),
          changeRequestMoved.name,
        );
        if (there)
          put(
            'change-request',
            `${changeRequestKey(request.id)}: its workflow was told again that it ended.`,
          );
        else await markFollowed(db, request.id);
      }
      for (const line of await endStrays(deps, { now, asked: askedAt(), lookBackMs, everything }))
        put('stray', line);
      for (const line of await removeLeftWork(deps)) put('left-work', line);
      for (const line of await followAgain()) put('change-request', line);
      for (const decision of await unheardDecisions(db)) await decideOnceMore(decision);
      for (const line of await deliverAgain()) put('notification', line);
      for (const line of mended) log.warn({ reconcile: true }, line);
      reconciledAt.setToCurrentTime();
      return mended;
    },
  };

  /**
   * Whether the workflow of an attempt that acts waits for something that the record does not know. The row is read once more,
   * between two looks at a workflow to which nothing happened meanwhile.
   */
  async function standsStill(row: DeploymentRow, { waits, runId }: WorkflowNow): Promise<boolean> {
    const acts = ({ status, window_revision }: DeploymentRow) =>
      status === 'rolling-back' || (status === 'running' && window_revision === null);
    if (!waits || !acts(row)) return false;
    const again = await deploymentById(db, row.id);
    if (!acts(again) || again.owner !== row.owner) return false;
    return askedAt() - (await lastEventOf(temporal, row.owner, runId)) > standingStillMs;
  }

  /** Change requests whose workflow was lost get another that follows them from where they stand. */
  async function followAgain(): Promise<string[]> {
    const mended: string[] = [];
    const now = await databaseNow(db);
    for (const row of await followedRequests(db, sweepAtOnce, pass())) {
      Context.current().heartbeat();
      const { id, submission, incarnation } = row;
      const workflowId = changeRequestWorkflowId(id, submission, incarnation);
      const key = changeRequestKey(id);
      const why = await lost(temporal, workflowId);
      if (!why) {
        // Its timer was set while a clock was wrong.
        const due = nextDue(row);
        if (due && now - due.at > overdueMs && (await signal(workflowId, changeRequestMoved.name)))
          mended.push(`${key}: its workflow was told that time is up, because it slept on: ${due.inWords}.`);
        continue;
      }
      // First the word, then the deed: of a pass that is killed in between the next one finds it undone.
      await recordAudit(db, {
        actor: 'signalbox',
        action: 'change-request.followed-again',
        subject: key,
        why,
      });
      await follow(row, why);
      mended.push(`${key}: ${why} Another one follows it.`);
    }
    return mended;
  }

  /** Has a request followed from where it stands. What else has the place of its workflow is ended. */
  function follow({ id, submission, incarnation, requester }: ChangeRequestRow, why: string): Promise<void> {
    return startOwn(
      temporal,
      'changeRequest',
      {
        workflowId: changeRequestWorkflowId(id, submission, incarnation),
        taskQueue: controlQueue,
        args: [{ changeRequest: id, submission, by: requester }],
        staticSummary: `${changeRequestKey(id)}: approval of ${promotionKey(id)}`,
        staticDetails: `${why} This run follows ${changeRequestKey(id)} from where it stands.`,
      },
      ownOf(changeRequestKey(id), { changeRequest: id, submission }),
    );
  }

  /** What is begun needs no signature: it takes all from the record, by these numbers. */
  function ownOf(subject: string, numbers: Record<string, number>) {
    return {
      isOurs: (input: unknown) =>
        Object.entries(numbers).every(([name, value]) => (input as typeof numbers | null)?.[name] === value),
      isRecorded: () => Promise.resolve(false),
      told: (why: string) => recordRefused(db, subject, why),
    };
  }

  /**
   * A decision that its workflow has not heard is signalled again. Where no workflow follows the request any more nothing
   * takes it up, so that it is judged here; that the request has moved on is then its verdict.
   */
  async function decideOnceMore({
    word,
    change_request: id,
    submission,
    said,
  }: WaitingDecision): Promise<void> {
    const row = (await findChangeRequest(db, id))!;
    const open = row.submission === submission && isFollowed(row);
    if (open) {
      await follow(row, 'Its workflow had not heard a decision.');
      const there = await signal(
        changeRequestWorkflowId(id, submission, row.incarnation),
        approvalDecision.name,
        { word },
      );
      // Its workflow is started again by this pass or one of the next.
      if (!there)
        log.warn({ changeRequest: changeRequestKey(id), word }, 'nobody is there to hear a decision');
      return;
    }
    const { target } = (await findPromotion(db, id))!;
    await decide(db, { ...said, changeRequest: id, submission }, deps.targets().get(target));
  }

  /** Notifications whose workflow was lost are handed over once more. */
  async function deliverAgain(): Promise<string[]> {
    const mended: string[] = [];
    for (const row of await deliveriesUnderWay(db, sweepAtOnce, pass())) {
      Context.current().heartbeat();
      const why = await lost(temporal, deliverWorkflowId(row.id, row.round, row.incarnation));
      // What it did last may have been to deliver; the record is read again then.
      if (!why || (await handOverAgain(db, row)) === 0) continue;
      mended.push(`Notification ${row.id} (${row.event} of ${row.subject}): ${why} It is sent again.`);
    }
    return mended;
  }

  /** Ids of deployments' workflows that ended badly lately, as visibility has it. */
  async function endedBadly(): Promise<string[]> {
    // Its times of closing are by the same clock.
    const since = new Date(askedAt() - lookBackMs).toISOString();
    const ids: string[] = [];
    const query = `WorkflowType IN ('deployPromotion', 'recoverDeployment') AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed', 'Canceled') AND CloseTime > '${since}'`;
    for await (const { workflowId } of temporal.workflow.list({ query, pageSize: 200 })) {
      ids.push(workflowId);
      if (ids.length === 1_000) break;
    }
    return ids;
  }

  /**
   * Says something again. A workflow that is paused, or whose task no worker has taken up since it was last signalled, is
   * left alone: what is said in every pass would fill its history until Temporal ends it.
   * @returns false when there is none.
   */
  async function signal(workflowId: string, name: string, ...args: unknown[]): Promise<boolean> {
    try {
      const handle = temporal.workflow.getHandle(workflowId);
      const { status, raw } = await handle.describe();
      const task = raw.pendingWorkflowTask?.originalScheduledTime;
      const waits = task && askedAt() - Number(task.seconds) * 1_000 > takenUpMs;
      if (status.name !== 'PAUSED' && !waits) await handle.signal(name, ...args);
      return true;
    } catch (thrown) {
      if (thrown instanceof WorkflowNotFoundError) return false;
      throw thrown;
    }
  }
}
