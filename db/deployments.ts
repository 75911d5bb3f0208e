import type { TargetConfig } from '../domain/config';
import { deploymentKey, promotionKey } from '../domain/keys';
import { laneHolding, openAttempt, type DeploymentStatus, type Trigger } from '../domain/machines';
import type { Db, Tx } from './connect';
import { transition } from './transition';

/**
 * The attempts of promotions and the lane of each target. Every function here is one transaction and may be
 * repeated: an activity whose answer was lost finds what it already did.
 */
export interface DeploymentRow {
  id: number;
  promotion: number;
  attempt: number;
  target: string;
  trigger: Trigger;
  status: DeploymentStatus;
  started_by: string;
  reason: string | null;
  owner: string;
  run_id: string;
  fence: number | null;
  from_deployment: number | null;
  from_release: string | null;
  to_release: string | null;
  restores: number | null;
  migration_began: boolean;
  waiting_for: string | null;
  failure: string | null;
  outcome: string | null;
  outcome_code: string | null;
  started_at: Date | null;
  finished_at: Date | null;
  /** Number of the log's last line. */
  log_seq: number;
  version: number;
  created_at: Date;
  updated_at: Date;
}

export interface AdmissionRequest {
  promotion: number;
  attempt: number;
  trigger: Trigger;
  startedBy: string;
  reason?: string;
  owner: string;
  runId: string;
  /** Why the target takes no promotions at present; undefined when it does. */
  switchedOff?: string;
}
export interface Refusal {
  code: string;
  message: string;
}

const rowKey = (row: { promotion: number; attempt: number }) => deploymentKey(row.promotion, row.attempt);

export const findDeployment = async (tx: Tx, promotion: number, attempt: number) =>
  (await tx('deployments').where({ promotion, attempt }).first()) as DeploymentRow | undefined;

export const deploymentById = async (tx: Tx, id: number): Promise<DeploymentRow> =>
  (await tx('deployments').where({ id }).first()) as DeploymentRow;

export const openAttemptOf = async (tx: Tx, promotion: number) =>
  (await tx('deployments').where({ promotion }).whereIn('status', openAttempt).first()) as
    DeploymentRow | undefined;

/** The attempt whose success made the promotion deployed. */
export async function attemptThatDeployed(tx: Tx, promotion: number): Promise<number> {
  const row = await tx('deployments')
    .where({ promotion, status: 'succeeded' })
    .whereNot({ trigger: 'rollback' })
    .max('attempt as last')
    .first();
  return Number(row?.last);
}

export async function nextAttempt(tx: Tx, promotion: number): Promise<number> {
  const row = await tx('deployments').where({ promotion }).max('attempt as last').first();
  return Number(row?.last ?? 0) + 1;
}

/** Why this kind of attempt may not start now; undefined when it may. The same rule at the click and at admission. */
export async function whyNot(
  tx: Tx,
  promotion: number,
  trigger: Trigger,
  switchedOff: string | undefined,
): Promise<Refusal | undefined> {
  const key = promotionKey(promotion);
  const row = await tx('promotions').where({ id: promotion }).first();
  if (trigger === 'rollback') {
    if (row.status !== 'deployed')
      return refuse(
        'illegal-transition',
        `${key} is ${row.status}; only a deployed promotion can be rolled back.`,
      );
    return (await restorable(tx, promotion, row.target)).refusal;
  }
  if (switchedOff !== undefined)
    return refuse('promotions-disabled', `Promotions to ${row.target} are switched off: ${switchedOff}`);
  if (trigger === 'deploy')
    return row.status === 'approved'
      ? undefined
      : row.status === 'pending'
        ? refuse(
            'not-approved',
            `${key} is not approved yet; its change request RFC-${promotion} needs a decision.`,
          )
        : refuse(
            'illegal-transition',
            row.status === 'rolled-back'
              ? `${key} rolled back; retry it instead of deploying it again.`
              : `${key} is ${row.status} and can not be deployed.`,
          );
  if (row.status !== 'rolled-back')
    return refuse(
      'illegal-transition',
      `${key} is ${row.status}; only a promotion that rolled back can be retried.`,
    );
  const change = await tx('change_requests').where({ id: promotion }).first();
  return change.status === 'approved'
    ? undefined
    : refuse(
        'approval-void',
        `RFC-${promotion} is ${change.status}, so its approval no longer binds; ship it again.`,
      );
}

