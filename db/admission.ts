import { whyNotNow, type Asked, type No } from '../domain/admission';
import type { TargetConfig } from '../domain/config';
import { badInput, notFound } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { promotionKey } from '../domain/keys';
import { laneHolding, type Trigger } from '../domain/machines';
import type { WindowStatus } from '../domain/windows/status';
import { shown } from '../domain/windows/window';
import { rebind } from './change-content';
import type { Db, Tx } from './connect';
import { deploymentById, findDeployment, releasePutBy, rowKey, type DeploymentRow } from './deployments';
import { raiseFence } from './fences';
import { behindOf, inFrontOf, lanesOf, lockLanes } from './lane';
import { askedOf, starterOf, type RuleDeps } from './standing';
import { bySignalbox, movedBy, transition } from './transition';

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
}

export type LaneAnswer =
  | { kind: 'acquired'; hadRelease: boolean }
  | { kind: 'waiting'; position: number; behind: string; supersedes: string[] }
  /** Its window is closed: it sleeps until then, `left` ms from now, or until the windows are changed. */
  | { kind: 'asleep'; until: number; left: number; why: string; leftQueue: boolean }
  | { kind: 'ended' };

/**
 * Writes the attempt's row, refused with its reason or queued, and takes the lane at once if it is free. Repeating
 * it finds the row that was written.
 */
export async function admit(
  db: Db,
  request: AdmissionRequest,
  rules: RuleDeps,
): Promise<{ row: DeploymentRow; asked: Asked; lane?: LaneAnswer }> {
  const { promotion: id, attempt, trigger, startedBy, whenOpen = false } = request;
  return db.transaction(async (tx) => {
    const promotion = (await tx('promotions').where({ id }).first('id', 'target')) as
      { id: number; target: string } | undefined;
    if (!promotion) throw notFound(`promotion ${promotionKey(id)}`);
    await lockLanes(tx, promotion, rules.targets());
    const asked = (await askedOf(rules, tx, promotion, { trigger, startedBy, whenOpen }))!;
    if (attempt > asked.lastAttempt + 1)
      throw badInput(`The next attempt is ${asked.lastAttempt + 1}, not ${attempt}.`);
    if (attempt <= asked.lastAttempt) {
      const row = (await findDeployment(tx, id, attempt))!;
      if (row.owner !== request.owner) return { row, asked };
      // Another run of the same workflow goes on with it.
      if (row.run_id !== request.runId)
        await tx('deployments').where({ id: row.id }).update({ run_id: request.runId });
      return { row, asked, lane: await lookAgain(tx, row, rules) };
    }
    const config = rules.targets().get(promotion.target);
    const no: No | undefined = asked.open
      ? {
          code: 'illegal-transition',
          message: `${rowKey({ promotion: id, ...asked.open })} is still ${asked.open.status}.`,
          then: 'refuse',
        }
      : whyNotNow(asked, config, 'admission');
    const refusal = no?.then === 'refuse' ? no : undefined;
    if (refusal) await sendBack(tx, id, refusal, config, request.request);
    const move = { by: startedBy, why: refusal?.message ?? request.reason, request: request.request };
    // A retry takes the promotion up again under the approval that still binds.
    if (!refusal && trigger === 'retry') await transition(tx, 'promotion', id, 'approved', move);
    const [row] = (await tx('deployments')
      .insert({
        promotion: id,
        attempt,
        target: promotion.target,
        trigger,
        started_by: startedBy,
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
          : no
            ? { status: 'waiting-for-window', when_open: true, ...asleep(asked) }
            : { status: 'queued', when_open: whenOpen, waiting_for: 'its turn' }),
      })
      .returning('*')) as [DeploymentRow];
    if (refusal) return { row, asked };
    const answer = no ? await sleep(tx, row, asked) : await queue(tx, row, asked, rules);
    await failpoint('admit/middle');
    return { row, asked, lane: answer };
  });
}

/**
 * Asks the rules again, then takes the target's lane if it and the related ones are free and nobody waits in front; then
 * the promotion is executing. What was refused meanwhile ends so. Where the target supersedes, an attempt ends here once a
 * newer promotion waits, runs or is live: the older one must not overwrite it. `supersedes` names the workflows that have
 * to look again because this one is newer.
 */
