import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { TargetConfig } from '../../domain/config';
import { failpoint } from '../../domain/failpoint';
import { removeTree, settle } from '../archive';
import { runTargetCommand } from '../build';
import { faultIn } from '../causes';
import { verdict, type StepContext } from '../step';
import { below, nameOf } from './entries';
import type { BackupKind } from './kind';
import { dataPaths, listingOf, packData, rootsOf, type Listing, type PackedData } from './pack-data';
import { freeIn, isFull, noRoom } from './space';
import { unpackData } from './unpack-data';

/**
 * Files and folders, as an archive. It counts when it was unpacked into a scratch folder and each entry is there again as
 * it was packed: kind, size, content, mode, owner, time, where a link leads. A path that is a link is followed: what is
 * backed up is what it leads to, and a restore puts both back.
 */
export type FilesConfig = Extract<TargetConfig['backup'], { kind: 'files' }>;

const replacer = join(__dirname, 'replace-data.js');
const restoreSeconds = 3_600;

export function filesBackup({ paths }: FilesConfig): BackupKind {
  return {
    extension: 'tar.gz',
    what: paths.join(', '),
    async make(context, file) {
      const room = dirname(file);
      await mkdir(room, { recursive: true });
      const found = await dataPaths(paths, room);
      const fresh = `${file}.new`;
      try {
        const packed = await packData(found, fresh, context.signal as AbortSignal | undefined);
        await settle(fresh, file);
        await failpoint('backup/middle');
        await prove(context, file, packed, rootsOf(found));
        const { sha256, bytes, listing, leftOut } = packed;
        const detail = leftOut.length === 0 ? {} : { detail: `left out: ${few(leftOut)}` };
        return { sha256, bytes, entries: listing.size, ...detail };
      } catch (thrown) {
        // What did not come to its end must not take the room that the next try needs.
        const bytes = existsSync(fresh) ? (await stat(fresh)).size : 0;
        await removeTree(fresh);
        await removeTree(file);
        if (!isFull(thrown) || (thrown as Error).message.startsWith('there is no room')) throw thrown;
        throw noRoom('the backup', `more than ${bytes} bytes are`, [[room, await freeIn(room)]]);
      }
    },
    async isWhole(file, made) {
      if (!existsSync(file)) return false;
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
      return hash.digest('hex') === made.sha256;
    },
    async restore(context, file, fence, more) {
      const order = JSON.stringify({
        archive: file,
        paths: paths.map((path) => resolve(path)),
        key: context.key,
      });
      const command = {
        argv: [process.execPath, replacer, order],
        timeoutSeconds: restoreSeconds,
        shown: `putting back ${file}`,
        own: true as const,
        faultIn,
      };
      await runTargetCommand(context, 'restore', command, context.room.backups, {}, fence, more);
    },
  };
}

/** @throws a verdict that names what does not come back as it was. */
async function prove(context: StepContext, file: string, packed: PackedData, roots: string[]): Promise<void> {
  const scratch = await scratchFor(context, file, packed.size);
  try {
    await removeTree(scratch);
    // What keeps others out may be a folder above what is backed up.
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    const names = roots.map(nameOf);
    const placeOf = (name: string) => {
      for (const [n, root] of names.entries()) {
        const rest = below(name, root);
        if (rest) return Buffer.concat([Buffer.from(join(scratch, String(n))), rest]);
      }
      return undefined;
    };
    await unpackData(file, placeOf, { signal: context.signal as AbortSignal | undefined }).catch(
      (thrown: NodeJS.ErrnoException) => {
        if (thrown.code === 'EPERM' || thrown.code === 'EACCES') throw unprovable([thrown.message]);
        throw thrown;
      },
    );
    await failpoint('backup/proof');
    const back: Listing = new Map();
    for (const [n, root] of names.entries()) {
      const place = Buffer.from(join(scratch, String(n)));
      await listingOf(place, root, back);
    }
    const wrong = differences(packed.listing, back);
    if (wrong.length > 0) throw unprovable(wrong);
  } finally {
    await removeTree(scratch);
  }
}

const unprovable = (wrong: string[]) =>
  verdict(
    'BackupFailed',
    `The backup does not restore to what was there: ${few(wrong)}. Nothing was changed.`,
  );

/** In plain words, what is not the same. */
const differences = (packed: Listing, back: Listing): string[] =>
  [...new Set([...packed.keys(), ...back.keys()])]
    .filter((name) => packed.get(name) !== back.get(name))
    .map((name) => `/${name} is ${back.get(name) ?? 'missing'}, and was ${packed.get(name) ?? 'not there'}`);

const few = (lines: string[]) =>
  lines.slice(0, 5).join('; ') + (lines.length > 5 ? `; and ${lines.length - 5} more` : '');

/** Beside the backup, or where the step works: wherever there is room for all that it unpacks. */
async function scratchFor(context: StepContext, file: string, size: number): Promise<string> {
  const workspace = (context.room as StepContext['room'] | undefined)?.workspace;
  const places = [`${file}.proof`, ...(workspace ? [join(workspace, 'proof')] : [])];
  const free: [string, number][] = [];
  for (const place of places) {
    await mkdir(dirname(place), { recursive: true });
    const bytes = await freeIn(dirname(place));
    if (bytes >= size) return place;
    free.push([dirname(place), bytes]);
  }
  throw noRoom('unpacking the backup to prove it', `${size} bytes are`, free);
}
