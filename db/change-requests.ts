import { ownChange, refuse, type Refusal } from '../domain/admission';
import { mayReject, whyNoSeat, type Approval } from '../domain/approval';
import {
  askedAnew,
  backToSubmitted,
  chainOf,
  overridersOf,
  ownPart,
  policyOf,
  promotionFollows,
  standingApprovals,
} from './approvals';
import type { TargetConfig } from '../domain/config';
import { changeRequestKey } from '../domain/keys';
import type { ChangeRequestStatus, ChangeType, Risk } from '../domain/machines';
import { samePerson } from '../domain/person';
import { defaultPolicy, groupsOf, type ApprovalPolicy } from '../domain/policy';
import type { Db, Tx } from './connect';
import { contentDigest, type BoundContent, type Bound } from './digest';
import { findPerson, whyMayNotNow } from './people';
import type { PromotionRow } from './promotions';
import { partOf } from './sweep';
import { bySignalbox, transition, tryTransition, type Move } from './transition';

/** Change requests and the decisions on them. What they say is in `change-content`, their deadlines in `deadlines`. */
export interface ChangeRequestRow {
  id: number;
  type: ChangeType;
  risk: Risk;
  description: string;
  emergency_reason: string | null;
  requester: string;
  status: ChangeRequestStatus;
  submission: number;
  /** Of the database, when it was last submitted: its workflow's id carries it. */
  incarnation: string;
  outcome: string | null;
  /** `committedAt` is missing in what a version before wrote. */
  commits: { commit: string; subject: string; author: string; committedAt?: string }[];
  files: { path: string; added: number; removed: number }[];
  lines: number;
  backlog_items: string[];
  rollback_plan: string;
  backup_plan: string;
  planned_start: Date | null;
  planned_minutes: number | null;
  computed_risk: Risk | null;
  risk_reasons: string[];
  risk_reason: string | null;
  revision: number;
  recipe: string;
  acts: string | null;
  digest: string;
  policy: ApprovalPolicy | null;
  asked_at: Date | null;
  reminded_at: Date | null;
  escalated_at: Date | null;
  approved_at: Date | null;
  conflicts_accepted: string | null;
  review_due_at: Date | null;
  review_overdue_at: Date | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}
export type DecisionKind = 'approve' | 'reject' | 'withdraw' | 'review';
export interface DecisionRow {
  id: string;
  change_request: number;
  submission: number;
  approver: string;
  decision: DecisionKind;
  minted_by: string | null;
  comment: string | null;
  counted: boolean;
  refusal_code: string | null;
  refusal: string | null;
  groups: string[];
  digest: string;
  at: Date;
}
export interface Decision {
  id: string;
  changeRequest: number;
  submission: number;
  approver: string;
  decision: DecisionKind;
  /** Digest of what was looked at; left out: of what it says now. */
  digest?: string;
  comment?: string;
  /** Who minted the token it came by, when that is somebody else. */
  mintedBy?: string;
  request?: string;
}

export const findChangeRequest = async (tx: Tx, id: number) =>
  (await tx('change_requests').where({ id }).first()) as ChangeRequestRow | undefined;

export const findDecision = async (tx: Tx, id: string) =>
  (await tx('decisions').where({ id }).first()) as DecisionRow | undefined;

/** What an approval of the request binds to, as it stands. */
export const contentOf = (
  row: ChangeRequestRow,
  promotion: Pick<PromotionRow, 'target' | 'commit' | 'title'>,
): BoundContent => ({
  target: promotion.target,
  commit: promotion.commit,
  recipe: row.recipe,
  ...(row.acts === null ? {} : { acts: row.acts }),
  type: row.type,
  risk: row.risk,
  riskReason: row.risk_reason,
  title: promotion.title,
  description: row.description,
  emergencyReason: row.emergency_reason,
  rollbackPlan: row.rollback_plan,
  backupPlan: row.backup_plan,
  plannedStart: row.planned_start?.toISOString() ?? null,
  plannedMinutes: row.planned_minutes,
  backlogItems: row.backlog_items,
  conflictsAccepted: row.conflicts_accepted,
});

