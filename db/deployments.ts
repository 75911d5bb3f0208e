import { failpoint } from '../domain/failpoint';
import { deploymentKey } from '../domain/keys';
import {
  isOpenAttempt,
  laneHolding,
  openAttempt,
  type ChangeType,
  type DeploymentStatus,
  type Risk,
  type Trigger,
} from '../domain/machines';
import { sentences } from '../domain/sentences';
import { releaseOr, type Observed, type Restorable } from '../domain/observed';
import { deliverItems, takeItemsBack } from './backlog/delivery';
import type { Db, Tx } from './connect';
import { deployed } from './change-requests';
import { knownIncarnation, originOf } from './installation';
import { bySignalbox, movedBy, NotMoved, transition, tryTransition, type Move } from './transition';

/**
 * The attempts of promotions, from the lane to their end. What is written here is written in one transaction and
 * may be repeated: an activity whose answer was lost finds what it already did.
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
  /** Of the database, when it was started: its workflow's id carries it. */
  incarnation: string;
  fence: number | null;
  from_deployment: number | null;
  from_release: string | null;
  to_release: string | null;
  restores: number | null;
  /** What was live before it acted, as it was found. */
  observed: Restorable | null;
  /** What somebody else made live while it was under way. */
  drifted: Observed | null;
  migration_began: boolean;
  waiting_for: string | null;
  /** Why its workflow stands still, and how it goes on: who paused it in Temporal, or what its recovery waits for. */
  paused: string | null;
  failure: string | null;
  outcome: string | null;
  outcome_code: string | null;
  when_open: boolean;
  /** What was planned at its admission; null: by a version before. */
  plan: { migrates: boolean; restoresData?: boolean; runner?: object } | null;
  /** Whether nobody ended the workflow that its recovery took it from; null: no recovery, or one of a version before. */
  resumes: boolean | null;
  /** When it was to begin, if it waited for a window. */
  scheduled_for: Date | null;
  /** When it is undone, if it held for a window that did not open. */
  hold_until: Date | null;
  /** While it waits for a window: the revision of the windows that say until when. */
  window_revision: number | null;
  started_at: Date | null;
  finished_at: Date | null;
  /** Id of the runner that does its steps; null: the workers do. */
  runner: string | null;
  /** When the log was removed by policy. */
  log_removed_at: Date | null;
  /** Number of the log's last line. */
  log_seq: number;
  /** Id of the HTTP request that started it. */
  request_id: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}

/** The attempt's key, for messages. */
export const rowKey = (row: { promotion: number; attempt: number }) =>
  deploymentKey(row.promotion, row.attempt);

export const findDeployment = async (tx: Tx, promotion: number, attempt: number) =>
  (await tx('deployments').where({ promotion, attempt }).first()) as DeploymentRow | undefined;

/** Undefined when there is none with this internal number. */
export const findDeploymentById = async (tx: Tx, id: number) =>
  (await tx('deployments').where({ id }).first()) as DeploymentRow | undefined;
/** @throws NotOwner when there is none: its workflow began before the database was restored. */
export async function deploymentById(tx: Tx, id: number): Promise<DeploymentRow> {
  const row = await findDeploymentById(tx, id);
  if (!row) throw gone(id);
  return row;
}
const gone = (id: number) =>
  new NotOwner(
    `The record has no deployment ${id}: the database was restored from before it. What was begun stays as it is on the target; look what it runs, and deploy again or "signalbox adopt" it.`,
  );

/** The attempt whose success made the promotion deployed. */
export async function attemptThatDeployed(tx: Tx, promotion: number): Promise<number> {
  const row = await tx('deployments')
    .where({ promotion, status: 'succeeded' })
    .whereNot({ trigger: 'rollback' })
    .max('attempt as last')
    .first();
  return Number(row?.last);
}

/** The release a deployment left on its target when it succeeded. */
export const releasePutBy = (row: DeploymentRow): string | null => row.to_release;

/** Marks the release that the attempt deploys. */
export const setRelease = (tx: Tx, id: number, digest: string) =>
  tx('deployments')
    .where({ id })
    .update({ to_release: digest, version: tx.raw('version + 1'), updated_at: tx.fn.now() });