async function restorable(tx: Tx, promotion: number, target: string) {
  const current = (await tx('deployments')
    .join('targets', 'targets.current_deployment', 'deployments.id')
    .where('targets.name', target)
    .first('deployments.*')) as DeploymentRow | undefined;
  if (!current || current.promotion !== promotion)
    return {
      refusal: refuse(
        'not-current',
        `${promotionKey(promotion)} is not what ${target} runs (${current ? promotionKey(current.promotion) : 'nothing'} is); only the current release can be rolled back.`,
      ),
    };
  if (current.from_deployment === null)
    return {
      refusal: refuse(
        'nothing-to-return-to',
        `${promotionKey(promotion)} was the first deployment of ${target}: there is no earlier release to return to.`,
      ),
    };
  return { restores: current.from_deployment };
}

const refuse = (code: string, message: string): Refusal => ({ code, message });

/** Writes the attempt's row: queued, or refused with its reason. Repeating it answers the first verdict. */
export async function admit(db: Db, request: AdmissionRequest): Promise<DeploymentRow> {
  return db.transaction(async (tx) => {
    await tx('promotions').where({ id: request.promotion }).forUpdate().first();
    const before = await findDeployment(tx, request.promotion, request.attempt);
    if (before) return before;
    const open = await openAttemptOf(tx, request.promotion);
    const refusal = open
      ? refuse('illegal-transition', `${rowKey(open)} is still ${open.status}.`)
      : await whyNot(tx, request.promotion, request.trigger, request.switchedOff);
    const { target } = await tx('promotions').where({ id: request.promotion }).first('target');
    // A retry takes the promotion up again under the approval that still binds.
    if (!refusal && request.trigger === 'retry')
      await transition(tx, 'promotion', request.promotion, 'approved');
    const [row] = await tx('deployments')
      .insert({
        promotion: request.promotion,
        attempt: request.attempt,
        target,
        trigger: request.trigger,
        started_by: request.startedBy,
        reason: request.reason ?? null,
        owner: request.owner,
        run_id: request.runId,
        ...(refusal
          ? {
              status: 'refused',
              outcome: refusal.message,
              outcome_code: refusal.code,
              finished_at: tx.fn.now(),
            }
          : { status: 'queued', waiting_for: 'its turn' }),
      })
      .returning('*');
    return row as DeploymentRow;
  });
}

export type LaneAnswer =
  | { kind: 'acquired' }
  | { kind: 'waiting'; position: number; behind: string; supersedes: string[] }
  | { kind: 'ended'; status: string };

/**
 * Takes the target's lane if it is free and nobody waits in front; then the promotion is executing. Where the
 * target supersedes, an attempt ends here once a newer promotion waits too; `supersedes` names the workflows that
 * have to look again because this one is newer.
 */
