import type { Targets } from '../domain/config';
import { changeRequestKey, deploymentKey, promotionKey } from '../domain/keys';
import { isTerminal } from '../domain/machines';
import type { WindowStatus } from '../domain/windows/status';
import type {
  ChangeRequestView,
  DeploymentView,
  OverrideView,
  PromotionView,
  StepView,
  WindowStatusView,
  WindowView,
  WordView,
} from '../domain/schemas';
import { decisionWaits, wordOutcome } from '../domain/words';
import { blockedByItems } from './backlog/delivery';
import { databaseNow } from './clock';
import { chainOf, standingApprovals } from './approvals';
import { contentOf, type ChangeRequestRow, type DecisionRow } from './change-requests';
import type { Conflict } from '../domain/conflicts';
import { conflictsAt, relatedTo } from './conflicts';
import type { Tx } from './connect';
import { deploymentById, type DeploymentRow } from './deployments';
import { expiryOf } from './deadlines';
import type { PromotionRow } from './promotions';
import { decisionsUnheard, type WordRow } from './words';
import { overridesFor, windowOf, type OverrideRow, type WindowRow } from './windows';

/** Rows as the API shows them. Everything for a page of rows is read in a fixed number of queries. */
export type RunUrl = (workflowId: string, runId: string) => string | null;

const iso = (date: Date | null) => date?.toISOString() ?? null;
const versioned = (row: { version: number; created_at: Date; updated_at: Date }) => ({
  version: row.version,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});
function grouped<T>(rows: T[], by: (row: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of rows) groups.set(by(row), [...(groups.get(by(row)) ?? []), row]);
  return groups;
}

export async function viewDeployments(
  tx: Tx,
  rows: DeploymentRow[],
  runUrl: RunUrl,
): Promise<DeploymentView[]> {
  const ids = rows.map((row) => row.id);
  const steps = grouped(
    await tx('deployment_steps').whereIn('deployment', ids).orderBy('ordinal'),
    (step) => step.deployment as number,
  );
  const words = grouped(
    (await tx('words').whereIn('deployment', ids).orderBy('id')) as WordRow[],
    (word) => word.deployment,
  );
  const backups = grouped(await tx('backups').whereIn('deployment', ids), (b) => b.deployment as number);
  const about = new Map(
    (
      (await tx('promotions')
        .join('change_requests', 'change_requests.id', 'promotions.id')
        .whereIn(
          'promotions.id',
          rows.map(({ promotion }) => promotion),
        )
        .select('promotions.id', 'title', 'type')) as { id: number; title: string; type: string }[]
    ).map((row) => [row.id, row]),
  );
  const queue = grouped(
    (await tx('deployments')
      .where({ status: 'queued' })
      .whereIn('target', [...new Set(rows.filter((r) => r.status === 'queued').map((r) => r.target))])
      .orderBy('id')
      .select('id', 'target')) as { id: number; target: string }[],
    () => 0,
  ).get(0);
  return rows.map((row) => {
    const backup = backups.get(row.id)?.[0];
    const place = queue?.filter((q) => q.target === row.target).findIndex((q) => q.id === row.id) ?? -1;
    return {
      key: deploymentKey(row.promotion, row.attempt),
      promotion: promotionKey(row.promotion),
      title: about.get(row.promotion)!.title,
      emergency: about.get(row.promotion)!.type === 'emergency',
      target: row.target,
      attempt: row.attempt,
      fence: row.fence,
      trigger: row.trigger,
      status: row.status,
      startedBy: row.started_by,
      startedAt: iso(row.started_at),
      finishedAt: iso(row.finished_at),
      from: row.from_release,
      to: row.to_release,
      position: row.status === 'queued' && place >= 0 ? place + 1 : null,
      scheduledFor: iso(row.scheduled_for),
      waitingFor: (isTerminal('deployment', row.status) ? null : row.paused) ?? row.waiting_for,
      outcome: row.outcome ?? row.failure,
      logRemovedAt: row.log_removed_at?.toISOString() ?? null,
      runner: row.runner ?? null,
      backup: backup ? viewBackup(backup) : null,
      steps: (steps.get(row.id) ?? []).filter((step) => !isHeld(row, step)).map(viewStep),
      words: (words.get(row.id) ?? []).map((word) => viewWord(word, row)),
      temporal: { workflowId: row.owner, runId: row.run_id, url: runUrl(row.owner, row.run_id) },
      ...versioned(row),
    };
  });
}

/** A step that is held for its window has not begun, or not again; the attempt says what it waits for. */
const isHeld = (row: DeploymentRow, step: Record<string, unknown>) =>
  row.status === 'running' && row.window_revision !== null && step.status === 'running';

const viewWord = (word: WordRow, { status, paused }: DeploymentRow): WordView => ({
  id: word.id,
  kind: word.kind,
  action: word.action,
  by: word.said_by,
  reason: word.reason,
  saidAt: word.created_at.toISOString(),
  status: word.status,
  outcome: wordOutcome(word.status, word.outcome, status, paused),
  endedAt: iso(word.ended_at),
});

