import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { removeTree } from './archive';
import { backupKind } from './backups/kind';
import { isLaterTry } from './backups/tries';
import { liesIn } from './rooms';
import { verdict, type RunStep, type StepContext, type StepInput } from './step';

const why = 'made again after it was held for its window';

/**
 * Backup: the target's data, proven to be restorable before it counts. It is kept whatever happens, so backup has no
 * undo of its own; `createRestoreData` is migrate's.
 */
export const createBackup =
  (runStep: RunStep) =>
  (input: StepInput): Promise<{ reference: string }> =>
    runStep('backup', ['running'], input, async (context) => {
      const { target, room, note, tryName } = context;
      const kind = backupKind(target.backup);
      const before = context.attempt.backup;
      // Asked for once more, it is for what was written since: one of an earlier round does not count. Once the migration
      // has begun it is the only one of the data from before.
      const again = input.round > 1 && !context.attempt.migrationBegan;
      const counts =
        !again || basename(before?.reference ?? '').startsWith(`${context.name}.backup-${input.round}-`);
      if (before && counts && (await isOwn(context, before)))
        return {
          value: { reference: before.reference },
          detail: `already made and still whole: ${before.reference}`,
          made: { kind: 'backup', of: target.backup.kind, ...before, verifiedAt: new Date().toISOString() },
        };
      await removeEarlier(context, before?.reference);
      note(`backup: taking one of ${kind.what}${again ? `, ${why}` : ''}`);
      // Each try writes a file of its own and the record names the one that counts, so that a late one overwrites nothing.
      const reference = join(room.backups, `${context.name}.${tryName}.${kind.extension}`);
      const { sha256, bytes, entries, detail } = await kind.make(context, reference);
      const proof =
        target.backup.kind === 'postgres'
          ? 'tables, restored into a scratch database and compared'
          : 'entries, unpacked and compared';
      return {
        value: { reference },
        detail: `${again ? `${why}: ` : ''}${entries} ${proof}; ${bytes} bytes, sha256 ${sha256.slice(0, 12)}${detail ? `; ${detail}` : ''}`,
        made: {
          kind: 'backup',
          of: target.backup.kind,
          reference,
          sha256,
          bytes,
          entries,
          // For an API of the previous version; the record notes its own time.
          verifiedAt: new Date().toISOString(),
        },
      };
    });

type Recorded = NonNullable<StepContext['attempt']['backup']>;
/** Whether it lies where this target's backups do, and is as it was made. */
const isOwn = async ({ target, room }: StepContext, backup: Recorded) =>
  (await liesIn(room.backups, backup.reference)) &&
  backupKind(target.backup).isWhole(backup.reference, backup);

/** The attempt's backup, read again. @throws a verdict when it is not what was made. */
export async function wholeBackup(context: StepContext) {
  const { backup } = context.attempt;
  if (!backup || !(await isOwn(context, backup)))
    throw verdict(
      'BackupLost',
      `The backup ${backup?.reference ?? ''} is missing or altered; data was not restored.`,
    );
  return backup;
}

/**
 * What earlier tries wrote and did not finish: it would keep a full disk full. Only of lower tries, because this one may
 * have been stopped since it began, and a later one may have made the backup that counts.
 */
async function removeEarlier({ room, name: mine, tryName }: StepContext, kept?: string): Promise<void> {
  for (const name of await readdir(room.backups).catch(() => [])) {
    if (!name.startsWith(`${mine}.`) || name === basename(kept ?? '')) continue;
    if (!isLaterTry(name.slice(mine.length + 1), tryName)) await removeTree(join(room.backups, name));
  }
}
