import type { ChangeType, Risk } from '../domain/machines';
import { scheduleOf, type WindowSchedule } from '../domain/windows/status';
import type { Compiled, DeploymentWindow } from '../domain/windows/window';
import type { Db, Tx } from './connect';
import { movedBy, type Move } from './transition';

/** Deployment windows and overrides. A removed window stays as a row: the audit trail and overrides name it. */
export interface WindowRow {
  id: number;
  name: string;
  kind: 'allow' | 'freeze';
  target: string | null;
  environment: string | null;
  start: string;
  time_zone: string;
  duration_minutes: number;
  rrule: string | null;
  except_dates: string[];
  until: string | null;
  change_types: ChangeType[] | null;
  risks: Risk[] | null;
  reason: string | null;
  created_by: string;
  version: number;
  created_at: Date;
  updated_at: Date;
}
export interface OverrideRow {
  id: number;
  deployment_window: number;
  promotion: number;
  reason: string;
  requested_by: string;
  expires_at: Date;
  seconded_by: string | null;
  seconded_at: Date | null;
  revoked_at: Date | null;
  version: number;
  created_at: Date;
  updated_at: Date;
}

export const windowOf = (row: WindowRow): DeploymentWindow => ({
  id: row.id,
  name: row.name,
  kind: row.kind,
  scope: {
    ...(row.target === null ? {} : { target: row.target }),
    ...(row.environment === null ? {} : { environment: row.environment }),
  },
  start: row.start,
  timeZone: row.time_zone,
  durationMinutes: row.duration_minutes,
  ...(row.rrule === null ? {} : { rrule: row.rrule }),
  ...(row.except_dates.length === 0 ? {} : { exceptDates: row.except_dates }),
  ...(row.until === null ? {} : { until: row.until }),
  ...(row.change_types === null ? {} : { changeTypes: row.change_types }),
  ...(row.risks === null ? {} : { risks: row.risks }),
  ...(row.reason === null ? {} : { reason: row.reason }),
});

const columns = (w: Omit<DeploymentWindow, 'id'>) => ({
  name: w.name,
  kind: w.kind,
  target: w.scope.target ?? null,
  environment: w.scope.environment ?? null,
  start: w.start,
  time_zone: w.timeZone,
  duration_minutes: w.durationMinutes,
  rrule: w.rrule ?? null,
  except_dates: w.exceptDates ?? [],
  until: w.until ?? null,
  change_types: w.changeTypes ?? null,
  risks: w.risks ?? null,
  reason: w.reason ?? null,
});

export const liveWindows = (tx: Tx) => tx('deployment_windows').whereNull('deleted_at');

export const findWindow = async (tx: Tx, id: number) =>
  (await liveWindows(tx).where({ id }).first()) as WindowRow | undefined;

/** @returns the new window's number; undefined when its name is taken. */
export const addWindow = (
  tx: Tx,
  window: Omit<DeploymentWindow, 'id'>,
  move: Move,
): Promise<number | undefined> =>
  nameFree(async () => {
    const [row] = await tx('deployment_windows')
      .insert({ ...columns(window), created_by: move.by, ...movedBy(move) })
      .returning('id');
    return (row as { id: number }).id;
  });

/** @returns whether it was changed; false: another version is there by now; undefined: the name is taken. */
export const changeWindow = (
  tx: Tx,
  id: number,
  window: Omit<DeploymentWindow, 'id'>,
  move: Move,
  version: number | undefined,
): Promise<boolean | undefined> =>
  nameFree(async () => {
    const changed = await liveWindows(tx)
      .where({ id, ...(version === undefined ? {} : { version }) })
      .update({
        ...columns(window),
        ...movedBy(move),
        version: tx.raw('version + 1'),
        updated_at: tx.fn.now(),
      });
    return changed === 1;
  });

export const removeWindow = async (
  tx: Tx,
  id: number,
  move: Move,
  version: number | undefined,
): Promise<boolean> =>
  (await liveWindows(tx)
    .where({ id, ...(version === undefined ? {} : { version }) })
    .update({
      deleted_at: tx.fn.now(),
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    })) === 1;

async function nameFree<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if ((thrown as { constraint?: string }).constraint === 'one_window_of_a_name') return undefined;
    throw thrown;
  }
}

export const windowRevision = async (tx: Tx): Promise<number> =>
  ((await tx('window_revision').first('revision')) as { revision: number }).revision;

/** The windows as they stand, read again only when one of them changed. */
export interface Windows {
  /**
   * @param stamp what the caller has read to be there; left out: the present one is asked for.
   * @param tx reads by it.
   */
  current(stamp?: string, tx?: Tx): Promise<WindowSchedule>;
}
export function createWindows(db: Db): Windows {
  let known: { stamp: string; schedule: WindowSchedule } | undefined;
  let compiled = new Map<string, Compiled>();
  return {
    async current(stamp, tx = db) {
      if (known && known.stamp === stamp) return known.schedule;
      // Read before the rows: rows that are newer than their stamp are only read once more.
      const now = (await tx('window_revision').first('revision', 'stamp')) as {
        revision: number;
        stamp: string;
      };
      // Never by the number, which comes again after a restore and then stands for other windows.
      if (known && known.stamp === now.stamp) return known.schedule;
      const rows = (await liveWindows(tx).orderBy('id')) as WindowRow[];
      const kept = compiled;
      const schedule = scheduleOf(rows.map(windowOf), now.revision, kept);
      known = { stamp: now.stamp, schedule };
      // What no window uses any more is forgotten.
      const used = new Set(schedule.windows.map((window) => JSON.stringify(window)));
      compiled = new Map([...kept].filter(([key]) => used.has(key)));
      return schedule;
    },
  };
}

/** Overrides of windows for these promotions, newest first. */
export const overridesFor = async (tx: Tx, promotions: number[]): Promise<OverrideRow[]> =>
  (await tx('window_overrides').whereIn('promotion', promotions).orderBy('id', 'desc')) as OverrideRow[];

export const findOverride = async (tx: Tx, id: number) =>
  (await tx('window_overrides').where({ id }).first()) as OverrideRow | undefined;

export async function askOverride(
  tx: Tx,
  wanted: { window: number; promotion: number; reason: string; expiresAt: Date },
  move: Move,
): Promise<number> {
  const [row] = await tx('window_overrides')
    .insert({
      deployment_window: wanted.window,
      promotion: wanted.promotion,
      reason: wanted.reason,
      requested_by: move.by,
      expires_at: wanted.expiresAt,
      ...movedBy(move),
    })
    .returning('id');
  return (row as { id: number }).id;
}

/** @returns false when it was seconded, revoked or has run out by now. */
export const secondOverride = async (tx: Tx, id: number, move: Move): Promise<boolean> =>
  (await tx('window_overrides')
    .where({ id })
    .whereNull('seconded_by')
    .whereNull('revoked_at')
    .andWhere('expires_at', '>', tx.fn.now())
    .update({
      seconded_by: move.by,
      seconded_at: tx.fn.now(),
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    })) === 1;

export const revokeOverride = async (tx: Tx, id: number, move: Move): Promise<boolean> =>
  (await tx('window_overrides')
    .where({ id })
    .whereNull('revoked_at')
    .update({
      revoked_at: tx.fn.now(),
      ...movedBy(move),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    })) === 1;