export const acquireLane = (db: Db, id: number, owner: string, rules: RuleDeps): Promise<LaneAnswer> =>
  db.transaction(async (tx) => {
    const row = await deploymentById(tx, id);
    if (row.owner !== owner) return { kind: 'ended' };
    // Of a thousand sleepers that look again, those that go on sleeping ask for no lane.
    if (row.status === 'waiting-for-window') {
      const { asked, no } = await askedAgain(tx, row, rules);
      if (no?.then === 'sleep') return sleep(tx, row, asked);
    }
    await lockLanes(tx, { id: row.promotion, target: row.target }, rules.targets());
    const answer = await lookAgain(tx, await deploymentById(tx, id), rules);
    await failpoint('lane/middle');
    return answer;
  });

async function askedAgain(tx: Tx, row: DeploymentRow, rules: RuleDeps) {
  const asked = (await askedOf(rules, tx, { id: row.promotion, target: row.target }, starterOf(row)))!;
  return { asked, no: whyNotNow(asked, rules.targets().get(row.target), 'lane') };
}

/** What waits is asked again before it goes on; lanes are locked by then. */
async function lookAgain(tx: Tx, row: DeploymentRow, rules: RuleDeps): Promise<LaneAnswer> {
  // The answer was lost: it has the lane.
  if (row.status === 'running') return { kind: 'acquired', hadRelease: row.from_deployment !== null };
  if (row.status !== 'queued' && row.status !== 'waiting-for-window') return { kind: 'ended' };
  const { asked, no } = await askedAgain(tx, row, rules);
  if (no?.then === 'sleep') return sleep(tx, row, asked);
  if (no) {
    await sendBack(tx, row.promotion, no, rules.targets().get(row.target), row.request_id);
    await transition(tx, 'deployment', row.id, 'refused', bySignalbox(no.message, row.request_id), {
      ...awake,
      outcome: no.message,
      outcome_code: no.code,
    });
    return { kind: 'ended' };
  }
  if (row.status === 'waiting-for-window')
    await transition(
      tx,
      'deployment',
      row.id,
      'queued',
      bySignalbox(asked.window?.reason ?? 'its window is open', row.request_id),
      { ...awake, waiting_for: 'its turn' },
    );
  return queue(tx, row, asked, rules);
}

/** Takes the lane or the place in its queue; it is queued, and nothing forbids it to begin. */
async function queue(tx: Tx, row: DeploymentRow, asked: Asked, rules: RuleDeps): Promise<LaneAnswer> {
  const { id, target: name } = row;
  const concurrency = rules.targets().get(name)?.concurrency ?? 'queue';
  const lanes = lanesOf(rules.targets(), row, asked.conflictsAccepted);
  const { rows } = await tx.raw(
    `SELECT 'holds' AS place, * FROM deployments WHERE target = ANY (:lanes) AND status = ANY (:holding)
     UNION ALL SELECT 'waits', * FROM deployments WHERE target = ANY (:lanes) AND status = 'queued'
     UNION ALL SELECT 'live', d.* FROM targets t JOIN deployments d ON d.id = t.current_deployment
                WHERE t.name = :name
     ORDER BY id`,
    { name, lanes, holding: [...laneHolding] },
  );
  type Placed = DeploymentRow & { place: 'holds' | 'waits' | 'live' };
  const all = rows as Placed[];
  const here = (place: Placed['place']) => all.filter((r) => r.place === place && r.target === name);
  const waiting = here('waits');
  const [holder] = here('holds');
  const [from] = here('live');

  // A rollback by hand brings back an older release: it neither supersedes nor is superseded.
  const forward = (other: DeploymentRow | undefined) => other !== undefined && other.trigger !== 'rollback';
  const rivals =
    concurrency === 'supersede' && forward(row) ? [...waiting, holder, from].filter(forward) : [];
  const newer = rivals.find((rival) => rival!.promotion > row.promotion);
  if (newer) {
    await supersede(tx, row, newer);
    return { kind: 'ended' };
  }
  const front = inFrontOf(
    id,
    lanes,
    all.filter(({ place }) => place !== 'live'),
  );
  if (front.length > 0) {
    const own = front.filter(({ target }) => target === name);
    const ahead = own.filter(({ place }) => place === 'waits');
    const behind = behindOf(
      name,
      ahead.at(-1) ?? own[0] ?? front.find(({ place }) => place === 'holds') ?? front.at(-1)!,
    );
    const position = ahead.length + 1;
    await tx('deployments')
      .where({ id })
      .update({ waiting_for: `the lane of ${name}: position ${position}, behind ${behind}` });
    const supersedes = waiting
      .filter((other) => rivals.includes(other) && other.promotion < row.promotion)
      .map(({ owner: older }) => older);
    return { kind: 'waiting', position, behind, supersedes };
  }

  const byHand = row.trigger === 'rollback';
  if (!byHand) {
    const move = bySignalbox(`${rowKey(row)}, started by ${row.started_by}, took the lane`, row.request_id);
    await transition(tx, 'promotion', row.promotion, 'executing', move);
    await transition(tx, 'changeRequest', row.promotion, 'in-progress', move);
  }
  const restored = byHand && asked.returnsTo !== null ? await deploymentById(tx, asked.returnsTo) : undefined;
  // What was adopted is a release that no deployment put there.
  const adopted = byHand && asked.cameAfter?.kind === 'release' ? asked.cameAfter.release : null;
  await transition(tx, 'deployment', id, 'running', bySignalbox(`${name} is free`, row.request_id), {
    waiting_for: null,
    fence: await raiseFence(tx, name),
    from_deployment: from?.id ?? null,
    from_release: from ? releasePutBy(from) : null,
    restores: restored?.id ?? null,
    to_release: restored ? releasePutBy(restored) : adopted,
  });
  return { kind: 'acquired', hadRelease: from !== undefined };
}

