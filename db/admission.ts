import {
  switchedOff,
  whyClosed,
  whyNoReturn,
  whyNot,
  type Refusal,
  type Standing,
} from '../domain/admission';
import type { TargetConfig, Targets } from '../domain/config';
import { badInput, notFound } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { changeRequestKey, promotionKey } from '../domain/keys';
import { laneHolding, openAttempt, type Trigger } from '../domain/machines';
import type { Permission } from '../domain/permissions';
import type { Approval } from '../domain/approval';
import type { ApprovalPolicy } from '../domain/policy';
import type { WindowStatus } from '../domain/windows/status';
import { shown } from '../domain/windows/window';
import { isComplete } from './approvals';
import { whyItemsBlocked } from './backlog/delivery';
import { rebind } from './change-content';
import { bindsTo } from './digest';
import { whyConflict } from './conflicts';
import type { Db, Tx } from './connect';
import { deploymentById, findDeployment, releasePutBy, rowKey, type DeploymentRow } from './deployments';
import { raiseFence } from './fences';
import { whyMayNotNow } from './people';
import { bySignalbox, movedBy, transition, tryTransition } from './transition';
import type { Windows } from './windows';

/**
 * Admission of attempts and the lane of each target. Few statements: this stands between a click and its first
 * step. Each function is one transaction and may be repeated.
 */
export interface AdmissionRequest {
  promotion: number;
  attempt: number;
  trigger: Trigger;
  startedBy: string;
  reason?: string;
  /** Id of the HTTP request. */
  request?: string;
  /** Outside of its window it waits for it instead of being refused. */
  whenOpen?: boolean;
  owner: string;
  runId: string;
  window: WindowGate;
  /** The targets file's entry for a target; undefined when it has none. */
  configOf(target: string): TargetConfig | undefined;
  /** Targets that it must not overlap with, itself among them. */
  related(target: string): string[];
}

/** How a promotion stands, read in one statement; undefined when there is none. */
export async function standingOf(tx: Tx, promotion: number): Promise<Standing | undefined> {
  const { rows } = await tx
    .raw(
      `SELECT p.id, p.target, p.title, p.revision, p.commit, p.status AS promotion, c.status AS "changeRequest",
            c.type, c.risk, c.policy, c.recipe, c.backlog_items AS "backlogItems", c.conflicts_accepted AS "conflictsAccepted",
            EXISTS (SELECT 1 FROM change_requests o WHERE o.planned_start IS NOT NULL
                     AND o.status IN ('submitted', 'approved', 'in-progress')) AS "anyPlanned", standing_approvals(p.id) AS approvals,
            (SELECT coalesce(max(attempt), 0) FROM deployments WHERE promotion = p.id) AS "lastAttempt",
            (SELECT json_build_object('attempt', attempt, 'status', status, 'trigger', trigger)
               FROM deployments WHERE promotion = p.id AND status = ANY (?)) AS open,
            (SELECT json_build_object('promotion', live.promotion, 'before', live.from_deployment)
               FROM targets JOIN deployments live ON live.id = targets.current_deployment
              WHERE targets.name = p.target) AS live,
            (SELECT CASE WHEN live.promotion = p.id THEN release_before(live.id)
                         WHEN latest.promotion = p.id AND latest.status = 'rolled-back'
                          AND coalesce(latest.restores, latest.from_deployment) IS DISTINCT FROM targets.current_deployment
                         THEN coalesce(latest.restores, latest.from_deployment) END
               FROM targets LEFT JOIN deployments live ON live.id = targets.current_deployment
                    LEFT JOIN LATERAL (SELECT * FROM deployments WHERE target = targets.name AND started_at IS NOT NULL
                                        ORDER BY started_at DESC LIMIT 1) AS latest ON true
              WHERE targets.name = p.target) AS "returnsTo",
            (SELECT revision FROM window_revision) AS "windowRevision",
            (SELECT coalesce(json_agg(json_build_object('window', deployment_window,
                      'until', extract(epoch FROM expires_at) * 1000, 'by', ARRAY[requested_by, seconded_by])), '[]')
               FROM window_overrides
              WHERE promotion = p.id AND seconded_by IS NOT NULL AND revoked_at IS NULL) AS overrides
       FROM promotions p JOIN change_requests c USING (id) WHERE p.id = ?`,
      [[...openAttempt], promotion],
    )
    // Asked at every click, admission and swap; planning it took longer than running it.
    .options({ name: 'standing' });
  if (!rows[0]) return undefined;
  const { policy, approvals, overrides, ...row } = rows[0] as Omit<
    Standing,
    'approvalStands' | 'overridden'
  > & {
    policy: ApprovalPolicy | null;
    approvals: Approval[];
    overrides: { window: number; until: number; by: string[] }[];
  };
  return {
    ...row,
    approvalStands: isComplete(
      { policy },
      approvals,
      overrides.flatMap(({ by }) => by),
    ),
    overridden: overrides.map(({ window, until }) => ({ window, until })),
  };
}

