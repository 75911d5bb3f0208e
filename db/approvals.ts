import { assess, type Approval, type ChainState } from '../domain/approval';
import type { OwnPart } from '../domain/admission';
import type { PromotionStatus } from '../domain/machines';
import { samePerson } from '../domain/person';
import { defaultPolicy, type ApprovalPolicy } from '../domain/policy';
import type { Tx } from './connect';
import { transition, type Move } from './transition';

/** Whose approval counts, how the chain stands, and what happens when one does not count any more. */
export const policyOf = (row: Governed): ApprovalPolicy => row.policy ?? defaultPolicy;

interface Governed {
  /** Null: of the version before, decided by one approver. */
  policy: ApprovalPolicy | null;
}

/** The approvals that count now: of the present content, by people who may still approve. */
export async function standingApprovals(tx: Tx, id: number): Promise<Approval[]> {
  const { rows } = await tx.raw('SELECT standing_approvals(?) AS approvals', [id]);
  return rows[0].approvals as Approval[];
}

/** How the chain stands. */
export const chainOf = (row: Governed, approvals: Approval[]): ChainState =>
  assess(policyOf(row).levels, approvals);

/**
 * What this person, or who vouches for them, had to do with a change: shipped it, requested it, or ever changed what an
 * approval binds to. Who minted their token vouches for them, and who minted a token for that one, or linked their account.
 * One rule, which the triggers ask as well.
 */
export async function ownPart(
  tx: Tx,
  promotion: number,
  person: string,
  mintedBy?: string,
): Promise<OwnPart | undefined> {
  const { rows } = await tx.raw('SELECT author, part, by_token AS "byToken" FROM own_part(?, ?, ?)', [
    promotion,
    person,
    mintedBy ?? null,
  ] as never);
  return (rows as OwnPart[])[0];
}

/** Who asked for or seconded an override for this change. */
export async function overridersOf(tx: Tx, promotion: number): Promise<string[]> {
  const rows = await tx('window_overrides')
    .where({ promotion })
    .whereNotNull('seconded_by')
    .whereNull('revoked_at');
  return rows.flatMap((row: { requested_by: string; seconded_by: string }) => [
    row.requested_by,
    row.seconded_by,
  ]);
}

/**
 * Whether a request has every approval that it needs, by people who may still give it, one of whom took no part in
 * overriding a window for it.
 */
export const isComplete = (row: Governed, approvals: Approval[], overriders: string[]): boolean =>
  chainOf(row, approvals).complete &&
  approvals.some(({ approver }) => !overriders.some((person) => samePerson(person, approver)));

/** A change request whose approval was voided. */
export interface Voided {
  id: number;
  submission: number;
  incarnation: string;
}

/** Sends back for approval what lost an approval that it needs. What is executing is looked at by its swap. */
export async function voidLapsedApprovals(tx: Tx, move: Move): Promise<Voided[]> {
  const approved = (await tx('promotions')
    .join('change_requests', 'change_requests.id', 'promotions.id')
    .where({ 'promotions.status': 'approved', 'change_requests.status': 'approved' })
    .orderBy('promotions.id')
    .forNoKeyUpdate()
    .select(
      'promotions.id',
      'submission',
      'incarnation',
      'policy',
      tx.raw('standing_approvals(promotions.id) AS approvals'),
    )) as (Voided & Governed & { approvals: Approval[] })[];
  const lapsed = approved.filter((row) => !chainOf(row, row.approvals).complete);
  for (const { id } of lapsed)
    await backToSubmitted(tx, id, { ...move, why: `the approval does not count any more: ${move.why}` });
  return lapsed.map(({ id, submission, incarnation }) => ({ id, submission, incarnation }));
}

/** Deadlines of asking count from now. */
export const askedAnew = (tx: Tx) => ({ asked_at: tx.fn.now(), reminded_at: null, escalated_at: null });

/** approved -> submitted, and the promotion with it. What is executing is looked at by its swap. */
export async function backToSubmitted(
  tx: Tx,
  id: number,
  move: Move,
  set: Record<string, unknown> = {},
): Promise<void> {
  await transition(tx, 'changeRequest', id, 'submitted', move, {
    outcome: move.why,
    ...askedAnew(tx),
    ...set,
  });
  await promotionFollows(tx, id, 'pending', move);
}

/** Moves the promotion along with its request. One that rolled back stays so until it is approved again. */
export async function promotionFollows(
  tx: Tx,
  id: number,
  to: 'pending' | 'approved' | 'rejected',
  move: Move,
): Promise<void> {
  const { status } = (await tx('promotions').where({ id }).first('status')) as { status: PromotionStatus };
  if (status !== 'rolled-back' || to === 'approved') await transition(tx, 'promotion', id, to, move);
}