/** Starts or resumes undoing. A step that was still running is closed as failed, with the reason. */
export async function beginRollback(
  db: Db,
  id: number,
  owner: string,
  failure?: string,
  resumed?: Move,
): Promise<Began> {
  return db.transaction(async (tx) => {
    const { status, request_id, migration_began } = await lockOpen(tx, id, owner);
    const move = resumed ?? bySignalbox(failure ?? 'the undo is tried again', request_id);
    // It is already when the answer was lost, or when a recovery goes on with it.
    if (status !== 'rolling-back')
      await transition(tx, 'deployment', id, 'rolling-back', move, {
        waiting_for: null,
        window_revision: null,
        ...(failure ? { failure } : {}),
      });
    if (failure)
      await tx('deployment_steps')
        .where({ deployment: id, status: 'running' })
        .update({ status: 'failed', detail: failure, finished_at: tx.fn.now() });
    // From now on no step of going forward may act any more, so what has not begun never will.
    const swap = await tx('deployment_steps')
      .where({ deployment: id, name: 'swap' })
      .whereNotNull('fence')
      .first('name');
    await failpoint('begin-rollback/middle');
    return { migration: migration_began, swap: swap !== undefined };
  });
}
/** What of an attempt has really begun to act on its target. */
export interface Began {
  migration: boolean;
  swap: boolean;
}

/**
 * The undo could not be finished: the lane stays held until an SRE decides. What its last try met, which the alarm cut
 * off, is part of why.
 */
export async function rollbackFailed(db: Db, id: number, owner: string, failed: string): Promise<void> {
  await db.transaction(async (tx) => {
    const { status, request_id } = await lockOpen(tx, id, owner);
    if (status === 'rollback-failed') return;
    const cut = (await tx('deployment_steps')
      .where({ deployment: id, status: 'running' })
      .whereNotNull('fault_message')
      .orderBy('started_at', 'desc')
      .first('fault_message')) as { fault_message: string } | undefined;
    const why = cut ? sentences(failed, `Its last try met this: ${cut.fault_message}`) : failed;
    await transition(tx, 'deployment', id, 'rollback-failed', bySignalbox(why, request_id), {
      waiting_for: sentences(
        `an SRE: ${why}`,
        'Resolve it with retry (undo again) or accept (leave the target as it is)',
      ),
    });
    // The alarm ended the undo in the middle of a try: nothing of it runs any more.
    await tx('deployment_steps')
      .where({ deployment: id, status: 'running' })
      .update({ status: 'failed', detail: why, finished_at: tx.fn.now() });
  });
}

/** An SRE's decision could not be followed; what it waits for says why. */
export async function stillUndecided(db: Db, id: number, owner: string, why: string): Promise<void> {
  await db.transaction(async (tx) => {
    await lockOwned(tx, id, owner);
    await tx('deployments')
      .where({ id, status: 'rollback-failed' })
      .update({ waiting_for: `an SRE: ${why}`, version: tx.raw('version + 1'), updated_at: tx.fn.now() });
  });
}

/** Locks the attempt. @throws NotOwner when a recovery has taken it over: its former workflow may not write. */
async function lockOwned(tx: Tx, id: number, owner: string): Promise<DeploymentRow> {
  const row = (await tx('deployments').where({ id }).forNoKeyUpdate().first()) as DeploymentRow | undefined;
  if (!row) throw gone(id);
  if (row.owner !== owner) throw new NotOwner(`${rowKey(row)} belongs to ${row.owner} now, not to ${owner}`);
  return row;
}
export class NotOwner extends Error {}

/** @throws NotOwner also when it has ended: there is nothing to undo any more, whoever still believes so. */
async function lockOpen(tx: Tx, id: number, owner: string): Promise<DeploymentRow> {
  const row = await lockOwned(tx, id, owner);
  if (!isOpenAttempt(row)) throw new NotOwner(`${rowKey(row)} has ended already: ${row.status}`);
  return row;
}

/** The attempt's last word; repeating it changes nothing. @returns the attempt as it ended. */
export async function recordEnd(
  db: Db,
  id: number,
  owner: string,
  to: 'succeeded' | 'rolled-back' | 'cancelled',
  outcome: string,
  more: {
    /** What is live, as it was accepted. */
    live?: Observed;
    accepted?: Move;
    reviewMs?: number;
    /** Whether the items that it carries are done by it. */
    itemsDone?: boolean;
    /** What else has to be recorded before it may end so; the row is locked by then. */
    demand?(tx: Tx, row: DeploymentRow): Promise<void>;
  } = {},
): Promise<DeploymentRow> {
  const { live, accepted, reviewMs = 72 * 3_600_000, itemsDone = false } = more;
  return db.transaction(async (tx) => {
    const row = await lockOwned(tx, id, owner);
    if (isOpenAttempt(row)) await more.demand?.(tx, row);
    if (to === 'succeeded' && row.to_release === null) await demandRelease(tx, row);
    const move = accepted ?? bySignalbox(outcome, row.request_id);
    if (
      !(await tryTransition(tx, 'deployment', id, to, move, {
        outcome,
        waiting_for: null,
        window_revision: null,
      }))
    )
      return row;
    const byHand = row.trigger === 'rollback';
    if (to === 'succeeded') {
      // One that was accepted with its release live is rolled back already.
      if (byHand) await tryTransition(tx, 'promotion', row.promotion, 'rolled-back', move);
      else await transition(tx, 'promotion', row.promotion, 'deployed', move);
      if (!byHand) await deployed(tx, row.promotion, outcome, move, reviewMs);
      if (byHand) await takeItemsBack(tx, row.promotion, row.target, move);
      else if (itemsDone) await deliverItems(tx, row.promotion, row.target, move);
      // What was adopted was put there by no deployment.
      const put = byHand ? (row.restores ?? undefined) : id;
      await setLive(tx, row.target, releaseOr(row.to_release), move, put);
    }
    if (to === 'rolled-back') {
      if (!byHand) {
        await transition(tx, 'promotion', row.promotion, 'rolled-back', move);
        await transition(tx, 'changeRequest', row.promotion, 'approved', move);
      }
      // What it returned to is what was found, which may be something else than the record believed.
      const now = live ?? row.drifted ?? row.observed;
      if (now) await setLive(tx, row.target, now, move);
    }
    await failpoint('record/middle');
    return { ...row, status: to, outcome };
  });
}