/** Whether, why and until when a change may be deployed now; undefined where windows do not count for it. */
export type WindowGate = (standing: Standing, tx: Tx) => Promise<WindowStatus | undefined>;

/** One answer for the click, admission, lane and swap; undefined for a target that the targets file does not name. */
export const createGate =
  ({ windows, targets }: { windows: Windows; targets(): Targets }): WindowGate =>
  async (standing, tx) => {
    const config = targets().get(standing.target);
    if (!config) return undefined;
    const schedule = await windows.current(standing.windowRevision, tx);
    return schedule.status({ ...standing, environment: config.environment }, Date.now());
  };

/** What starting each kind of attempt needs. */
export const permissionOf: Record<Trigger, Permission> = {
  deploy: 'deploy',
  retry: 'deploy',
  rollback: 'rollback',
};

export type LaneAnswer =
  | { kind: 'acquired'; hadRelease: boolean }
  | { kind: 'waiting'; position: number; behind: string; supersedes: string[] }
  /** Its window is closed: it sleeps until then, or until the windows are changed. */
  | { kind: 'asleep'; until: number; why: string; leftQueue: boolean }
  | { kind: 'ended' };

/**
 * Writes the attempt's row, refused with its reason or queued, and takes the lane at once if it is free. Repeating
 * it finds the row that was written.
 */
export async function admit(
  db: Db,
  request: AdmissionRequest,
): Promise<{ row: DeploymentRow; standing: Standing; lane?: LaneAnswer }> {
  const { promotion: id, attempt, trigger } = request;
  return db.transaction(async (tx) => {
    // Both locks at once. Not FOR UPDATE: rows that refer to the target, such as the attempt written below, hold a
    // key share of it, and two admissions would wait for each other.
    await tx.raw(
      `SELECT 1 FROM promotions p JOIN targets t ON t.name = p.target WHERE p.id = ? FOR NO KEY UPDATE OF p, t`,
      [id],
    );
    const standing = await standingOf(tx, id);
    if (!standing) throw notFound(`promotion ${promotionKey(id)}`);
    if (attempt > standing.lastAttempt + 1)
      throw badInput(`The next attempt is ${standing.lastAttempt + 1}, not ${attempt}.`);
    const config = request.configOf(standing.target);
    const gate = trigger === 'rollback' ? undefined : await request.window(standing, tx);
    if (attempt <= standing.lastAttempt) {
      const row = (await findDeployment(tx, id, attempt))!;
      if (row.owner !== request.owner) return { row, standing };
      // Another run of the same workflow goes on with it.
      if (row.run_id !== request.runId)
        await tx('deployments').where({ id: row.id }).update({ run_id: request.runId });
      return { row, standing, lane: await lane(tx, row, config?.concurrency, gate, standing) };
    }
    const sleeps = gate?.open === false && request.whenOpen === true && gate.nextOpen !== null;
    const refusal = standing.open
      ? {
          code: 'illegal-transition',
          message: `${rowKey({ promotion: id, ...standing.open })} is still ${standing.open.status}.`,
        }
      : ((await whyMayNotNow(tx, request.startedBy, permissionOf[trigger], standing.target)) ??
        whyNot(standing, trigger, switchedOff(config)) ??
        (config && trigger !== 'rollback' && !bindsTo(standing.recipe, config)
          ? await whyRebound(tx, id, config, request.request)
          : undefined) ??
        (trigger === 'rollback' ? undefined : await whyItemsBlocked(tx, standing.backlogItems)) ??
        (sleeps || !gate ? undefined : whyClosed(standing.target, gate)) ??
        (trigger === 'rollback'
          ? undefined
          : await whyConflict(
              tx,
              standing,
              request.related(standing.target),
              sleeps ? gate.nextOpen : null,
            )));
    const move = { by: request.startedBy, why: refusal?.message ?? request.reason, request: request.request };
    // A retry takes the promotion up again under the approval that still binds.
    if (!refusal && trigger === 'retry') await transition(tx, 'promotion', id, 'approved', move);
    const [row] = (await tx('deployments')
      .insert({
        promotion: id,
        attempt,
        target: standing.target,
        trigger,
        started_by: request.startedBy,
        reason: request.reason ?? null,
        owner: request.owner,
        run_id: request.runId,
        request_id: request.request ?? null,
        ...movedBy(move),
        ...(refusal
          ? {
              status: 'refused',
              outcome: refusal.message,
              outcome_code: refusal.code,
              finished_at: tx.fn.now(),
            }
          : sleeps
            ? { status: 'waiting-for-window', when_open: true, ...asleep(gate, standing.windowRevision) }
            : { status: 'queued', when_open: request.whenOpen === true, waiting_for: 'its turn' }),
      })
      .returning('*')) as [DeploymentRow];
    if (refusal) return { row, standing };
    const answer = await lane(tx, row, config?.concurrency, gate, standing);
    await failpoint('admit/middle');
    return { row, standing, lane: answer };
  });
}

