import { Context } from '@temporalio/activity';
import { findChangeRequest } from '../db/change-requests';
import { findDelivery } from '../db/deliveries';
import { owns } from '../db/deployments';
import { readInstallation } from '../db/installation';
import { firstIncarnation, incarnationOf } from '../domain/incarnation';
import { changeRequestWorkflowId, deliverWorkflowId } from '../workflows/messages';
import type { Deps } from './deps';
import { endRun } from './end-run';

/**
 * Workflows from before the database was restored or failed over, for which the record has no row any more: the promotion
 * was shipped, the request submitted or the attempt started after what was restored. They would go on without end, and
 * wait for what never comes; a notification's would deliver another event under the number of its own.
 */
export interface Stray {
  workflowId: string;
  /** The key of what it was for. */
  subject: string;
}

/** @returns those that run and were started before the database that is there now. */
export async function strays(deps: Pick<Deps, 'db' | 'temporal'>): Promise<Stray[]> {
  const { incarnation } = await readInstallation(deps.db);
  if (incarnation === firstIncarnation) return [];
  return withoutRow(deps, ({ workflowId }) => incarnationOf(workflowId) !== incarnation);
}

const atOnce = 1_000;
/** @param counts which of the running workflows are looked for in the record. @returns those that it does not know. */
export async function withoutRow(
  { db, temporal }: Pick<Deps, 'db' | 'temporal'>,
  counts: (workflow: { workflowId: string; startTime: Date }) => boolean,
): Promise<Stray[]> {
  const found: Stray[] = [];
  const query = `ExecutionStatus = 'Running' AND WorkflowType IN ('deployPromotion', 'recoverDeployment', 'changeRequest', 'deliverNotification')`;
  for await (const workflow of temporal.workflow.list({ query, pageSize: 200 })) {
    const { workflowId } = workflow;
    if (!counts(workflow) || (await isKnown(workflowId))) continue;
    found.push({ workflowId, subject: subjectOf(workflowId) });
    if (found.length === atOnce) break;
  }
  return found;

  /** Whether the record has it as the workflow of a row. */
  async function isKnown(workflowId: string): Promise<boolean> {
    // Whoever reaches Temporal may start one under any id.
    const [, kind, number] = /^(rfc\/RFC-|notify\/)([1-9][0-9]{0,8})\//.exec(workflowId) ?? [];
    if (kind === 'rfc/RFC-') {
      const row = await findChangeRequest(db, Number(number));
      return (
        row !== undefined && changeRequestWorkflowId(row.id, row.submission, row.incarnation) === workflowId
      );
    }
    if (kind === 'notify/') {
      const row = await findDelivery(db, Number(number));
      return row !== undefined && deliverWorkflowId(row.id, row.round, row.incarnation) === workflowId;
    }
    return owns(db, workflowId);
  }
}

/** `deploy/CP-7/1~2-9f3ab1` is about CP-7.1, `rfc/RFC-7/1` about RFC-7, `notify/12/1` about notification 12. */
function subjectOf(workflowId: string): string {
  const [kind, key = '', number = ''] = workflowId.split('/');
  if (kind === 'rfc') return key;
  return kind === 'notify' ? `notification ${key}` : `${key}.${number.split('~')[0]}`;
}

/** So long after a restore what it left may still begin to show: another server's workers end their calls late. */
const settlingMs = 3_600_000;

/**
 * Ends each with the reason.
 * @param now by the database. @param always also long after the restore: it lists all that runs.
 * @returns what it did, in plain words.
 */
export async function endStrays(deps: Deps, now: number, always: boolean): Promise<string[]> {
  const ended: string[] = [];
  const { since } = await readInstallation(deps.db);
  if (!always && now - since.getTime() > settlingMs) return [];
  for (const { workflowId, subject } of await strays(deps)) {
    Context.current().heartbeat();
    const why = `The database was restored or failed over, and the record does not have what ${workflowId} was started for.`;
    if (await endRun(deps, { workflowId }, { action: 'workflow.ended', subject, why }))
      ended.push(`${subject}: ${why} It was ended; ask for it again.`);
  }
  return ended;
}
