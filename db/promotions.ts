import type { ChangeType, PromotionStatus, Risk } from '../domain/machines';
import type { Db, Tx } from './connect';
import { factColumns, type DraftFacts } from './change-content';
import { rowKey } from './deployments';
import { standingOf } from './standing';
import { movedBy, tryTransition, type Move } from './transition';

export interface PromotionRow {
  id: number;
  target: string;
  title: string;
  revision: string;
  commit: string;
  status: PromotionStatus;
  shipped_by: string;
  shipped_at: Date;
  version: number;
  created_at: Date;
  updated_at: Date;
}
export interface Shipment {
  target: string;
  title: string;
  revision: string;
  commit: string;
  shippedBy: string;
  /** Id of the HTTP request. */
  request?: string;
  change: {
    type: ChangeType;
    risk: Risk;
    riskReason?: string;
    description: string;
    emergencyReason?: string;
    rollbackPlan?: string;
    backupPlan?: string;
    planned?: { start: string; minutes: number };
    conflictsAccepted?: string;
    backlogItems?: string[];
    /** What is known of it; left out: nothing. */
    facts?: DraftFacts;
  };
}

/** Records the promotion (pending) and its change request (draft) together. @returns their common number. */
export async function ship(tx: Tx, shipment: Shipment): Promise<number> {
  const moved = movedBy({ by: shipment.shippedBy, why: shipment.title, request: shipment.request });
  const [row] = await tx('promotions')
    .insert({
      target: shipment.target,
      title: shipment.title,
      revision: shipment.revision,
      commit: shipment.commit,
      shipped_by: shipment.shippedBy,
      ...moved,
    })
    .returning('id');
  const { id } = row as { id: number };
  await tx('change_requests').insert({
    id,
    type: shipment.change.type,
    risk: shipment.change.risk,
    description: shipment.change.description,
    emergency_reason: shipment.change.emergencyReason ?? null,
    risk_reason: shipment.change.riskReason ?? null,
    rollback_plan: shipment.change.rollbackPlan ?? '',
    backup_plan: shipment.change.backupPlan ?? '',
    planned_start: shipment.change.planned?.start ?? null,
    planned_minutes: shipment.change.planned?.minutes ?? null,
    conflicts_accepted: shipment.change.conflictsAccepted ?? null,
    backlog_items: shipment.change.backlogItems ?? [],
    ...(shipment.change.facts ? factColumns(shipment.change.facts) : {}),
    requester: shipment.shippedBy,
    ...moved,
  });
  return id;
}

export const findPromotion = async (tx: Tx, id: number) =>
  (await tx('promotions').where({ id }).first()) as PromotionRow | undefined;

/**
 * Withdraws a promotion and cancels its change request, in one transaction.
 * @returns what stands in the way, or undefined when it was done.
 */
export async function withdraw(db: Db, id: number, outcome: string, move: Move): Promise<string | undefined> {
  try {
    return await db.transaction(async (tx) => {
      await tx('promotions').where({ id }).forNoKeyUpdate().first('id');
      const { open, promotion } = (await standingOf(tx, id))!;
      if (open) throw new Stand(`${rowKey({ promotion: id, ...open })} is ${open.status}; cancel it first`);
      if (!(await tryTransition(tx, 'promotion', id, 'withdrawn', move)))
        throw new Stand(`it is ${promotion}`);
      if (!(await tryTransition(tx, 'changeRequest', id, 'cancelled', move, { outcome })))
        throw new Stand('its change request can not be cancelled any more');
      return undefined;
    });
  } catch (thrown) {
    if (thrown instanceof Stand) return thrown.message;
    throw thrown;
  }
}
/** Rolls the transaction back and becomes its answer. */
class Stand extends Error {}
