import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { backupsToRemove, backupRemoved, laneHolder, type BackupOf } from '../../db/backups';
import { recordAudit } from '../../db/audit';
import { rowKey } from '../../db/deployments';
import { raiseFence } from '../../db/fences';
import type { TargetConfig } from '../../domain/config';
import { SignalboxError } from '../../domain/errors';
import type { Db } from '../../db/connect';
import { removeTree } from '../archive';
import type { Deps } from '../deps';
import { createDriver } from '../drivers/driver';
import { heldIn } from '../drivers/numbers';
import { liesIn, removeFrom } from '../rooms';
import { redactor } from '../redact';
import type { StepContext } from '../step';
import { backupKind } from './kind';

/** What is done with backups outside of a deployment: removing old ones, and restoring one by hand. */
export function createBackupKeeping({
  db,
  targets,
  log,
  stateDir,
}: Pick<Deps, 'db' | 'targets' | 'log' | 'stateDir'>) {
  return {
    /** Removes what nothing can need any more, by each target's `backup.keepDays`. @returns each in plain words. */
    async pruneBackups(): Promise<string[]> {
      const removed: string[] = [];
      for (const target of targets().values()) {
        // A runner removes those on its own host, at the end of each deployment.
        if (target.runner) continue;
        for (const backup of await backupsToRemove(db, target.name, target.backup.keepDays)) {
          // The file first: noted as removed while it is there it would stay for ever.
          if (!(await removeFrom(join(stateDir, 'backups', target.name), backup.reference, log))) continue;
          await backupRemoved(db, backup.deployment);
          removed.push(`${rowKey(backup)}: ${backup.reference}, older than ${target.backup.keepDays} days`);
        }
      }
      for (const line of removed) log.info({ backup: line }, 'removed an old backup');
      return removed;
    },
  };
}

/**
 * Restores a backup in place, when no deployment acts. Like each change of a target it takes a fencing number, so that a
 * deployment that begins meanwhile ends it.
 * @param say gets the lines that the tools print. @throws SignalboxError when it may not be restored now.
 */
export async function restoreByHand(options: {
  db: Db;
  target: TargetConfig;
  backup: BackupOf;
  stateDir: string;
  by: string;
  reason: string;
  say(line: string): void;
}): Promise<void> {
  const { db, target, backup, stateDir, by, reason, say } = options;
  const key = rowKey(backup);
  const holder = await laneHolder(db, target.name);
  // One whose rollback has failed does nothing until an SRE decides: data can be put back meanwhile, under a number that
  // whatever is decided then is above.
  if (holder && holder.status !== 'rollback-failed')
    throw new SignalboxError(
      'illegal-transition',
      `${rowKey(holder)} is ${holder.status} on ${target.name}; wait for its end, or cancel it first.`,
    );
  if (target.backup.kind !== backup.kind)
    throw new SignalboxError(
      'invalid-input',
      `The backup of ${key} is of kind ${backup.kind}, but ${target.name} is backed up as ${target.backup.kind} now.`,
    );
  const kind = backupKind(target.backup);
  const backups = join(stateDir, 'backups', target.name);
  if (!(await liesIn(backups, backup.reference)))
    throw new SignalboxError(
      'illegal-transition',
      `The backup ${backup.reference} is not in ${backups}, where those of ${target.name} are; nothing was restored. Name the state directory in which it was made (--state).`,
    );
  if (!(await kind.isWhole(backup.reference, backup)))
    throw new SignalboxError(
      'illegal-transition',
      `The backup ${backup.reference} is missing or altered; nothing was restored.`,
    );
  const driver = createDriver(target.driver);
  const fence = await db.transaction((tx) => raiseFence(tx, target.name, heldIn(driver.room)));
  const workspace = join(stateDir, 'work', `by-hand-${target.name}-${fence}`);
  await mkdir(workspace, { recursive: true });
  const context = {
    step: 'restore',
    key,
    target,
    driver,
    room: { workspace, backups },
    log: { write: (_stream: string, text: string) => say(text), ready: () => undefined },
    signal: new AbortController().signal,
    goesOn: () => Promise.resolve(),
    secrets: {},
    redact: redactor({}),
  } as unknown as StepContext;
  try {
    await kind.restore(context, backup.reference, fence);
  } finally {
    await removeTree(workspace);
  }
  await recordAudit(db, {
    actor: by,
    action: 'backup.restored',
    subject: key,
    why: reason,
    after: { target: target.name, reference: backup.reference, fence },
  });
}
