import { ownChange } from '../domain/admission';
import { changeRequestKey } from '../domain/keys';
import type { ChangeRequestStatus, ChangeType, Risk } from '../domain/machines';
import type { Db, Tx } from './connect';
import { whyMayNotNow } from './people';
import { transition, type Move } from './transition';

export interface ChangeRequestRow {
  id: number;
  type: ChangeType;
  risk: Risk;
  description: string;
  emergency_reason: string | null;
  requester: string;
  status: ChangeRequestStatus;
  submission: number;
  outcome: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}
export interface DecisionRow {
  id: string;
  change_request: number;
  submission: number;
  approver: string;
  decision: 'approve' | 'reject';
  minted_by: string | null;
  comment: string | null;
  counted: boolean;
  refusal_code: string | null;
  refusal: string | null;
  at: Date;
}
export interface Decision {
  id: string;
  changeRequest: number;
  submission: number;
  approver: string;
  decision: 'approve' | 'reject';
  comment?: string;
  /** Who minted the token it came by, when that is somebody else. */
  mintedBy?: string;
  request?: string;
}

export const findChangeRequest = async (tx: Tx, id: number) =>
  (await tx('change_requests').where({ id }).first()) as ChangeRequestRow | undefined;

export const findDecision = async (tx: Tx, id: string) =>
  (await tx('decisions').where({ id }).first()) as DecisionRow | undefined;

/** Submits a draft as its next submission. Repeating it for the same submission changes nothing. */
export const submit = (db: Db, id: number, submission: number, move: Move) =>
  db.transaction(async (tx) => {
    const row = await locked(tx, id);
    if (row.submission >= submission) return;
    await transition(tx, 'changeRequest', id, 'submitted', move, { submission, followed_at: null });
  });

/**
 * Writes a decision's row and what follows from it, in one transaction. A decision that does not count is
 * recorded with its refusal. The same decision id again answers the first verdict.
 */
export async function decide(db: Db, d: Decision): Promise<DecisionRow> {
  return db.transaction(async (tx) => {
    const request = await locked(tx, d.changeRequest);
    const before = await findDecision(tx, d.id);
    if (before) return before;
    const promotion = await tx('promotions').where({ id: d.changeRequest }).first();
    const refusal =
      whyNotCounted(d, request, promotion.shipped_by) ??
      (await whyMayNotNow(tx, d.approver, 'decide', promotion.target));
    if (!refusal) {
      const move = { by: d.approver, why: d.comment, request: d.request };
      const approved = d.decision === 'approve';
      const outcome = approved ? null : `rejected by ${d.approver}: ${d.comment ?? 'no comment'}`;
      const to = approved ? 'approved' : 'rejected';
      await transition(tx, 'changeRequest', d.changeRequest, to, move, { outcome });
      await transition(tx, 'promotion', d.changeRequest, to, move);
    }
    const [row] = await tx('decisions')
      .insert({
        id: d.id,
        change_request: d.changeRequest,
        submission: d.submission,
        approver: d.approver,
        decision: d.decision,
        comment: d.comment ?? null,
        minted_by: d.mintedBy ?? null,
        request_id: d.request ?? null,
        counted: !refusal,
        refusal_code: refusal?.code ?? null,
        refusal: refusal?.message ?? null,
      })
      .returning('*');
    return row as DecisionRow;
  });
}

/** Locks promotion and request, in this order everywhere, so that two writers never wait for each other. */
async function locked(tx: Tx, id: number): Promise<ChangeRequestRow> {
  await tx('promotions').where({ id }).forNoKeyUpdate().first('id');
  return (await tx('change_requests').where({ id }).forNoKeyUpdate().first()) as ChangeRequestRow;
}

function whyNotCounted(d: Decision, request: ChangeRequestRow, shippedBy: string) {
  const key = changeRequestKey(request.id);
  if (request.status !== 'submitted' || request.submission !== d.submission)
    return {
      code: 'illegal-transition',
      message: `${key} is ${request.status}; only a submitted one takes decisions.`,
    };
  return ownChange(key, d, [shippedBy, request.requester]);
}

/** Notes that the request's workflow has followed it to its end. */
export const markFollowed = (db: Db, id: number) =>
  db('change_requests').where({ id }).update({ followed_at: db.fn.now() });

/** Requests that ended while their workflow was not told: `reconcile` tells it. */
export const endedUnfollowed = async (db: Db): Promise<ChangeRequestRow[]> =>
  (await db('change_requests')
    .whereIn('status', ['completed', 'rejected', 'cancelled'])
    .andWhere('submission', '>', 0)
    .whereNull('followed_at')
    .limit(100)) as ChangeRequestRow[];
