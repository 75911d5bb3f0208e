import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TargetConfig } from '../../domain/config';
import { failpoint } from '../../domain/failpoint';
import { packPaths, readBack, settle } from '../archive';
import { alteredUnlessScarce, runTargetCommand } from '../build';
import { verdict } from '../step';
import type { BackupKind, Made } from './kind';

/** Files and folders, as an archive that is read back before it counts. */
export type FilesConfig = Extract<TargetConfig['backup'], { kind: 'files' }>;

const replacer = join(__dirname, 'replace-data.js');
const restoreSeconds = 3_600;

export function filesBackup({ paths }: FilesConfig): BackupKind {
  async function isWhole(file: string, made: Made): Promise<boolean> {
    if (!existsSync(file)) return false;
    return readBack(file).then(
      ({ sha256, bytes, entries }) =>
        sha256 === made.sha256 && bytes === made.bytes && entries === made.entries,
      alteredUnlessScarce,
    );
  }
  return {
    extension: 'tar.gz',
    what: paths.join(', '),
    async make(_context, file) {
      for (const path of paths)
        if (!existsSync(path))
          throw verdict(
            'BackupFailed',
            `Data path ${path} does not exist; create it or correct backup.paths.`,
          );
      const fresh = `${file}.new`;
      const packed = await packPaths(paths, fresh);
      await settle(fresh, file);
      await failpoint('backup/middle');
      if (!(await isWhole(file, packed)))
        throw new Error(`the backup ${file} does not read back as it was written`);
      return packed;
    },
    isWhole,
    async restore(context, file, fence) {
      const order = JSON.stringify({
        archive: file,
        paths: paths.map((path) => resolve(path)),
        key: context.key,
      });
      const command = {
        argv: [process.execPath, replacer, order],
        timeoutSeconds: restoreSeconds,
        shown: `putting back ${file}`,
      };
      await runTargetCommand(context, 'restore', command, context.room.backups, {}, fence);
    },
  };
}