/** Submits a draft as its next submission. @param bind its policy and what it binds to, of what it says then. Repeating it for the same submission changes nothing. */
export const submit = (
  db: Db,
  id: number,
  submission: number,
  move: Move,
  bind: (row: ChangeRequestRow) => { policy: ApprovalPolicy } & Bound = () => ({
    policy: defaultPolicy,
    recipe: '',
    acts: null,
  }),
) =>
  db.transaction(async (tx) => {
    const { row, promotion } = await locked(tx, id);
    if (row.submission >= submission) return;
    const { policy, ...bound } = bind(row);
    const content = contentOf({ ...row, ...bound }, promotion);
    const set = {
      submission,
      incarnation: tx.raw('current_incarnation()'),
      followed_at: null,
      outcome: null,
      ...bound,
      digest: contentDigest(content, row.revision),
      policy: JSON.stringify(policy),
      ...askedAnew(tx),
    };
    if (!(await tryTransition(tx, 'changeRequest', id, 'submitted', move, set))) return;
    await tx('submissions').insert({
      change_request: id,
      submission,
      content: JSON.stringify(content),
      submitted_by: move.by,
    });
  });

/**
 * Writes a decision's row and what follows from it, in one transaction. A decision that does not count is
 * recorded with its refusal. The same decision id again answers the first verdict.
 * @param target the targets file's entry: who is in which group.
 */
export async function decide(db: Db, d: Decision, target?: TargetConfig): Promise<DecisionRow> {
  return db.transaction(async (tx) => {
    const { row: request, promotion } = await locked(tx, d.changeRequest);
    const before = await findDecision(tx, d.id);
    if (before) return before;
    const person = await findPerson(tx, d.approver);
    const groups = groupsOf(target, d.approver, person?.groups ?? []);
    const given = await standingApprovals(tx, request.id);
    const refusal =
      (await whyNotCounted(tx, d, request)) ??
      (await whyMayNotNow(tx, d.approver, 'decide', promotion.target)) ??
      whyOutOfTurn(d, request, given, groups);
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
        groups,
        digest: d.digest ?? request.digest,
        counted: !refusal,
        refusal_code: refusal?.code ?? null,
        refusal: refusal?.message ?? null,
      })
      .returning('*');
    if (!refusal) await follow(tx, d, request, [...given, { approver: d.approver, groups }]);
    return row as DecisionRow;
  });
}

/** What a decision that counts leads to. @param approvals with this one, if it is one. */
async function follow(tx: Tx, d: Decision, request: ChangeRequestRow, approvals: Approval[]): Promise<void> {
  const { id } = request;
  const move = { by: d.approver, why: d.comment, request: d.request };
  const both = async (to: 'approved' | 'rejected', outcome: string | null) => {
    await transition(tx, 'changeRequest', id, to, move, { outcome });
    await promotionFollows(tx, id, to, move);
  };
  switch (d.decision) {
    case 'approve': {
      const state = chainOf(request, approvals);
      if (state.complete) return both('approved', null);
      const before = chainOf(request, approvals.slice(0, -1));
      // The next level is asked; its time begins now.
      const next = state.current !== before.current;
      await touch(tx, id, move, next ? askedAnew(tx) : {});
      if (next) await tell(tx, 'approval.asked', id, { level: state.levels[state.current!]!.name });
      return;
    }
    case 'reject':
      return both('rejected', `rejected by ${d.approver}: ${d.comment}`);
    case 'withdraw': {
      const why = `${d.approver} withdrew the approval${d.comment ? `: ${d.comment}` : ''}`;
      if (request.status === 'approved') await backToSubmitted(tx, id, { ...move, why });
      else await touch(tx, id, move);
      return;
    }
    case 'review':
      await transition(tx, 'changeRequest', id, 'completed', move, {
        outcome: `${request.outcome ?? 'deployed'} Reviewed afterwards by ${d.approver}: ${d.comment}`,
      });
  }
}

/** A change of the row that is none of its status. */
export const touch = (tx: Tx, id: number, move: Move, set: Record<string, unknown> = {}) =>
  tx('change_requests')
    .where({ id })
    .update({ ...set, moved: JSON.stringify(move), version: tx.raw('version + 1'), updated_at: tx.fn.now() });

/** Tells whoever listens by webhook about a request. */
export const tell = (tx: Tx, event: string, id: number, more: object = {}) =>
  tx.raw('SELECT tell_change_request(?, ?, ?::jsonb)', [event, id, JSON.stringify(more)]);

/** Locks promotion and request, in this order everywhere, so that two writers never wait for each other. */
export async function locked(
  tx: Tx,
  id: number,
): Promise<{ row: ChangeRequestRow; promotion: PromotionRow }> {
  const promotion = (await tx('promotions').where({ id }).forNoKeyUpdate().first()) as PromotionRow;
  const row = (await tx('change_requests').where({ id }).forNoKeyUpdate().first()) as ChangeRequestRow;
  return { row, promotion };
}

