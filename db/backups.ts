import { laneHolding, openAttempt } from '../domain/machines';
import type { Db, Tx } from './connect';
import type { DeploymentRow } from './deployments';
import { deploymentKey } from '../domain/keys';
import { originOf } from './installation';

/** Backups, one for each deployment that came so far; which of them may go. */
export interface BackupRow {
  deployment: number;
  reference: string;
  kind: 'files' | 'postgres';
  sha256: string;
  bytes: number;
  entries: number;
  verified_at: Date;
  removed_at: Date | null;
}
export type BackupOf = BackupRow & Pick<DeploymentRow, 'promotion' | 'attempt' | 'target' | 'status'>;

const backupsOf = (tx: Tx) =>
  tx('backups')
    .join('deployments', 'deployments.id', 'backups.deployment')
    .select('backups.*', 'promotion', 'attempt', 'target', 'status');

export const listBackups = async (db: Db, target: string | undefined, limit: number): Promise<BackupOf[]> =>
  (await backupsOf(db)
    .where(target === undefined ? {} : { target })
    .orderBy('verified_at', 'desc')
    .limit(limit)) as BackupOf[];

export const findBackup = async (db: Db, promotion: number, attempt: number) =>
  (await backupsOf(db).where({ promotion, attempt }).first()) as BackupOf | undefined;

/** Where the backups of a target lie, also of those that were removed. */
export const referencesOf = async (db: Db, target: string): Promise<string[]> =>
  ((await backupsOf(db).where({ target }).select('reference')) as BackupOf[]).map(
    ({ reference }) => reference,
  );

/** The attempts on a target that have not ended, by key and origin. */
export const attemptsUnderWay = async (db: Db, target: string): Promise<{ key: string; origin: string }[]> =>
  (
    (await db('deployments')
      .where({ target })
      .whereIn('status', [...openAttempt])
      .select('promotion', 'attempt', db.raw(`${originOf('deployments')} AS origin`))) as {
      promotion: number;
      attempt: number;
      origin: string;
    }[]
  ).map(({ promotion, attempt, origin }) => ({ key: deploymentKey(promotion, attempt), origin }));

/**
 * Backups of a target that nothing can need any more: older than so many days, of deployments that are over. Never the newest
 * one, and never those of the release that is live or of the one to which it would be rolled back.
 */
export async function backupsToRemove(db: Db, target: string, keepDays: number): Promise<BackupOf[]> {
  return (await backupsOf(db)
    .where({ target })
    .whereNull('removed_at')
    .whereRaw(`verified_at < now() - ? * interval '1 day'`, [keepDays])
    .whereNotIn('status', [...openAttempt])
    .whereRaw(
      `NOT EXISTS (SELECT 1 FROM targets t JOIN deployments live ON live.id = t.current_deployment
                    WHERE t.name = deployments.target AND deployments.id IN (live.id, live.from_deployment))`,
    )
    .whereRaw(
      `backups.deployment <> (SELECT b.deployment FROM backups b JOIN deployments d ON d.id = b.deployment
                               WHERE d.target = deployments.target AND b.removed_at IS NULL
                               ORDER BY b.verified_at DESC LIMIT 1)`,
    )
    .orderBy(['verified_at', 'backups.deployment'])) as BackupOf[];
}

export const backupRemoved = (db: Db, deployment: number) =>
  db('backups').where({ deployment }).whereNull('removed_at').update({ removed_at: db.fn.now() });

/** The attempt that holds a target's lane, if one does. */
export const laneHolder = async (db: Db, target: string) =>
  (await db('deployments')
    .where({ target })
    .whereIn('status', [...laneHolding])
    .first()) as DeploymentRow | undefined;