export async function acquireLane(
  db: Db,
  id: number,
  owner: string,
  concurrency: TargetConfig['concurrency'] = 'queue',
): Promise<LaneAnswer> {
  return db.transaction(async (tx) => {
    const row = await deploymentById(tx, id);
    const target = await tx('targets').where({ name: row.target }).forUpdate().first();
    const now = await deploymentById(tx, id);
    if (now.status === 'running' && now.owner === owner) return { kind: 'acquired' };
    if (now.status !== 'queued' || now.owner !== owner) return { kind: 'ended', status: now.status };

    // A rollback by hand brings back an older release: it neither supersedes nor is superseded.
    const rivals =
      concurrency === 'supersede' && now.trigger !== 'rollback' ? await waitingForward(tx, row.target) : [];
    const newer = rivals.find((rival) => rival.promotion > row.promotion);
    if (newer) {
      await supersede(tx, now, newer);
      return { kind: 'ended', status: 'superseded' };
    }

    const holder = await tx('deployments')
      .where({ target: row.target })
      .whereIn('status', laneHolding)
      .first();
    const ahead = await tx('deployments')
      .where({ target: row.target, status: 'queued' })
      .andWhere('id', '<', id)
      .orderBy('id', 'desc');
    if (holder || ahead.length > 0) {
      const behind = rowKey(ahead[0] ?? holder);
      const position = ahead.length + 1;
      await tx('deployments')
        .where({ id })
        .update({ waiting_for: `the lane of ${row.target}: position ${position}, behind ${behind}` });
      const supersedes = rivals
        .filter((rival) => rival.promotion < row.promotion)
        .map((rival) => rival.owner);
      return { kind: 'waiting', position, behind, supersedes };
    }

    const refusal = await takeUp(tx, now);
    if ('code' in refusal) {
      await transition(tx, 'deployment', id, 'refused', {
        waiting_for: null,
        outcome: refusal.message,
        outcome_code: refusal.code,
      });
      return { kind: 'ended', status: 'refused' };
    }
    const from = target.current_deployment ? await deploymentById(tx, target.current_deployment) : undefined;
    const restored = refusal.restores ? await deploymentById(tx, refusal.restores) : undefined;
    const fence = await raiseFence(tx, row.target);
    await transition(tx, 'deployment', id, 'running', {
      waiting_for: null,
      fence,
      from_deployment: from?.id ?? null,
      from_release: from ? releasePutBy(from) : null,
      restores: restored?.id ?? null,
      to_release: restored ? releasePutBy(restored) : null,
    });
    return { kind: 'acquired' };
  });
}

/** Attempts that wait to bring a release forward, newest promotion first. */
const waitingForward = async (tx: Tx, target: string): Promise<DeploymentRow[]> =>
  (await tx('deployments')
    .where({ target, status: 'queued' })
    .whereNot({ trigger: 'rollback' })
    .orderBy('promotion', 'desc')) as DeploymentRow[];

async function supersede(tx: Tx, row: DeploymentRow, newer: DeploymentRow): Promise<void> {
  const outcome = `Superseded by ${rowKey(newer)}, which is newer and waits for ${row.target} too. It had not begun; nothing was touched.`;
  await transition(tx, 'deployment', row.id, 'superseded', { waiting_for: null, outcome });
  await transition(tx, 'promotion', row.promotion, 'superseded');
  await transition(tx, 'changeRequest', row.promotion, 'cancelled', { outcome });
}

/** Moves promotion and change request along; answers why not when they changed while the attempt waited. */
async function takeUp(tx: Tx, row: DeploymentRow): Promise<Refusal | { restores?: number }> {
  if (row.trigger === 'rollback') {
    const { refusal, restores } = await restorable(tx, row.promotion, row.target);
    return refusal ?? { restores };
  }
  if (!(await transition(tx, 'promotion', row.promotion, 'executing')))
    return refuse(
      'not-approved',
      `${promotionKey(row.promotion)} lost its approval or was withdrawn while it waited.`,
    );
  await transition(tx, 'changeRequest', row.promotion, 'in-progress');
  return {};
}

/** The release a deployment left on its target when it succeeded. */
export const releasePutBy = (row: DeploymentRow): string | null => row.to_release;

export async function raiseFence(tx: Tx, target: string): Promise<number> {
  const [row] = await tx('targets')
    .where({ name: target })
    .update({ fence: tx.raw('fence + 1') })
    .returning('fence');
  return (row as { fence: number }).fence;
}

/** Marks the release that the attempt deploys. */
export const setRelease = (tx: Tx, id: number, digest: string) =>
  tx('deployments')
    .where({ id })
    .update({ to_release: digest, version: tx.raw('version + 1'), updated_at: tx.fn.now() });

