import type { BlockerView, ItemView } from '../../domain/backlog/schemas';
import type { ItemFields } from '../../domain/backlog/item';
import { epicKey, itemKey, promotionKey } from '../../domain/keys';
import type { DeploymentStatus, PromotionStatus } from '../../domain/machines';

/** Backlog items as rows, with what belongs to them, and as the API shows them. */
export interface ItemRow {
  id: number;
  title: string;
  description: string;
  status: ItemFields['status'];
  priority: ItemFields['priority'];
  rank: string;
  epic: number | null;
  owner: string | null;
  due_date: string | null;
  labels: string[];
  external_id: string | null;
  started_at: Date | null;
  done_at: Date | null;
  delivered_by: number | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}

export interface BlockerRow {
  id: number;
  item: number;
  blocked_by: number | null;
  reason: string;
  raised_by: string;
  raised_at: Date | string;
  resolved_at: Date | string | null;
  resolved_by: string | null;
  resolution: string | null;
}

/** A row with what belongs to it. */
export type FullRow = ItemRow & {
  blockers: BlockerRow[] | null;
  promotions:
    | {
        id: number;
        target: string;
        title: string;
        status: PromotionStatus;
        attempt: DeploymentStatus | null;
      }[]
    | null;
};
/** Of `backlog_items i`. Spelled out: a prepared statement with a star breaks when a later version adds a column. */
export const itemColumns = `i.id, i.title, i.description, i.status, i.priority, i.rank, i.epic, i.owner, i.due_date, i.labels,
  i.external_id, i.started_at, i.done_at, i.delivered_by, i.version, i.created_at, i.updated_at`;
/** An item with what belongs to it: what is selected, and what a statement that writes one returns. */
export const full = `${itemColumns},
  (SELECT json_agg(b ORDER BY b.id) FROM blockers b WHERE b.item = i.id) AS blockers,
  (SELECT json_agg(json_build_object('id', p.id, 'target', p.target, 'title', p.title, 'status', p.status,
     'attempt', (SELECT d.status FROM deployments d WHERE d.promotion = p.id ORDER BY d.attempt DESC LIMIT 1)) ORDER BY p.id)
     FROM change_requests c JOIN promotions p USING (id) WHERE c.backlog_items @> ARRAY['ITEM-' || i.id]) AS promotions`;

export function viewItem(row: FullRow): ItemView {
  const blockers = (row.blockers ?? []).map(viewBlocker);
  const promotions = row.promotions ?? [];
  const done = row.done_at?.getTime();
  const active = row.status === 'open' || row.status === 'in-progress';
  return {
    key: itemKey(row.id),
    title: row.title,
    description: row.description,
    status: row.status,
    priority: row.priority,
    rank: row.rank,
    epic: row.epic === null ? null : epicKey(row.epic),
    owner: row.owner,
    dueDate: row.due_date,
    overdue: active && row.due_date !== null && row.due_date < new Date().toISOString().slice(0, 10),
    labels: row.labels,
    blocked: blockers.some(({ resolvedAt }) => resolvedAt === null),
    blockers,
    promotions: promotions.map(({ id, ...promotion }) => ({ key: promotionKey(id), ...promotion })),
    runsOn: [
      ...new Set(promotions.filter(({ status }) => status === 'deployed').map(({ target }) => target)),
    ],
    deliveredBy: row.delivered_by === null ? null : promotionKey(row.delivered_by),
    externalId: row.external_id,
    startedAt: row.started_at?.toISOString() ?? null,
    doneAt: row.done_at?.toISOString() ?? null,
    cycleTimeMs: done !== undefined && row.started_at ? done - row.started_at.getTime() : null,
    leadTimeMs: done === undefined ? null : done - row.created_at.getTime(),
    version: row.version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

const iso = (time: Date | string | null) => (time === null ? null : new Date(time).toISOString());
export const viewBlocker = (row: BlockerRow): BlockerView => ({
  id: row.id,
  item: itemKey(row.item),
  kind: row.blocked_by === null ? 'external' : 'item',
  blockedBy: row.blocked_by === null ? null : itemKey(row.blocked_by),
  reason: row.reason,
  raisedBy: row.raised_by,
  raisedAt: iso(row.raised_at)!,
  resolvedAt: iso(row.resolved_at),
  resolvedBy: row.resolved_by,
  resolution: row.resolution,
});
