import { existsSync } from 'node:fs';
import { cp, mkdir, rename } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { failpoint } from '../domain/failpoint';
import { packPaths, readBack, removeTree, settle, unpack } from './archive';
import type { Deps } from './deps';
import { verdict, type RunStep, type StepInput } from './step';

/**
 * Backup: the target's data paths as an archive that is read back before it counts. It is kept whatever
 * happens, so backup has no undo of its own; `restoreData` is migrate's.
 */
export const createBackup =
  (deps: Deps, runStep: RunStep) =>
  (input: StepInput): Promise<{ reference: string }> =>
    runStep('backup', ['running'], input, async ({ target, room, note }) => {
      const before = await deps.db('backups').where({ deployment: input.deployment }).first();
      if (before && (await verify(before.reference, before)))
        return {
          value: { reference: before.reference },
          detail: `already made and still whole: ${before.reference}`,
        };

      for (const path of target.backup.paths)
        if (!existsSync(path))
          throw verdict(
            'BackupFailed',
            `Data path ${path} does not exist; create it or correct backup.paths.`,
          );
      note(`backup: archiving ${target.backup.paths.join(', ')}`);
      const reference = join(room.backups, `${input.key}.tar.gz`);
      const fresh = `${reference}.new`;
      const packed = await packPaths(target.backup.paths, fresh);
      await settle(fresh, reference);
      await failpoint('backup/middle');
      if (!(await verify(reference, packed)))
        throw new Error(`the backup ${reference} does not read back as it was written`);
      const verifiedAt = new Date();
      return {
        value: { reference },
        detail: `${packed.entries} entries, ${packed.bytes} bytes, sha256 ${packed.sha256.slice(0, 12)}, read back and verified`,
        record: (tx) =>
          tx('backups')
            .insert({
              deployment: input.deployment,
              reference,
              sha256: packed.sha256,
              bytes: packed.bytes,
              entries: packed.entries,
              verified_at: verifiedAt,
            })
            .onConflict('deployment')
            .merge(),
      };
    });

/** Undo of migrate: the backup's data back in place, path by path. Harmless when repeated. */
export const createRestoreData =
  (deps: Deps, runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('undo-migrate', ['rolling-back'], input, async ({ row, target, room }) => {
      if (!row.migration_began)
        return { value: undefined, detail: 'the migration had not begun; data was left alone' };
      if (!target.migrate?.restoreDataOnRollback)
        return {
          value: undefined,
          detail: "data was left alone, as the target's policy says (migrate.restoreDataOnRollback: false)",
        };
      const backup = await deps.db('backups').where({ deployment: input.deployment }).first();
      if (!backup || !(await verify(backup.reference, backup)))
        throw verdict(
          'BackupLost',
          `The backup ${backup?.reference ?? ''} is missing or altered; data was not restored.`,
        );
      const fresh = join(room.workspace, 'restore');
      await removeTree(fresh);
      await mkdir(fresh, { recursive: true });
      await unpack(backup.reference, fresh, true);
      await failpoint('undo-migrate/middle');
      for (const path of target.backup.paths)
        await replace(resolve(path), join(fresh, relative('/', resolve(path))), input.key);
      await removeTree(fresh);
      return { value: undefined, detail: `data restored from ${backup.reference}` };
    });

async function replace(path: string, restored: string, key: string): Promise<void> {
  // Beside the path, because a rename does not cross file systems. A try that stopped between the two renames
  // left the path missing; the next one puts it there all the same.
  const fresh = join(dirname(path), `.signalbox-restore-${key}`);
  const aside = join(dirname(path), `.signalbox-before-restore-${key}`);
  await removeTree(fresh);
  await cp(restored, fresh, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  if (existsSync(path)) {
    await removeTree(aside);
    await rename(path, aside);
  }
  await rename(fresh, path);
  await removeTree(aside);
}

async function verify(
  file: string,
  written: { sha256: string; bytes: number; entries: number },
): Promise<boolean> {
  if (!existsSync(file)) return false;
  return readBack(file).then(
    (found) =>
      found.sha256 === written.sha256 && found.bytes === written.bytes && found.entries === written.entries,
    () => false,
  );
}