export const viewDeployment = async (tx: Tx, row: DeploymentRow, runUrl: RunUrl): Promise<DeploymentView> =>
  (await viewDeployments(tx, [row], runUrl))[0]!;

export async function viewPromotions(tx: Tx, rows: PromotionRow[], runUrl: RunUrl): Promise<PromotionView[]> {
  const attempts = (await tx('deployments')
    .whereIn(
      'promotion',
      rows.map((row) => row.id),
    )
    .orderBy('attempt')) as DeploymentRow[];
  const views = grouped(await viewDeployments(tx, attempts, runUrl), (d) => Number(d.promotion.slice(3)));
  const requests = new Map(
    (
      (await tx('change_requests')
        .whereIn(
          'id',
          rows.map((row) => row.id),
        )
        .select('id', 'backlog_items', 'status', 'type')) as Pick<
        ChangeRequestRow,
        'id' | 'backlog_items' | 'status' | 'type'
      >[]
    ).map((row) => [row.id, row]),
  );
  const targets = new Map<string, DeploymentRow | undefined>();
  for (const { name, live: id } of await tx('targets').select('name', tx.raw('live_on(name) AS live')))
    targets.set(name, id ? await deploymentById(tx, id) : undefined);
  const blocked = await blockedByItems(
    tx,
    rows.map(({ id }) => requests.get(id)?.backlog_items ?? []),
  );
  return rows.map((row, n) => {
    const deployments = views.get(row.id) ?? [];
    const own = deployments.filter((d) => d.trigger !== 'rollback');
    return {
      key: promotionKey(row.id),
      target: row.target,
      title: row.title,
      revision: row.revision,
      commit: row.commit,
      release: own.findLast((d) => d.to !== null)?.to ?? null,
      status: row.status,
      changeRequest: changeRequestKey(row.id),
      shippedBy: row.shipped_by,
      shippedAt: row.shipped_at.toISOString(),
      draft: requests.get(row.id)?.status === 'draft',
      emergency: requests.get(row.id)?.type === 'emergency',
      backlogItems: requests.get(row.id)?.backlog_items ?? [],
      current: deployments.at(-1)?.key ?? null,
      deployments,
      backup: deployments.findLast((d) => d.backup !== null)?.backup ?? null,
      live: targets.get(row.target)?.promotion === row.id,
      blocked: blocked[n]!,
      ...versioned(row),
    };
  });
}

export const viewPromotion = async (tx: Tx, row: PromotionRow, runUrl: RunUrl): Promise<PromotionView> =>
  (await viewPromotions(tx, [row], runUrl))[0]!;

/** @param targets the targets file: which targets depend on which. */
export async function viewChangeRequest(
  tx: Tx,
  row: ChangeRequestRow,
  targets: Targets,
): Promise<ChangeRequestView> {
  const promotion = (await tx('promotions').where({ id: row.id }).first()) as PromotionRow;
  const decisions = (await tx('decisions')
    .where({ change_request: row.id })
    .orderBy('ordinal')) as DecisionRow[];
  const approvals = await standingApprovals(tx, row.id);
  const chain = chainOf(row, approvals);
  return {
    key: changeRequestKey(row.id),
    type: row.type,
    risk: row.risk,
    status: row.status,
    title: promotion.title,
    description: row.description,
    requester: row.requester,
    emergencyReason: row.emergency_reason,
    promotion: promotionKey(row.id),
    submission: row.submission,
    outcome: row.outcome,
    commits: row.commits.map((commit) => ({ ...commit, committedAt: commit.committedAt ?? null })),
    files: row.files,
    lines: row.lines,
    backlogItems: row.backlog_items,
    rollbackPlan: row.rollback_plan,
    backupPlan: row.backup_plan,
    planned: row.planned_start && { start: row.planned_start.toISOString(), minutes: row.planned_minutes! },
    computedRisk: row.computed_risk,
    riskReasons: row.risk_reasons,
    riskReason: row.risk_reason,
    conflicts: isTerminal('changeRequest', row.status)
      ? []
      : await plannedConflicts(tx, row, promotion.target, targets),
    conflictsAccepted: row.conflicts_accepted,
    revision: row.revision,
    digest: row.digest,
    approvals: {
      levels: chain.levels.map(({ name, seats, missing }) => ({
        name,
        seats: seats.map(({ groups, filledBy }) => ({ groups: [...groups], filledBy })),
        missing,
      })),
      complete: chain.complete,
      given: approvals.map(({ approver }) => approver),
      expiresAt: isoOf(expiryOf(row)),
    },
    review:
      row.review_due_at && row.status === 'in-progress'
        ? { dueAt: row.review_due_at.toISOString(), overdue: row.review_overdue_at !== null }
        : null,
    changes: await changesSince(tx, row, promotion),
    overrides: await viewOverrides(tx, await overridesFor(tx, [row.id])),
    decisions: decisions.map((d) => ({
      id: d.id,
      approver: d.approver,
      decision: d.decision,
      submission: d.submission,
      comment: d.comment,
      counted: d.counted,
      refusal: d.refusal,
      at: d.at.toISOString(),
    })),
    unheard: (await decisionsUnheard(tx, row.id)).map(({ said, created_at }) => ({
      approver: said.approver,
      decision: said.decision,
      comment: said.comment ?? null,
      saidAt: created_at.toISOString(),
      outcome: decisionWaits,
    })),
    ...versioned(row),
  };
}

