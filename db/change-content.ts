import { changedSince } from '../domain/admission';
import type { Db, Tx } from './connect';
import { bindsTo, boundTo, contentDigest, type Bound } from './digest';
import { actsOf } from './runners';
import { contentOf, locked, tell, touch, type ChangeRequestRow } from './change-requests';
import { askedAnew, backToSubmitted, promotionFollows, standingApprovals, type Voided } from './approvals';
import { openAttempt, type ChangeType, type Risk } from '../domain/machines';
import { higher } from '../domain/risk';
import { policyFor } from '../domain/policy';
import type { TargetConfig, Targets } from '../domain/config';
import { badInput, SignalboxError } from '../domain/errors';
import { changeRequestKey } from '../domain/keys';
import { bySignalbox, movedBy, tryTransition, type Move } from './transition';

/**
 * What a change request says. Approvals bind to it: whatever of it changes, by an edit or because the operator changed
 * how the target builds, voids what was given and names whose it was.
 */
export interface Edit {
  title?: string;
  description?: string;
  type?: ChangeType;
  emergencyReason?: string | null;
  risk?: Risk;
  riskReason?: string | null;
  rollbackPlan?: string;
  backupPlan?: string;
  backlogItems?: string[];
  planned?: { start: string; minutes: number } | null;
  conflictsAccepted?: string | null;
  /** Another revision, with what is known of it. */
  code?: { revision: string; commit: string; facts: DraftFacts };
}
/** What is known of a change when it is drafted. */
export interface DraftFacts {
  commits: ChangeRequestRow['commits'];
  files: ChangeRequestRow['files'];
  lines: number;
  computedRisk: Risk;
  riskReasons: string[];
}
export const factColumns = (facts: DraftFacts) => ({
  commits: JSON.stringify(facts.commits),
  files: JSON.stringify(facts.files),
  lines: facts.lines,
  computed_risk: facts.computedRisk,
  risk_reasons: facts.riskReasons,
});

/** The risk that counts. @throws invalid-input when it is lowered without a reason. */
export function chosenRisk(
  computed: Risk | null,
  wanted: Risk | undefined,
  reason: string | null | undefined,
): Risk {
  if (wanted === undefined) return computed ?? 'medium';
  if (computed !== null && higher(computed, wanted) && !reason)
    throw badInput(
      `The rules of the target make this a ${computed} risk; to lower it to ${wanted}, say why in riskReason. Approvers see it.`,
    );
  return wanted;
}

/** Changes what a request says. @param version the one it is made to; another is refused. @returns who had approved what it said before. */
export const edit = (
  db: Db,
  id: number,
  wanted: Edit,
  target: TargetConfig,
  move: Move,
  version?: number,
): Promise<string[]> =>
  db.transaction(async (tx) => {
    const { row, promotion } = await locked(tx, id);
    const key = changeRequestKey(id);
    if (!['draft', 'submitted', 'approved'].includes(row.status))
      throw new SignalboxError(
        'illegal-transition',
        `${key} is ${row.status} and can not be changed${row.status === 'rejected' ? '; revise it first' : ''}.`,
      );
    if (version !== undefined && row.version !== version)
      throw new SignalboxError(
        'stale-version',
        `${key} is at version ${row.version} by now, not ${version}; look again.`,
      );
    const open = await tx('deployments')
      .where({ promotion: id })
      .whereIn('status', [...openAttempt])
      .first();
    if (open)
      throw new SignalboxError(
        'illegal-transition',
        `${key} has a deployment that is ${open.status}; cancel it first.`,
      );
    const computed = wanted.code ? wanted.code.facts.computedRisk : row.computed_risk;
    const riskReason = wanted.riskReason === undefined ? row.risk_reason : wanted.riskReason;
    // Chosen by a person before, it stays, as long as it is not below what the rules say now.
    const kept = row.computed_risk !== null && row.risk !== row.computed_risk ? row.risk : undefined;
    const risk = chosenRisk(
      computed,
      wanted.risk ?? kept ?? (wanted.code ? undefined : row.risk),
      riskReason,
    );
    const next: ChangeRequestRow = {
      ...row,
      type: wanted.type ?? row.type,
      risk,
      risk_reason: riskReason,
      description: wanted.description ?? row.description,
      emergency_reason: wanted.emergencyReason === undefined ? row.emergency_reason : wanted.emergencyReason,
      rollback_plan: wanted.rollbackPlan ?? row.rollback_plan,
      backup_plan: wanted.backupPlan ?? row.backup_plan,
      backlog_items: wanted.backlogItems ?? row.backlog_items,
      planned_start:
        wanted.planned === undefined
          ? row.planned_start
          : wanted.planned
            ? new Date(wanted.planned.start)
            : null,
      planned_minutes: wanted.planned === undefined ? row.planned_minutes : (wanted.planned?.minutes ?? null),
      conflicts_accepted:
        wanted.conflictsAccepted === undefined ? row.conflicts_accepted : wanted.conflictsAccepted,
    };
    if (next.type === 'emergency' && !next.emergency_reason)
      throw badInput('An emergency change needs a reason: emergencyReason.');
    const moved = {
      ...promotion,
      title: wanted.title ?? promotion.title,
      ...(wanted.code ? { revision: wanted.code.revision, commit: wanted.code.commit } : {}),
    };
    const before = contentOf(row, promotion);
    const after = contentOf(next, moved);
    const fields = (Object.keys(after) as (keyof typeof after)[]).filter(
      (field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]),
    );
    if (fields.length === 0) return [];
    const voided = (await standingApprovals(tx, id)).map(({ approver }) => approver);
    const revision = row.revision + 1;
    const why = voidedWhy(`changed: ${fields.join(', ')}`, voided);
    // Triggers write each change into the audit trail, and note who made it as an author.
    const mine = { ...move, why: voided.length > 0 ? why : move.why };
    const set = {
      type: next.type,
      risk: next.risk,
      risk_reason: next.risk_reason,
      description: next.description,
      emergency_reason: next.emergency_reason,
      rollback_plan: next.rollback_plan,
      backup_plan: next.backup_plan,
      backlog_items: next.backlog_items,
      planned_start: next.planned_start,
      planned_minutes: next.planned_minutes,
      conflicts_accepted: next.conflicts_accepted,
      revision,
      digest: contentDigest(after, revision),
      ...(wanted.code ? factColumns(wanted.code.facts) : {}),
      // Another type or risk may have another chain.
      ...(row.status === 'draft'
        ? {}
        : { policy: JSON.stringify(policyFor(target, next.type, next.risk)), ...askedAnew(tx) }),
    };
    await tx('promotions')
      .where({ id })
      .update({
        title: moved.title,
        revision: moved.revision,
        commit: moved.commit,
        ...movedBy(mine),
        version: tx.raw('version + 1'),
        updated_at: tx.fn.now(),
      });
    if (row.status === 'approved') await backToSubmitted(tx, id, { ...mine, why }, set);
    else await touch(tx, id, mine, { ...set, ...(voided.length > 0 ? { outcome: why } : {}) });
    if (row.status === 'submitted' && voided.length > 0) await tell(tx, 'approval.voided', id, { voided });
    return voided;
  });