/** @throws NotMoved when the database lost the release that was built, in a restore or a failover since. */
async function demandRelease(tx: Tx, row: DeploymentRow): Promise<void> {
  if ((await knownIncarnation(tx)) === row.incarnation) return;
  throw new NotMoved(`The record has no release of ${rowKey(row)}, which was deployed; nothing was changed.`);
}

/** The deployment whose release the target runs. */
export const currentOf = async (tx: Tx, target: string) =>
  (await tx('deployments')
    .join('targets', 'targets.current_deployment', 'deployments.id')
    .where('targets.name', target)
    .first('deployments.*')) as DeploymentRow | undefined;

/** Releases that attempts on a target which have not ended deploy, or would return to. */
export async function releasesInUse(tx: Tx, target: string): Promise<string[]> {
  const rows = (await tx('deployments')
    .where({ target })
    .whereIn('status', openAttempt)
    .select('to_release', 'from_release', 'observed')) as DeploymentRow[];
  return rows
    .flatMap((row) => [
      row.to_release,
      row.from_release,
      row.observed?.kind === 'release' ? row.observed.release : null,
    ])
    .filter((digest) => digest !== null);
}

/**
 * Records what a target runs.
 * @param deployment that put it there; left out: the one that the record knows for this release, if it knows one.
 */