/** Whether the request takes such a decision now, and from this person. */
async function whyNotCounted(tx: Tx, d: Decision, request: ChangeRequestRow): Promise<Refusal | undefined> {
  const key = changeRequestKey(request.id);
  const { status } = request;
  if (request.submission !== d.submission)
    return refuse('illegal-transition', `${key} was submitted anew since; decide on its present submission.`);
  if ((d.decision === 'reject' || d.decision === 'review') && !d.comment)
    return refuse('invalid-input', `A ${d.decision === 'reject' ? 'rejection' : 'review'} needs a comment.`);
  if (d.decision === 'review') {
    if (status !== 'in-progress' || !request.review_due_at)
      return refuse(
        'illegal-transition',
        `${key} is ${status} and waits for no review; only a deployed emergency change or one that passed a window by an override is reviewed.`,
      );
    const overriders = await overridersOf(tx, request.id);
    if (overriders.some((person) => samePerson(person, d.approver)))
      return refuse(
        'own-change',
        `${d.approver} took part in overriding a window for ${key}; somebody else reviews it.`,
      );
  } else if (d.decision === 'withdraw') {
    if (status !== 'submitted' && status !== 'approved')
      return refuse(
        'illegal-transition',
        `${key} is ${status}; an approval can be withdrawn until the deployment starts.`,
      );
  } else if (status !== 'submitted')
    return refuse('illegal-transition', `${key} is ${status}; only a submitted one takes decisions.`);
  else if (d.digest !== undefined && d.digest !== request.digest)
    return refuse(
      'stale-version',
      `${key} was changed after ${d.approver} looked at it; look again and decide on what it says now.`,
    );
  return ownChange(key, d.approver, await ownPart(tx, request.id, d.approver, d.mintedBy));
}

function whyOutOfTurn(
  d: Decision,
  request: ChangeRequestRow,
  given: Approval[],
  groups: string[],
): Refusal | undefined {
  const key = changeRequestKey(request.id);
  const { levels } = policyOf(request);
  if (d.decision === 'approve') return whyNoSeat(key, levels, given, { approver: d.approver, groups });
  if (d.decision === 'withdraw')
    return given.some(({ approver }) => samePerson(approver, d.approver))
      ? undefined
      : refuse('nothing-to-withdraw', `${d.approver} has no approval on ${key} that counts.`);
  return mayReject(levels, groups)
    ? undefined
    : refuse(
        'not-eligible',
        `${d.approver} is in none of the groups that decide on ${key}: ${[...new Set(levels.flatMap((l) => l.groups))].join(', ')}.`,
      );
}

const followedToTheEnd: readonly ChangeRequestStatus[] = ['completed', 'rejected', 'cancelled'];

/** Notes that the request's workflow has followed it to its end. */
export const markFollowed = (db: Db, id: number) =>
  db('change_requests')
    .where({ id })
    .whereIn('status', followedToTheEnd)
    .update({ followed_at: db.fn.now() });

/** Requests that ended while their workflow was not told: `reconcile` tells it. */
export const endedUnfollowed = async (db: Db): Promise<ChangeRequestRow[]> =>
  (await db('change_requests')
    .whereIn('status', followedToTheEnd)
    .andWhere('submission', '>', 0)
    .whereNull('followed_at')
    .limit(100)) as ChangeRequestRow[];

/** In these its workflow must be there. */
const followed: readonly ChangeRequestStatus[] = ['submitted', 'approved', 'in-progress'];
export const isFollowed = ({ status }: Pick<ChangeRequestRow, 'status'>) => followed.includes(status);

/** Requests whose workflow must be there, a part of them at a time. */
export const followedRequests = (db: Db, atOnce: number, pass: number) =>
  partOf<ChangeRequestRow>(
    db('change_requests')
      .whereIn('status', [...followed])
      .andWhere('submission', '>', 0),
    atOnce,
    pass,
  );

/** After its deployment ended well: completed, or held for the review that has to follow. */
export async function deployed(
  tx: Tx,
  id: number,
  outcome: string,
  move: Move,
  reviewMs: number,
): Promise<void> {
  const { row } = await locked(tx, id);
  const used = await tx('window_overrides')
    .where({ promotion: id })
    .whereNotNull('seconded_at')
    .whereNull('revoked_at')
    .first('id');
  if (row.type !== 'emergency' && !used) {
    await transition(tx, 'changeRequest', id, 'completed', move, { outcome });
    return;
  }
  await touch(tx, id, bySignalbox('it has to be reviewed'), {
    outcome,
    review_due_at: tx.raw(`now() + make_interval(secs => ?)`, [reviewMs / 1000]),
  });
  await tell(tx, 'review.asked', id);
}
