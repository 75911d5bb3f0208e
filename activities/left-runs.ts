import type { WorkflowExecutionInfo } from '@temporalio/client';
import { databaseNow } from '../db/clock';
import { endedOf, rowKey, type DeploymentRow } from '../db/deployments';
import type { Deps } from './deps';
import { endRun } from './end-run';

/**
 * Runs that go on although the record has the end of their attempt: after a reset of one that had ended, say. Such a run
 * may never end by itself, because it waits for what was said once (an answer, a free lane), and nobody can say it again
 * to an attempt that has ended. Nothing that it did would count: its steps are refused.
 */

/** A run that has just begun may be about to see that its attempt has ended. */
const settlingMs = 5_000;
/** A run that records the end itself still tidies up after it. */
export const tidyingMs = 900_000;
const atOnce = 500;
const running = `WorkflowType IN ('deployPromotion', 'recoverDeployment') AND ExecutionStatus = 'Running'`;

/**
 * Ends them, each with the reason.
 * @param since by Temporal's clock: those that began before are left out, because a thousand sleepers would be listed with
 * them, and a reset begins a run; left out: all.
 * @returns what was done, in plain words.
 */
export async function endLeftRuns(
  { db, temporal }: Pick<Deps, 'db' | 'temporal'>,
  since?: number,
): Promise<string[]> {
  const done: string[] = [];
  const query = running + (since ? ` AND StartTime > '${new Date(since).toISOString()}'` : '');
  let some: WorkflowExecutionInfo[] = [];
  for await (const run of temporal.workflow.list({ query, pageSize: atOnce })) {
    some.push(run);
    if (some.length === atOnce) await endThoseLeft();
  }
  await endThoseLeft();
  return done;

  async function endThoseLeft(): Promise<void> {
    const ended = await endedOf(db, some.flatMap(ownersOf));
    const now = await databaseNow(db);
    for (const run of some) {
      const row = ended.find(({ owner }) => ownersOf(run).includes(owner));
      if (row && isLeft(run, row, now)) await end(run, row);
    }
    some = [];
  }

  async function end({ workflowId, runId, startTime }: WorkflowExecutionInfo, row: DeploymentRow) {
    const key = rowKey(row);
    const why = `${key} ended as ${row.status} at ${row.finished_at!.toISOString()}. This run (begun ${startTime.toISOString()}, by a reset of its workflow, say) had nothing left to do and was ended; nothing was changed. To deploy again: signalbox retry or ship.`;
    const before = { workflow: workflowId, run: runId };
    const entry = { action: 'deployment.run-ended' as const, subject: key, why, before };
    if (!(await endRun({ db, temporal }, { workflowId, runId }, entry))) return;
    done.push(`${key}: a run of ${workflowId} was ended, because the attempt had ended as ${row.status}.`);
  }
}

/** The workflows that may have had the attempt of this one: its own, and that of its recovery. */
const ownersOf = ({ workflowId }: { workflowId: string }): string[] => {
  const [, ...of] = workflowId.split('/');
  return ['deploy', 'recover'].map((kind) => [kind, ...of].join('/'));
};

function isLeft({ startTime }: WorkflowExecutionInfo, { finished_at }: DeploymentRow, now: number): boolean {
  return startTime > finished_at!
    ? now - startTime.getTime() > settlingMs
    : now - finished_at!.getTime() > tidyingMs;
}