/**
 * Takes the target's lane if it is free and nobody waits in front; then the promotion is executing. Where the
 * target supersedes, an attempt ends here once a newer promotion waits, runs or is live: the older one must not
 * overwrite it. `supersedes` names the workflows that have to look again because this one is newer.
 */
export const acquireLane = (
  db: Db,
  id: number,
  owner: string,
  concurrency: TargetConfig['concurrency'] | undefined,
  window: WindowGate,
): Promise<LaneAnswer> =>
  db.transaction(async (tx) => {
    const row = await deploymentById(tx, id);
    if (row.owner !== owner) return { kind: 'ended' };
    const standing = (await standingOf(tx, row.promotion))!;
    const gate = row.trigger === 'rollback' ? undefined : await window(standing, tx);
    // Of a thousand sleepers that look again, those that go on sleeping ask for no lane.
    if (row.status === 'waiting-for-window' && gate?.open === false)
      return sleep(tx, row, gate, standing.windowRevision);
    await tx('targets').where({ name: row.target }).forNoKeyUpdate().first('name');
    const answer = await lane(tx, row, concurrency, gate, standing);
    await failpoint('lane/middle');
    return answer;
  });

/** Takes the lane or the place in its queue; the target's row is locked by then. */
async function lane(
  tx: Tx,
  { id, owner, target: name }: DeploymentRow,
  concurrency: TargetConfig['concurrency'] = 'queue',
  gate: WindowStatus | undefined,
  standing: Standing,
): Promise<LaneAnswer> {
  const { rows } = await tx.raw(
    `SELECT 'holds' AS place, * FROM deployments WHERE target = :name AND status = ANY (:holding)
     UNION ALL SELECT 'waits', * FROM deployments WHERE target = :name AND (status = 'queued' OR id = :id AND status = 'waiting-for-window')
     UNION ALL SELECT 'live', d.* FROM targets t JOIN deployments d ON d.id = t.current_deployment
                WHERE t.name = :name
     ORDER BY id`,
    { name, id, holding: [...laneHolding] },
  );
  const at = (place: string) =>
    (rows as (DeploymentRow & { place: string })[]).filter((r) => r.place === place);
  const queue = at('waits');
  const [holder] = at('holds');
  const [from] = at('live');
  if (holder?.id === id && holder.owner === owner && holder.status === 'running')
    return { kind: 'acquired', hadRelease: holder.from_deployment !== null };
  const row = queue.find((waiting) => waiting.id === id);
  if (row?.owner !== owner) return { kind: 'ended' };
  if (gate && !gate.open) return sleep(tx, row, gate, standing.windowRevision);
  if (row.status === 'waiting-for-window')
    await transition(
      tx,
      'deployment',
      id,
      'queued',
      bySignalbox(gate?.reason ?? 'its window is open', row.request_id),
      {
        ...awake,
        waiting_for: 'its turn',
      },
    );

  // A rollback by hand brings back an older release: it neither supersedes nor is superseded.
  const forward = (other: DeploymentRow | undefined) => other !== undefined && other.trigger !== 'rollback';
  const rivals = concurrency === 'supersede' && forward(row) ? [...queue, holder, from].filter(forward) : [];
  const newer = rivals.find((rival) => rival!.promotion > row.promotion);
  if (newer) {
    await supersede(tx, row, newer);
    return { kind: 'ended' };
  }
  const ahead = queue.filter((waiting) => waiting.id < id);
  if (holder || ahead.length > 0) {
    const behind = rowKey(ahead.at(-1) ?? holder!);
    const position = ahead.length + 1;
    await tx('deployments')
      .where({ id })
      .update({ waiting_for: `the lane of ${name}: position ${position}, behind ${behind}` });
    const supersedes = queue
      .filter((waiting) => rivals.includes(waiting) && waiting.promotion < row.promotion)
      .map(({ owner: older }) => older);
    return { kind: 'waiting', position, behind, supersedes };
  }

  // Read again: while it waited something else may have become live.
  const back = row.trigger === 'rollback' ? (await standingOf(tx, row.promotion))! : undefined;
  const refusal = back ? whyNoReturn(back) : await takeUp(tx, row, standing);
  if (refusal) {
    await transition(tx, 'deployment', id, 'refused', bySignalbox(refusal.message, row.request_id), {
      waiting_for: null,
      outcome: refusal.message,
      outcome_code: refusal.code,
    });
    return { kind: 'ended' };
  }
  const restored = back ? await deploymentById(tx, back.returnsTo!) : undefined;
  await transition(tx, 'deployment', id, 'running', bySignalbox(`${name} is free`, row.request_id), {
    waiting_for: null,
    fence: await raiseFence(tx, name),
    from_deployment: from?.id ?? null,
    from_release: from ? releasePutBy(from) : null,
    restores: restored?.id ?? null,
    to_release: restored ? releasePutBy(restored) : null,
  });
  return { kind: 'acquired', hadRelease: from !== undefined };
}

