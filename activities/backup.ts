import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { failpoint } from '../domain/failpoint';
import { packPaths, readBack, settle } from './archive';
import { runTargetCommand } from './build';
import type { Deps } from './deps';
import { verdict, type RunStep, type StepInput } from './step';

/**
 * Backup: the target's data paths as an archive that is read back before it counts. It is kept whatever
 * happens, so backup has no undo of its own; `restoreData` is migrate's.
 */
export const createBackup =
  (deps: Deps, runStep: RunStep) =>
  (input: StepInput): Promise<{ reference: string }> =>
    runStep('backup', ['running'], input, async ({ target, room, note, tryName }) => {
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
      // Each try writes a file of its own and the record names the one that counts, so that a late one overwrites nothing.
      const reference = join(room.backups, `${input.key}.${tryName}.tar.gz`);
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

const replacer = join(__dirname, 'replace-data.js');
const restoreSeconds = 3_600;

/** Undo of migrate: the backup's data back in place, path by path. Harmless when repeated. */
export const createRestoreData =
  (deps: Deps, runStep: RunStep) =>
  (input: StepInput): Promise<void> =>
    runStep('undo-migrate', ['rolling-back'], input, async (context) => {
      const { row, target } = context;
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
      const fence = await context.fence();
      await failpoint('undo-migrate/middle');
      const paths = target.backup.paths.map((path) => resolve(path));
      const order = JSON.stringify({ archive: backup.reference, paths, key: input.key });
      const command = { argv: [process.execPath, replacer, order], timeoutSeconds: restoreSeconds };
      await runTargetCommand(context, 'restore', command, context.room.backups, {}, fence);
      return { value: undefined, detail: `data restored from ${backup.reference}` };
    });

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