export const setLive = (tx: Tx, target: string, live: Observed, move: Move, deployment?: number) =>
  tx('targets')
    .where({ name: target })
    .update({
      current_deployment:
        deployment ?? (live.kind === 'release' ? tx.raw('put_by(?, ?)', [target, live.release]) : null),
      ...seen(tx, live, move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });

/** Notes what was seen on a target, where the record says something else or nobody vouches for it. */
export const noteSeen = (tx: Tx, target: string, live: Observed) =>
  tx('targets')
    .where({ name: target })
    .update({
      ...seen(tx, live, bySignalbox('it was looked at')),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
/** Columns of what was seen on a target. */
export const seen = (tx: Tx, live: Observed, move: Move) => ({
  observed: JSON.stringify(live),
  observed_at: tx.fn.now(),
  ...movedBy(move),
});

/**
 * Hands the attempt to another workflow (recovery): from now on its former owner's steps are refused.
 * @param why what became of its former owner, for the audit trail.
 * @param from from whom alone it is taken; left out: from whoever has it.
 */
export async function takeOver(db: Db, id: number, owner: string, runId: string, why: string, from?: string) {
  await db.transaction(async (tx) => {
    const before = (await tx('deployments').where({ id }).forNoKeyUpdate().first()) as DeploymentRow;
    if (from !== undefined && before.owner !== from) return;
    await tx('deployments')
      .where({ id })
      .update({ owner, run_id: runId, ...movedBy(bySignalbox(why, before.request_id)) });
  });
  const steps = await db('deployment_steps').where({ deployment: id });
  return {
    row: await deploymentById(db, id),
    began: steps.map((step) => step.name as string),
    round: Math.max(0, ...steps.map((step) => step.round as number)) + 1,
    origin: await originOfDeployment(db, id),
  };
}

/** Which Signalbox an attempt belongs to, in which incarnation of its database. */
export async function originOfDeployment(db: Db, id: number): Promise<string> {
  const { rows } = await db.raw(`SELECT ${originOf('d')} AS origin FROM deployments d WHERE id = ?`, [id]);
  return (rows[0] as { origin: string }).origin;
}

/** What `reconcile` looks at: attempts that hold a lane, and of those that wait the ones it has not seen for longest. */
export async function attemptsToLookAt(db: Db, waiting: number): Promise<DeploymentRow[]> {
  const holding = await db('deployments')
    .whereIn('status', [...laneHolding])
    .orderBy('id');
  const others = await db('deployments')
    .whereIn('status', ['queued', 'waiting-for-window'])
    .orderBy('swept_at')
    .limit(waiting);
  return [...holding, ...others] as DeploymentRow[];
}
/** Records which run of its workflow has the attempt now, and why it stands still: somebody paused it in Temporal, say. */
export async function noteWorkflow(
  db: Db,
  row: Pick<DeploymentRow, 'id' | 'owner' | 'run_id' | 'paused'>,
  now: { runId?: string; paused?: string },
): Promise<void> {
  const { runId = row.run_id, paused = null } = now;
  if (runId === row.run_id && paused === row.paused) return;
  await db('deployments')
    .where({ id: row.id, owner: row.owner, run_id: row.run_id })
    .update({ run_id: runId, paused, version: db.raw('version + 1'), updated_at: db.fn.now() });
}

export const swept = (db: Db, ids: number[]) =>
  db('deployments').whereIn('id', ids).update({ swept_at: db.fn.now() });

/** Attempts that have not ended and belong to one of these workflows. */
export const ownedBy = async (db: Db, owners: string[]): Promise<DeploymentRow[]> =>
  (await db('deployments')
    .whereIn('owner', owners)
    .whereIn('status', [...openAttempt])) as DeploymentRow[];

/** Attempts that have ended and belonged to one of these workflows. */
export const endedOf = async (db: Db, owners: string[]): Promise<DeploymentRow[]> =>
  (await db('deployments')
    .whereIn('owner', owners)
    .whereNotIn('status', [...openAttempt])
    .whereNotNull('finished_at')) as DeploymentRow[];

/** The attempt of a workflow, also one that has ended. */
export const attemptOf = async (db: Db, owner: string) =>
  (await db('deployments').where({ owner }).first()) as DeploymentRow | undefined;

/** Whether an attempt, also one that has ended, is a workflow's. */
export const owns = async (db: Db, workflowId: string): Promise<boolean> =>
  (await db('deployments').where({ owner: workflowId }).first('id')) !== undefined;

/** Whether anything waits for a window by windows of an older revision. */
export const anyStaleSleeper = async (db: Db, revision: number): Promise<boolean> =>
  (await db('deployments').where('window_revision', '<', revision).first('id')) !== undefined;

/** Workflows that wait for a window which has opened, or beyond their deadline: their timers were set while a clock was wrong. */
export async function overslept(db: Db, atOnce: number): Promise<string[]> {
  const { rows } = await db.raw(
    `SELECT owner FROM deployments
      WHERE (status = 'waiting-for-window' OR (status = 'running' AND window_revision IS NOT NULL))
        AND least(scheduled_for, hold_until) < clock_timestamp() - interval '15 seconds' ORDER BY id LIMIT ?`,
    [atOnce],
  );
  return (rows as { owner: string }[]).map(({ owner }) => owner);
}

/** It holds before its migration or its swap until its window opens, or its deadline is over; the lane stays its. */
export const hold = (
  tx: Tx,
  id: number,
  waitingFor: string,
  until: Date | null,
  deadline: Date,
  revision: number,
) =>
  tx('deployments')
    .where({ id, status: 'running' })
    .update({
      waiting_for: waitingFor,
      scheduled_for: until,
      hold_until: deadline,
      window_revision: revision,
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });

/** It goes on. */
export const awakened = (tx: Tx, id: number) =>
  tx('deployments')
    .where({ id, status: 'running' })
    .update({
      waiting_for: null,
      window_revision: null,
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });

/** An attempt that waits for a window, with what a window is asked about. */
export type Sleeper = DeploymentRow & {
  subject: { target: string; type: ChangeType; risk: Risk; overridden: { window: number; until: number }[] };
};

/** Attempts that wait for a window, by windows of an older revision. */
export async function heldDeployments(tx: Tx, revision: number): Promise<Sleeper[]> {
  const { rows } = await tx.raw(
    `SELECT d.*, json_build_object('target', d.target, 'type', c.type, 'risk', c.risk, 'overridden',
              (SELECT coalesce(json_agg(json_build_object('window', deployment_window,
                        'until', extract(epoch FROM expires_at) * 1000)), '[]')
                 FROM window_overrides o
                WHERE o.promotion = d.promotion AND seconded_by IS NOT NULL AND revoked_at IS NULL)) AS subject
       FROM deployments d JOIN change_requests c ON c.id = d.promotion
      WHERE d.window_revision < ?`,
    [revision],
  );
  return rows as Sleeper[];
}

/** What they wait for is the same by the windows of this revision. */
export const unaffected = (tx: Tx, ids: number[], revision: number) =>
  tx('deployments')
    .whereIn('id', ids)
    .where('window_revision', '<', revision)
    .update({ window_revision: revision });