/** While it waits for a window; `window_revision` says by which windows the time was worked out. */
const asleep = (gate: WindowStatus, windowRevision: number) => ({
  scheduled_for: gate.nextOpen === null ? null : new Date(gate.nextOpen),
  window_revision: windowRevision,
  waiting_for: `its window: ${gate.reason}${gate.nextOpen === null ? '' : `; it opens ${shown(gate.nextOpen, 'UTC')}`}`,
});
const awake = { window_revision: null, waiting_for: null };

/** Outside of its window it holds neither lane nor place: it sleeps, or ends when no window will ever open. */
async function sleep(
  tx: Tx,
  row: DeploymentRow,
  gate: WindowStatus,
  windowRevision: number,
): Promise<LaneAnswer> {
  if (gate.nextOpen === null) {
    const { code, message } = whyClosed(row.target, gate)!;
    await transition(tx, 'deployment', row.id, 'refused', bySignalbox(message, row.request_id), {
      ...awake,
      outcome: message,
      outcome_code: code,
    });
    return { kind: 'ended' };
  }
  const set = asleep(gate, windowRevision);
  if (row.status === 'queued')
    await transition(
      tx,
      'deployment',
      row.id,
      'waiting-for-window',
      bySignalbox(gate.reason, row.request_id),
      set,
    );
  else if (row.window_revision !== windowRevision || row.scheduled_for?.getTime() !== gate.nextOpen)
    await tx('deployments')
      .where({ id: row.id })
      .update({ ...set, version: tx.raw('version + 1'), updated_at: tx.fn.now() });
  return { kind: 'asleep', until: gate.nextOpen, why: gate.reason, leftQueue: row.status === 'queued' };
}

/** An approval binds to how the target built then; one that is void is sent back. */
async function whyRebound(
  tx: Tx,
  id: number,
  config: TargetConfig,
  request?: string,
): Promise<Refusal | undefined> {
  const why = await rebind(tx, id, config, request);
  return why === undefined
    ? undefined
    : {
        code: 'approval-void',
        message: `The approval of ${changeRequestKey(id)} does not bind any more: ${why}. Let it be approved again.`,
      };
}

async function supersede(tx: Tx, row: DeploymentRow, newer: DeploymentRow): Promise<void> {
  const outcome = `Superseded by ${rowKey(newer)} (${newer.status}), a newer promotion to ${row.target}. It had not begun; nothing was touched.`;
  const move = bySignalbox(outcome, newer.request_id);
  await transition(tx, 'deployment', row.id, 'superseded', move, { waiting_for: null, outcome });
  await transition(tx, 'promotion', row.promotion, 'superseded', move);
  await transition(tx, 'changeRequest', row.promotion, 'cancelled', move, { outcome });
}

/** Moves promotion and change request along; answers why not when they changed while the attempt waited. */
async function takeUp(tx: Tx, row: DeploymentRow, standing: Standing): Promise<Refusal | undefined> {
  const blocked = await whyItemsBlocked(tx, standing.backlogItems);
  if (blocked) return blocked;
  const move = bySignalbox(`${rowKey(row)}, started by ${row.started_by}, took the lane`, row.request_id);
  if (!(await tryTransition(tx, 'promotion', row.promotion, 'executing', move)))
    return {
      code: 'not-approved',
      message: `${promotionKey(row.promotion)} lost its approval or was withdrawn while it waited.`,
    };
  await transition(tx, 'changeRequest', row.promotion, 'in-progress', move);
  return undefined;
}
