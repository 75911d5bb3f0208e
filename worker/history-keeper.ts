import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import type { Logger } from 'pino';
import type { Db } from '../db/connect';
import type { DeploymentRow } from '../db/deployments';
import { historiesToKeep, keepHistories, type HistoryRow } from '../db/retention';
import { deployWorkflowId } from '../workflows/messages';
import { repeat, type Repeated } from './repeat';

const lookEveryMs = 1_000;
const atOnce = 20;
/** One whose workflow has not closed yet is left alone for so long. */
const leaveMs = 15_000;
const compress = promisify(gzip);

/**
 * Keeps the histories of a deployment's workflows once it has ended, because Temporal drops them after its retention.
 * Any number of workers may do so side by side.
 */
export function keepWorkflowHistories(options: { db: Db; temporal: Client; log: Logger }): Repeated {
  const { db, temporal, log } = options;
  const left = new Map<number, number>();
  // While it fails they wait in Temporal.
  const failed = 'histories of workflows could not be kept; trying again';
  return repeat({ everyMs: lookEveryMs, log, failed, pass });

  async function pass(stopping: AbortSignal): Promise<void> {
    for (const [id, until] of left) if (performance.now() > until) left.delete(id);
    for (const row of await historiesToKeep(db, atOnce + left.size)) {
      if (stopping.aborted) return;
      if (left.has(row.id)) continue;
      const histories = await closedHistories(row);
      if (histories) await keepHistories(db, row.id, histories);
      else left.set(row.id, performance.now() + leaveMs);
    }
  }

  /** @returns undefined while one of its workflows still runs. */
  async function closedHistories({
    promotion,
    attempt,
    incarnation,
    owner,
  }: DeploymentRow): Promise<Kept[] | undefined> {
    const mine = deployWorkflowId(promotion, attempt, incarnation);
    const kept: Kept[] = [];
    for (const workflowId of owner === mine ? [mine] : [mine, owner]) {
      const runs = await runsOf(workflowId, owner !== mine);
      if (!runs) return undefined;
      for (const runId of runs) kept.push(await historyOf(workflowId, runId));
    }
    // Temporal has nothing of it any more; the record has.
    return kept.length > 0 ? kept : [none(mine, '', 'Temporal had lost it before it was kept')];
  }

  /**
   * Runs of a workflow that Temporal knows: the latest by its own word, those before it by visibility's.
   * @param several whether it may have been started more than once. @returns undefined while the latest is open.
   */
  async function runsOf(workflowId: string, several: boolean): Promise<string[] | undefined> {
    const runs = new Set<string>();
    try {
      const latest = await temporal.workflow.getHandle(workflowId).describe();
      if (latest.status.name === 'RUNNING') return undefined;
      runs.add(latest.runId);
      several ||= latest.raw.workflowExecutionInfo?.firstRunId !== latest.runId;
    } catch (thrown) {
      if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
    }
    if (several)
      for await (const { runId } of temporal.workflow.list({ query: `WorkflowId = '${workflowId}'` }))
        runs.add(runId);
    return [...runs];
  }

  async function historyOf(workflowId: string, runId: string): Promise<Kept> {
    try {
      const history = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
      return {
        workflow_id: workflowId,
        run_id: runId,
        history: await compress(historyToJSON(history)),
        why_none: null,
      };
    } catch (thrown) {
      if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
      return none(workflowId, runId, 'Temporal had dropped it before it was kept');
    }
  }
}

type Kept = Pick<HistoryRow, 'workflow_id' | 'run_id' | 'history' | 'why_none'>;
const none = (workflow_id: string, run_id: string, why_none: string): Kept => ({
  workflow_id,
  run_id,
  history: null,
  why_none,
});
