import { setTimeout as sleep } from 'node:timers/promises';
import {
  isGrpcServiceError,
  QueryNotRegisteredError,
  QueryRejectedError,
  type Client,
} from '@temporalio/client';
import { runnersOf } from '../../db/runners';
import { controlQueue, targetQueue } from '../../temporal-config/names';
import type { Difference, Examined } from './difference';

/** Whether anybody takes what is to be done. */
export async function examineWorkers(
  { db, temporal, targets }: Examined,
  now: number,
): Promise<Difference[]> {
  const found: Difference[] = [];
  if (!(await isPolled(temporal, controlQueue, now)) || (await answers(temporal)) === false)
    found.push({
      kind: 'worker',
      subject: 'worker',
      what: 'No worker answers: nothing begins, and nothing that waits, runs or is undone goes on.',
      todo: 'Start one with "signalbox worker" (or "signalbox up"), or look into its log if it runs; then everything goes on by itself.',
    });
  for (const { name, runner } of targets.values()) {
    if (!runner) continue;
    const [last] = await runnersOf(db, name);
    const heard = !last || now - last.seen_at.getTime() < heardMs;
    if (heard && (await isPolled(temporal, targetQueue(name), now))) continue;
    found.push({
      kind: 'worker',
      subject: name,
      what: `No runner of ${name} answers: its deployments wait for one.`,
      todo: `Start "signalbox worker --runner ${name}" on its host, or look into its log if it runs.`,
    });
  }
  return found;
}

/** A runner says every ten seconds that it is there. */
const heardMs = 45_000;

/** A poll is answered within a minute, and asked again. So long one that was killed is still taken to be there. */
const polledMs = 90_000;
async function isPolled(temporal: Client, name: string, now: number): Promise<boolean> {
  const { namespace } = temporal.options;
  const { pollers: known } = await temporal.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name },
    // Activities.
    taskQueueType: 2,
  });
  return (known ?? []).some(
    ({ lastAccessTime }) => now - Number(lastAccessTime?.seconds ?? 0) * 1000 < polledMs,
  );
}

const answerMs = 15_000;
/** Codes of gRPC by which Temporal says that nobody took the question: cancelled, late, no poller. */
const unanswered = [1, 4, 9];
const asked = `WorkflowType = 'reconcile' AND ExecutionStatus = 'Completed'`;

/**
 * Asks a worker: it answers at once what is asked of a workflow that has ended, and nothing is written by that.
 * @returns undefined when there is no such workflow yet.
 */
async function answers(temporal: Client): Promise<boolean | undefined> {
  for await (const { workflowId, runId } of temporal.workflow.list({ query: asked, pageSize: 1 })) {
    try {
      // The connection itself tries on for half a minute.
      const late = new AbortController();
      const question = temporal.workflow.getHandle(workflowId, runId).query('__temporal_workflow_metadata');
      const answer = question.then(() => true);
      answer.catch(() => undefined);
      return await Promise.race([
        answer,
        sleep(answerMs, false, { signal: late.signal }).catch(() => false),
      ]).finally(() => late.abort());
    } catch (thrown) {
      if (thrown instanceof QueryNotRegisteredError || thrown instanceof QueryRejectedError) return true;
      if (isGrpcServiceError(thrown)) return unanswered.includes(thrown.code) ? false : undefined;
      throw thrown;
    }
  }
  return undefined;
}
