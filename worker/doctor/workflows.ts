import { lost, workflowNow } from '../../activities/lost';
import { withoutRow } from '../../activities/strays';
import { followedRequests } from '../../db/change-requests';
import { deliveriesUnderWay } from '../../db/deliveries';
import { anyStaleSleeper, attemptsToLookAt, rowKey, type DeploymentRow } from '../../db/deployments';
import { freeLanesWaitedFor } from '../../db/lane';
import { databaseNow } from '../../db/clock';
import { windowRevision } from '../../db/windows';
import { changeRequestKey } from '../../domain/keys';
import { changeRequestWorkflowId, deliverWorkflowId } from '../../workflows/messages';
import { isSettled, type Difference, type Examined } from './difference';
import { examineTemporal } from './temporal';
import { examineWorkers } from './workers';

/** Record against Temporal, by the rules by which `reconcile` repairs. */
export async function examineWorkflows(examined: Examined): Promise<Difference[]> {
  const now = await databaseNow(examined.db);
  const attempts = await attemptsToLookAt(examined.db, atOnce);
  return [
    await examineWorkers(examined, now),
    await examineTemporal(examined, now),
    await attemptsWithout(examined, attempts, now),
    ofTargetsGone(examined, attempts),
    await othersWithout(examined, now),
    await strangers(examined, now),
    await waiting(examined, attempts, now),
  ].flat();
}

const atOnce = 1_000;
const byReconcile = 'Nothing, while a worker runs: within half a minute reconcile';

async function attemptsWithout(
  examined: Examined,
  attempts: DeploymentRow[],
  now: number,
): Promise<Difference[]> {
  const found: Difference[] = [];
  for (const row of attempts) {
    const workflow = await workflowNow(examined.temporal, row.owner, row.run_id);
    if (workflow.paused)
      found.push({
        kind: 'paused',
        subject: rowKey(row),
        what: `${rowKey(row)} is ${workflow.paused.split('; ')[0]}.`,
        todo: `Let it go on when it may: ${workflow.paused.split('; it goes on after: ')[1]}`,
      });
    if (workflow.lost && isSettled(examined, row.updated_at, now))
      found.push({
        kind: 'row-without-workflow',
        subject: rowKey(row),
        what: `${rowKey(row)} is ${row.status} in the record. ${workflow.lost}`,
        todo: `${byReconcile} starts its recovery, which looks at ${row.target} first.`,
      });
  }
  return found;
}

/** Attempts on targets that the file has no more: no step of theirs can be done, and no page shows their target. */
const ofTargetsGone = ({ targets }: Examined, attempts: DeploymentRow[]): Difference[] =>
  attempts
    .filter(({ target }) => !targets.has(target))
    .map((row) => ({
      kind: 'target-gone',
      subject: rowKey(row),
      what: `${rowKey(row)} is ${row.status} on ${row.target}, which is no longer in the targets file: it waits until it is.`,
      todo: `Put ${row.target} back into the file and read it again (SIGHUP, or a restart): it goes on by itself. To end it instead, put ${row.target} back and cancel it.`,
    }));

/** Change requests that are followed, and notifications that are under way. */
async function othersWithout(examined: Examined, now: number): Promise<Difference[]> {
  const { db, temporal } = examined;
  const found: Difference[] = [];
  for (const row of await followedRequests(db, atOnce, 0)) {
    const why = await lost(temporal, changeRequestWorkflowId(row.id, row.submission, row.incarnation));
    if (!why || !isSettled(examined, row.updated_at, now)) continue;
    const subject = changeRequestKey(row.id);
    const what = `${subject} is ${row.status} in the record. ${why}`;
    found.push({ kind: 'row-without-workflow', subject, what, todo: `${byReconcile} starts another.` });
  }
  for (const row of await deliveriesUnderWay(db, atOnce, 0)) {
    const why = await lost(temporal, deliverWorkflowId(row.id, row.round, row.incarnation));
    if (!why || !isSettled(examined, row.created_at, now)) continue;
    const subject = `notification ${row.id}`;
    const what = `Notification ${row.id} (${row.event} of ${row.subject}) is to be sent. ${why}`;
    found.push({ kind: 'row-without-workflow', subject, what, todo: `${byReconcile} sends it again.` });
  }
  return found;
}

async function strangers(examined: Examined, now: number): Promise<Difference[]> {
  const unknown = await withoutRow(examined, ({ startTime }) => isSettled(examined, startTime, now));
  return unknown.map(({ workflowId, subject }) => ({
    kind: 'workflow-without-row',
    subject,
    what: `${workflowId} runs in Temporal, and the record has no row of it.`,
    todo: `If no worker answers, start one: it is admitted, refused, or ended with the reason. If one does, end it with: temporal workflow terminate --workflow-id '${workflowId}' --reason "not in the record"`,
  }));
}

/** Whoever could go on, and does not. */
async function waiting(examined: Examined, attempts: DeploymentRow[], now: number): Promise<Difference[]> {
  const { db, targets } = examined;
  const free = new Set(await freeLanesWaitedFor(db, targets));
  const revision = await windowRevision(db);
  const stale = await anyStaleSleeper(db, revision);
  return attempts.flatMap((row): Difference[] => {
    if (!isSettled(examined, row.updated_at, now)) return [];
    const key = rowKey(row);
    const found = (what: string): Difference[] => [
      { kind: 'waits-for-nothing', subject: key, what, todo: `${byReconcile} tells it to look again.` },
    ];
    if (row.status === 'queued' && free.has(row.owner))
      return found(`${key} waits in the queue of ${row.target}, whose lane is free.`);
    if (stale && row.window_revision !== null && row.window_revision < revision)
      return found(`${key} waits for a window by windows that were changed since.`);
    return [];
  });
}