/** Starts or resumes undoing. A step that was still running is closed as failed, with the reason. */
export async function beginRollback(db: Db, id: number, owner: string, failure?: string): Promise<void> {
  await db.transaction(async (tx) => {
    await lockOwned(tx, id, owner);
    await transition(tx, 'deployment', id, 'rolling-back', {
      waiting_for: null,
      ...(failure ? { failure } : {}),
    });
    if (failure)
      await tx('deployment_steps')
        .where({ deployment: id, status: 'running' })
        .update({ status: 'failed', detail: failure, finished_at: tx.fn.now() });
  });
}

/** The undo could not be finished: the lane stays held until an SRE decides. */
export async function rollbackFailed(db: Db, id: number, owner: string, why: string): Promise<void> {
  await db.transaction(async (tx) => {
    await lockOwned(tx, id, owner);
    await transition(tx, 'deployment', id, 'rollback-failed', {
      waiting_for: `an SRE: ${why} Resolve it with retry (undo again) or accept (leave the target as it is).`,
    });
  });
}

/** Locks the attempt. @throws NotOwner when a recovery has taken it over: its former workflow may not write. */
async function lockOwned(tx: Tx, id: number, owner: string): Promise<DeploymentRow> {
  const row = (await tx('deployments').where({ id }).forUpdate().first()) as DeploymentRow;
  if (row.owner !== owner) throw new NotOwner(`${rowKey(row)} belongs to ${row.owner} now, not to ${owner}`);
  return row;
}
export class NotOwner extends Error {}

/** The attempt's last word. @returns the workflow that now stands first in the target's queue. */
export async function recordEnd(
  db: Db,
  id: number,
  owner: string,
  to: 'succeeded' | 'rolled-back' | 'cancelled',
  outcome: string,
  observed?: { release: string | null },
): Promise<string | undefined> {
  return db.transaction(async (tx) => {
    const row = await lockOwned(tx, id, owner);
    if (await transition(tx, 'deployment', id, to, { outcome, waiting_for: null })) {
      const byHand = row.trigger === 'rollback';
      if (to === 'succeeded') {
        await transition(tx, 'promotion', row.promotion, byHand ? 'rolled-back' : 'deployed');
        if (!byHand) await transition(tx, 'changeRequest', row.promotion, 'completed', { outcome });
        await setCurrent(tx, row.target, row.restores ?? id);
      }
      if (to === 'rolled-back') {
        if (!byHand) {
          await transition(tx, 'promotion', row.promotion, 'rolled-back');
          await transition(tx, 'changeRequest', row.promotion, 'approved');
        }
        if (observed) await setCurrent(tx, row.target, await putBy(tx, row.target, observed.release));
      }
    }
    return nextInLine(tx, row.target);
  });
}

const setCurrent = (tx: Tx, target: string, deployment: number | null) =>
  tx('targets')
    .where({ name: target })
    .update({ current_deployment: deployment, version: tx.raw('version + 1'), updated_at: tx.fn.now() });

/** The latest deployment that carried this release to the target. */
async function putBy(tx: Tx, target: string, release: string | null): Promise<number | null> {
  if (release === null) return null;
  const row = await tx('deployments')
    .where({ target, to_release: release, restores: null })
    .orderBy('id', 'desc')
    .first();
  return (row as DeploymentRow | undefined)?.id ?? null;
}

/** The workflow that waits first for this lane. */
export async function nextInLine(tx: Tx, target: string): Promise<string | undefined> {
  const row = await tx('deployments').where({ target, status: 'queued' }).orderBy('id').first();
  return (row as DeploymentRow | undefined)?.owner;
}

/** Hands the attempt to another workflow (recovery): from now on its former owner's steps are refused. */
export async function takeOver(db: Db, id: number, owner: string, runId: string) {
  await db('deployments').where({ id }).update({ owner, run_id: runId });
  const steps = await db('deployment_steps').where({ deployment: id });
  return {
    row: await deploymentById(db, id),
    began: steps.map((step) => step.name as string),
    round: Math.max(0, ...steps.map((step) => step.round as number)) + 1,
  };
}

/** Attempts that have not ended, oldest first: what `reconcile` looks at. */
export const openDeployments = async (db: Db): Promise<DeploymentRow[]> =>
  (await db('deployments').whereIn('status', openAttempt).orderBy('id')) as DeploymentRow[];
