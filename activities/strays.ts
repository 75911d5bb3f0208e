import { Context } from '@temporalio/activity';
import { findAdoption } from '../db/adoptions';
import { recordAudit } from '../db/audit';
import { findChangeRequest } from '../db/change-requests';
import { findDelivery } from '../db/deliveries';
import { findDeployment, owns } from '../db/deployments';
import { readInstallation } from '../db/installation';
import { firstIncarnation, incarnationNumber, incarnationOf } from '../domain/incarnation';
import { sentences } from '../domain/sentences';
import { changeRequestWorkflowId, deliverWorkflowId } from '../workflows/messages';
import type { Deps } from './deps';
import { endRun } from './end-run';
import { leftBehind } from './left-behind';

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

/** `deploy/CP-7/1~2-9f3ab1` is about CP-7.1, `rfc/RFC-7/1` about RFC-7, `notify/12/1` about notification 12, `adopt/shop/...` about shop. */
function subjectOf(workflowId: string): string {
  const [kind, key = '', number = ''] = workflowId.split('/');
  if (kind === 'rfc' || kind === 'adopt') return key;
  return kind === 'notify' ? `notification ${key}` : `${key}.${number.split('~')[0]}`;
}

/** So long after a restore what it left may still begin to show: another server's workers end their calls late. */
const settlingMs = 3_600_000;

/** As long as that before somebody noticed the restore a workflow may have met the restored database. */
const unnoticedMs = 60_000;
const endedAs = `ExecutionStatus IN ('Completed', 'Failed', 'Canceled', 'Terminated', 'TimedOut')`;

/**
 * Those that ended by themselves, because what they asked the record for was not there: nobody would hear of them again.
 * Notifications are left out: what was under way is sent again.
 * @param restored when the database was, and @param from when on they ended; both by Temporal's clock.
 */
async function endedUnknown(
  { db, temporal }: Pick<Deps, 'db' | 'temporal'>,
  restored: number,
  from: number,
): Promise<(Stray & { how: string })[]> {
  const { incarnation } = await readInstallation(db);
  if (incarnation === firstIncarnation) return [];
  const found: (Stray & { how: string })[] = [];
  const query = `CloseTime > '${new Date(from).toISOString()}' AND ${endedAs} AND WorkflowType IN ('deployPromotion', 'recoverDeployment', 'changeRequest', 'adoptTarget')`;
  for await (const { workflowId, startTime, status } of temporal.workflow.list({ query, pageSize: 200 })) {
    if (startTime.getTime() > restored || incarnationOf(workflowId) === incarnation) continue;
    const subject = subjectOf(workflowId);
    if ((await isOnRecord(workflowId)) || (await isSaid(workflowId, subject))) continue;
    found.push({ workflowId, subject, how: status.name.toLowerCase().replaceAll('_', ' ') });
    if (found.length === atOnce) break;
  }
  return found;

  /** Whether the record has what it was for, whoever has that by now. */
  async function isOnRecord(workflowId: string): Promise<boolean> {
    const number = '([1-9][0-9]{0,8})';
    const [, kind, of, n] =
      new RegExp(`^(deploy/CP|recover/CP|rfc/RFC)-${number}/${number}(?:~|$)`).exec(workflowId) ?? [];
    const began = incarnationOf(workflowId);
    if (kind === 'rfc/RFC') {
      const row = await findChangeRequest(db, Number(of));
      if (!row || row.submission < Number(n)) return false;
      return row.submission > Number(n) || row.incarnation === began;
    }
    if (kind !== undefined) {
      const row = await findDeployment(db, Number(of), Number(n));
      if (!row) return false;
      // A recovery may have begun in a later one.
      return kind === 'deploy/CP'
        ? row.incarnation === began
        : incarnationNumber(row.incarnation) <= incarnationNumber(began);
    }
    const [, id] = /^adopt\/[^/]+\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(workflowId) ?? [];
    return id !== undefined && (await findAdoption(db, id)) !== undefined;
  }

  async function isSaid(workflowId: string, subject: string): Promise<boolean> {
    const said = db('audit').where({ action, subject });
    return (
      (await said.whereRaw(`entry::jsonb #>> '{before,workflow}' = ?`, [workflowId]).first('id')) !==
      undefined
    );
  }
}

const action = 'workflow.ended' as const;

/**
 * Ends each with the reason; of one that ended by itself the reason is said all the same.
 * @param pass.now by the database.
 * @param pass.asked the same moment by Temporal's clock.
 * @param pass.lookBackMs so long before that one ended which no pass has seen yet.
 * @param pass.everything also long after the restore: it lists all that runs, and all that ended since.
 * @returns what it did, in plain words.
 */
export async function endStrays(
  deps: Deps,
  pass: { now: number; asked: number; lookBackMs: number; everything: boolean },
): Promise<string[]> {
  const { now, asked, lookBackMs, everything } = pass;
  const ended: string[] = [];
  const { since } = await readInstallation(deps.db);
  const agoMs = now - since.getTime();
  if (!everything && agoMs > settlingMs) return [];
  const lacks = 'database was restored or failed over, and the record does not have what';
  for (const { workflowId, subject } of await strays(deps)) {
    Context.current().heartbeat();
    const left = await leftBehind(deps, workflowId, subject);
    const why = sentences(`The ${lacks} ${workflowId} was started for`, left);
    const entry = { action, subject, why, before: { workflow: workflowId } };
    if (await endRun(deps, { workflowId }, entry))
      ended.push(`${subject}: ${why} It was ended; ask for it again.`);
  }
  const restored = asked - agoMs;
  const from = everything ? restored - unnoticedMs : Math.max(restored - unnoticedMs, asked - lookBackMs);
  for (const { workflowId, subject, how } of await endedUnknown(deps, restored, from)) {
    Context.current().heartbeat();
    const left = await leftBehind(deps, workflowId, subject);
    const why = sentences(`${workflowId} ended as ${how}: the ${lacks} it was started for`, left);
    const before = { workflow: workflowId };
    await recordAudit(deps.db, { actor: 'signalbox', action, subject, why, before });
    ended.push(`${subject}: ${why} Ask for it again.`);
  }
  return ended;
}