/** Whose approval is void because the target is deployed in another way now can be approved again. */
async function sendBack(
  tx: Tx,
  promotion: number,
  { code }: No,
  config: TargetConfig | undefined,
  request?: string | null,
): Promise<void> {
  if (code === 'approval-void' && config) await rebind(tx, promotion, config, request);
}

/** While it waits for a window; `window_revision` says by which windows the time was worked out. */
const asleep = ({ window, windowRevision }: Asked) => ({
  scheduled_for: opensAt(window!),
  window_revision: windowRevision,
  waiting_for: `its window: ${window!.reason}${window!.nextOpen === null ? '' : `; it opens ${shown(window!.nextOpen, 'UTC')}`}`,
});
const opensAt = ({ nextOpen }: WindowStatus) => (nextOpen === null ? null : new Date(nextOpen));
const awake = { window_revision: null, waiting_for: null };

/** Outside of its window it holds neither lane nor place: it sleeps until it opens. */
async function sleep(tx: Tx, row: DeploymentRow, asked: Asked): Promise<LaneAnswer> {
  const window = asked.window!;
  const { nextOpen, reason } = window;
  const set = asleep(asked);
  if (row.status === 'queued')
    await transition(
      tx,
      'deployment',
      row.id,
      'waiting-for-window',
      bySignalbox(reason, row.request_id),
      set,
    );
  else if (row.window_revision !== asked.windowRevision || row.scheduled_for?.getTime() !== nextOpen)
    await tx('deployments')
      .where({ id: row.id })
      .update({ ...set, version: tx.raw('version + 1'), updated_at: tx.fn.now() });
  return {
    kind: 'asleep',
    until: nextOpen!,
    left: nextOpen! - asked.now,
    why: reason,
    leftQueue: row.status === 'queued',
  };
}

async function supersede(tx: Tx, row: DeploymentRow, newer: DeploymentRow): Promise<void> {
  const outcome = `Superseded by ${rowKey(newer)} (${newer.status}), a newer promotion to ${row.target}. It had not begun; nothing was touched.`;
  const move = bySignalbox(outcome, newer.request_id);
  await transition(tx, 'deployment', row.id, 'superseded', move, { waiting_for: null, outcome });
  await transition(tx, 'promotion', row.promotion, 'superseded', move);
  await transition(tx, 'changeRequest', row.promotion, 'cancelled', move, { outcome });
}