const voidedWhy = (what: string, voided: string[]) =>
  voided.length > 0 ? `${what}; this voids the approval of ${voided.join(', ')}` : what;

/** A rejected request becomes a draft again, to be changed and submitted anew. */
export const revise = (db: Db, id: number, move: Move): Promise<void> =>
  db.transaction(async (tx) => {
    const { row } = await locked(tx, id);
    if (!(await tryTransition(tx, 'changeRequest', id, 'draft', move)))
      throw new SignalboxError(
        'illegal-transition',
        `${changeRequestKey(id)} is ${row.status}; only a rejected one is revised. ${row.status === 'submitted' || row.status === 'approved' ? 'Change it as it is.' : 'Ship it again.'}`,
      );
    await promotionFollows(tx, id, 'pending', move);
  });

/**
 * Binds a request to how its target is deployed now. What was approved for another recipe is void.
 * @returns why it is void; undefined when it was bound so already.
 */
export async function rebind(
  tx: Tx,
  id: number,
  target: TargetConfig,
  request?: string | null,
): Promise<string | undefined> {
  const { row, promotion } = await locked(tx, id);
  const there = await actsOf(tx, target);
  const bound = boundTo(target, there);
  if (row.submission === 0 || bindsTo(row, target, there)) return undefined;
  if (row.status !== 'submitted' && row.status !== 'approved') return undefined;
  const voided = (await standingApprovals(tx, id)).map(({ approver }) => approver);
  const revision = row.revision + 1;
  const set = {
    ...bound,
    revision,
    digest: contentDigest(contentOf({ ...row, ...bound }, promotion), revision),
  };
  const why = voidedWhy(changedSince(promotion.target, target), voided);
  const move = bySignalbox(why, request);
  if (row.status === 'approved') await backToSubmitted(tx, id, move, set);
  else await touch(tx, id, move, { ...set, ...askedAnew(tx), outcome: why });
  return why;
}

/** The same for every open request, when the targets file was read, or a runner says that it acts otherwise. @returns which were void. */
export async function rebindAll(db: Db, targets: Targets): Promise<Voided[]> {
  const open = (await db('change_requests')
    .join('promotions', 'promotions.id', 'change_requests.id')
    .whereIn('change_requests.status', ['submitted', 'approved'])
    .whereNot('recipe', '')
    .select('change_requests.id', 'submission', 'incarnation', 'target', 'recipe', 'acts')) as (Voided &
    Bound & { target: string })[];
  const found: Voided[] = [];
  for (const { id, submission, incarnation, target, ...bound } of open) {
    const config = targets.get(target);
    if (!config || bindsTo(bound, config, await actsOf(db, config))) continue;
    if (await db.transaction((tx) => rebind(tx, id, config))) found.push({ id, submission, incarnation });
  }
  return found;
}