const isoOf = (at: number | null | undefined) =>
  at === null || at === undefined ? null : new Date(at).toISOString();

/** What overlaps the time for which a change is planned. */
export async function plannedConflicts(
  tx: Tx,
  row: Pick<ChangeRequestRow, 'id' | 'planned_start' | 'planned_minutes'>,
  target: string,
  targets: Targets,
): Promise<Conflict[]> {
  if (!row.planned_start) return [];
  const to = new Date(row.planned_start.getTime() + row.planned_minutes! * 60_000);
  return conflictsAt(tx, row.id, target, relatedTo(targets, target), row.planned_start, to);
}

/** What a request says otherwise than its submission before. */
async function changesSince(tx: Tx, row: ChangeRequestRow, promotion: PromotionRow) {
  const before = row.status === 'draft' ? row.submission : row.submission - 1;
  if (before < 1) return [];
  const earlier = await tx('submissions')
    .where({ change_request: row.id, submission: before })
    .first('content');
  if (!earlier) return [];
  const was = earlier.content as Record<string, unknown>;
  return Object.entries(contentOf(row, promotion))
    .filter(
      ([field, after]) =>
        !['recipe', 'acts'].includes(field) && JSON.stringify(after) !== JSON.stringify(was[field] ?? null),
    )
    .map(([field, after]) => ({ field, before: was[field] ?? null, after: after as unknown }));
}

export async function viewOverrides(tx: Tx, rows: OverrideRow[]): Promise<OverrideView[]> {
  if (rows.length === 0) return [];
  const now = await databaseNow(tx);
  const names = new Map(
    (
      (await tx('deployment_windows')
        .whereIn(
          'id',
          rows.map((row) => row.deployment_window),
        )
        .select('id', 'name')) as { id: number; name: string }[]
    ).map(({ id, name }) => [id, name]),
  );
  return rows.map((row) => ({
    id: row.id,
    window: { id: row.deployment_window, name: names.get(row.deployment_window)! },
    promotion: promotionKey(row.promotion),
    reason: row.reason,
    requestedBy: row.requested_by,
    secondedBy: row.seconded_by,
    expiresAt: row.expires_at.toISOString(),
    status: row.revoked_at
      ? 'revoked'
      : row.expires_at.getTime() <= now
        ? 'expired'
        : row.seconded_by
          ? 'in-force'
          : 'asked',
  }));
}

export const viewWindow = (row: WindowRow): WindowView => {
  const { exceptDates, changeTypes, risks, ...window } = windowOf(row);
  return {
    ...window,
    ...(exceptDates ? { exceptDates: [...exceptDates] } : {}),
    ...(changeTypes ? { changeTypes: [...changeTypes] } : {}),
    ...(risks ? { risks: [...risks] } : {}),
    createdBy: row.created_by,
    ...versioned(row),
  };
};

/** @param usualMs how long a deployment usually takes; undefined: none has run. @param at the instant that was asked for. */
export const viewWindowStatus = (
  status: WindowStatus,
  usualMs: number | undefined,
  at: number,
): WindowStatusView => ({
  open: status.open,
  reason: status.reason,
  windows: status.windows,
  nextOpen: status.open ? null : isoOf(status.nextOpen),
  nextClose: isoOf(status.nextClose),
  warning:
    status.open && status.nextClose !== null && usualMs !== undefined && status.nextClose - at < usualMs
      ? `A deployment usually takes ${Math.ceil(usualMs / 1000)} s, and the window closes in ${Math.floor((status.nextClose - at) / 1000)} s: it may be held before its swap.`
      : null,
});

const viewStep = (row: Record<string, unknown>): StepView => ({
  name: row.name as string,
  status: row.status as StepView['status'],
  startedAt: (row.started_at as Date).toISOString(),
  finishedAt: iso(row.finished_at as Date | null),
  detail: row.detail as string,
  trouble: viewTrouble(row),
});

/** Of a step that runs: what its last try met, unless one has gone on since. */
const viewTrouble = (row: Record<string, unknown>): StepView['trouble'] =>
  row.status === 'running' && row.fault_message !== null && row.fault_round === row.round
    ? {
        message: row.fault_message as string,
        tries: row.fault_tries as number,
        nextTryAt: (row.fault_next_at as Date).toISOString(),
      }
    : null;

const viewBackup = (row: Record<string, unknown>) => ({
  reference: row.reference as string,
  sha256: row.sha256 as string,
  bytes: row.bytes as number,
  kind: row.kind as 'files' | 'postgres',
  verifiedAt: (row.verified_at as Date).toISOString(),
  removedAt: iso(row.removed_at as Date | null),
});
