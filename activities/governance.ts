import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { deploymentKey } from '../domain/keys';
import { changeRequestKey } from '../domain/keys';
import { decide, endedUnfollowed, findChangeRequest, markFollowed, submit } from '../db/change-requests';
import { nextInLine, openDeployments } from '../db/deployments';
import { laneHolding } from '../domain/machines';
import { controlQueue } from '../temporal-config/names';
import {
  changeRequestMoved,
  changeRequestWorkflowId,
  laneFree,
  recoverWorkflowId,
  type RecoveryRequest,
} from '../workflows/messages';
import type { Deps } from './deps';
import type { Heard } from './heard';
import { lost } from './lost';

/** What the change request's workflow writes. */
export function createChangeRequestActivities(deps: Deps, heard: Heard) {
  const { db } = deps;
  return {
    /** Submits the request. @throws when the API did not ask for it. */
    async submitChangeRequest(input: unknown): Promise<void> {
      const { changeRequest, submission, by, request } = await heard.verifiedStart('submit', input);
      await submit(db, changeRequest, submission, { by, request, why: 'submitted for approval' });
    },
    /** Its status; "superseded" when a later submission has taken over. */
    async changeRequestStatus(id: number, submission: number): Promise<string> {
      const row = await findChangeRequest(db, id);
      return !row || row.submission > submission ? 'superseded' : row.status;
    },
    /**
     * Writes the decision's row, counted or refused. What the API did not say leaves no row, which could stand in
     * the way of a true one with its id; it is in the audit trail, as refused.
     * @param repeated whether this workflow heard the very same before.
     */
    async decide(
      changeRequest: number,
      submission: number,
      message: unknown,
      repeated: boolean,
    ): Promise<void> {
      const key = changeRequestKey(changeRequest);
      const said = await heard.verified('decision', key, message);
      if (!said) return;
      if (repeated)
        return heard.refuse('decision', key, message, 'it was decided already; a repeat changes nothing');
      await decide(db, { ...said, changeRequest, submission });
    },
    async followed(id: number, submission: number): Promise<void> {
      if ((await findChangeRequest(db, id))?.submission === submission) await markFollowed(db, id);
    },
  };
}

/** An attempt younger than this may not have been seen by the server's describe yet. */
const settlingMs = 5_000;

/** One pass of reconciling: each repair in plain words. */
export function createReconcileActivities(deps: Deps) {
  const { db, temporal, log } = deps;

  return {
    async mend(): Promise<string[]> {
      const mended: string[] = [];
      const open = await openDeployments(db);
      for (const row of open) {
        Context.current().heartbeat();
        if (Date.now() - row.created_at.getTime() < settlingMs) continue;
        const key = deploymentKey(row.promotion, row.attempt);
        const why = await lost(temporal, row.owner, row.run_id);
        if (why) {
          await temporal.workflow.start('recoverDeployment', {
            workflowId: recoverWorkflowId(row.promotion, row.attempt),
            workflowIdConflictPolicy: 'USE_EXISTING',
            taskQueue: controlQueue,
            args: [{ deployment: row.id, key, why } satisfies RecoveryRequest],
            staticSummary: `Recover ${key}: ${why}`,
          });
          mended.push(`${key}: ${why} Recovery was started.`);
        }
      }
      const held = new Set(
        open.filter((row) => laneHolding.includes(row.status as never)).map((row) => row.target),
      );
      for (const target of new Set(open.map((row) => row.target))) {
        const next = held.has(target) ? undefined : await nextInLine(db, target);
        if (next) await signal(next, laneFree.name);
      }
      for (const request of await endedUnfollowed(db)) {
        const there = await signal(
          changeRequestWorkflowId(request.id, request.submission),
          changeRequestMoved.name,
        );
        if (there) mended.push(`${changeRequestKey(request.id)}: its workflow was told again that it ended.`);
        else await markFollowed(db, request.id);
      }
      for (const line of mended) log.warn({ reconcile: true }, line);
      return mended;
    },
  };

  async function signal(workflowId: string, name: string): Promise<boolean> {
    try {
      await temporal.workflow.getHandle(workflowId).signal(name);
      return true;
    } catch (thrown) {
      if (thrown instanceof WorkflowNotFoundError) return false;
      throw thrown;
    }
  }
}
