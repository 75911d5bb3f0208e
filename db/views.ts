import { changeRequestKey, deploymentKey, promotionKey } from '../domain/keys';
import type { ChangeRequestView, DeploymentView, PromotionView, StepView } from '../domain/schemas';
import type { ChangeRequestRow, DecisionRow } from './change-requests';
import type { Tx } from './connect';
import { deploymentById, type DeploymentRow } from './deployments';
import type { PromotionRow } from './promotions';

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
  const backups = grouped(await tx('backups').whereIn('deployment', ids), (b) => b.deployment as number);
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
      scheduledFor: null,
      waitingFor: row.waiting_for,
      outcome: row.outcome ?? row.failure,
      backup: backup ? viewBackup(backup) : null,
      steps: (steps.get(row.id) ?? []).map(viewStep),
      temporal: { workflowId: row.owner, runId: row.run_id, url: runUrl(row.owner, row.run_id) },
      ...versioned(row),
    };
  });
}

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
  const targets = new Map<string, DeploymentRow | undefined>();
  for (const { name, current_deployment: id } of await tx('targets').select('name', 'current_deployment'))
    targets.set(name, id ? await deploymentById(tx, id) : undefined);
  return rows.map((row) => {
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
      current: deployments.at(-1)?.key ?? null,
      deployments,
      backup: deployments.findLast((d) => d.backup !== null)?.backup ?? null,
      live: targets.get(row.target)?.promotion === row.id,
      ...versioned(row),
    };
  });
}

export const viewPromotion = async (tx: Tx, row: PromotionRow, runUrl: RunUrl): Promise<PromotionView> =>
  (await viewPromotions(tx, [row], runUrl))[0]!;

export async function viewChangeRequest(tx: Tx, row: ChangeRequestRow): Promise<ChangeRequestView> {
  const promotion = (await tx('promotions').where({ id: row.id }).first()) as PromotionRow;
  const decisions = (await tx('decisions').where({ change_request: row.id }).orderBy('at')) as DecisionRow[];
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
    decisions: decisions.map((d) => ({
      id: d.id,
      approver: d.approver,
      decision: d.decision,
      comment: d.comment,
      counted: d.counted,
      refusal: d.refusal,
      at: d.at.toISOString(),
    })),
    ...versioned(row),
  };
}

const viewStep = (row: Record<string, unknown>): StepView => ({
  name: row.name as string,
  status: row.status as StepView['status'],
  startedAt: (row.started_at as Date).toISOString(),
  finishedAt: iso(row.finished_at as Date | null),
  detail: row.detail as string,
});

const viewBackup = (row: Record<string, unknown>) => ({
  reference: row.reference as string,
  sha256: row.sha256 as string,
  bytes: row.bytes as number,
  verifiedAt: (row.verified_at as Date).toISOString(),
});
