import { deploymentKey, promotionKey } from '../domain/keys';
import type { PreviewView } from '../domain/schemas';
import { scheduleOf } from '../domain/windows/status';
import type { DeploymentWindow } from '../domain/windows/window';
import { databaseNow } from '../db/clock';
import { standingOf } from '../db/standing';
import type { ApiDeps } from './deps';

const yearMs = 366 * 86_400_000;
const mostOccurrences = 10;
const mostLooked = 1_000;

/** What a proposed window would hold: sleepers that would sleep longer, plans it covers, what could be deployed now. */
export async function previewOf(
  { db, windows, targets }: Pick<ApiDeps, 'db' | 'windows' | 'targets'>,
  proposed: Omit<DeploymentWindow, 'id'>,
  replaces?: number,
): Promise<PreviewView> {
  const now = await databaseNow(db);
  const before = await windows.current();
  const window = { ...proposed, id: 0 };
  const after = scheduleOf([...before.windows.filter(({ id }) => id !== replaces), window], before.revision);
  const occurrences = scheduleOf([window], 0)
    .occurrences(now, now + yearMs)
    .slice(0, mostOccurrences)
    .map(({ start, end }) => ({ start: new Date(start).toISOString(), end: new Date(end).toISOString() }));
  const rows = (await db('promotions')
    .join('change_requests', 'change_requests.id', 'promotions.id')
    .leftJoin('deployments', (join) =>
      join
        .on('deployments.promotion', 'promotions.id')
        .andOnIn('deployments.status', ['queued', 'waiting-for-window']),
    )
    .whereIn('promotions.status', ['pending', 'approved'])
    .orderBy('promotions.id')
    .limit(mostLooked)
    .select(
      'promotions.id',
      'promotions.title',
      'promotions.status',
      'promotions.target',
      'planned_start',
      'attempt',
      'deployments.status as waits',
      'scheduled_for',
    )) as {
    id: number;
    title: string;
    status: string;
    target: string;
    planned_start: Date | null;
    attempt: number | null;
    waits: string | null;
    scheduled_for: Date | null;
  }[];
  const holds: PreviewView['holds'] = [];
  for (const row of rows) {
    const environment = targets().get(row.target)?.environment;
    if (environment === undefined) continue;
    const at = (row.waits === 'waiting-for-window' ? row.scheduled_for : row.planned_start)?.getTime() ?? now;
    // Nothing is planned, and nobody could deploy it now.
    if (row.status === 'pending' && row.planned_start === null) continue;
    const subject = { ...(await standingOf(db, row.id))!, environment };
    const was = before.status(subject, Math.max(at, now));
    const would = after.status(subject, Math.max(at, now));
    if (!was.open || would.open) continue;
    holds.push({
      key: row.attempt === null ? promotionKey(row.id) : deploymentKey(row.id, row.attempt),
      target: row.target,
      title: row.title,
      status: row.waits ?? row.status,
      before: was.reason,
      after: would.reason,
      nextOpen: would.nextOpen === null ? null : new Date(would.nextOpen).toISOString(),
    });
  }
  return { occurrences, holds };
}
