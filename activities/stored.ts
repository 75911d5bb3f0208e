import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { SignalboxError } from '../domain/errors';
import { git, GitError, type GitOptions } from './git-command';
import type { Origins } from './origins';
import { list } from './submodules';

/** Git LFS, without being installed into the operator's own configuration. */
const filter = [
  'filter.lfs.clean=git-lfs clean -- %f',
  'filter.lfs.smudge=git-lfs smudge -- %f',
  'filter.lfs.process=git-lfs filter-process',
  'filter.lfs.required=true',
];

/** Brings what Git LFS keeps elsewhere. @param names files of the checkout that it is said to keep. */
export async function fetchStored(
  names: string[],
  from: Origins,
  into: string,
  options: GitOptions,
): Promise<void> {
  const installed = await git(['lfs', 'version'], options).then(
    () => true,
    (thrown: unknown) => {
      if (thrown instanceof GitError) return false;
      throw thrown;
    },
  );
  const pointers = await stillPointers(names, into);
  if (pointers.length === 0) return;
  if (!installed)
    throw new SignalboxError(
      'not-whole',
      `Git LFS keeps ${list(pointers)} elsewhere, and this host has no "git lfs", so only pointers would be built. Install git-lfs where the target is built, or take the files out of LFS.`,
    );
  await demandEndpoints(from, into, options);
  try {
    await git(['-C', into, ...filter.flatMap((rule) => ['-c', rule]), 'lfs', 'pull', 'origin'], options);
  } catch (thrown) {
    if (!(thrown instanceof GitError)) throw thrown;
    throw new SignalboxError(
      'repository-unreachable',
      `What Git LFS keeps elsewhere could not be fetched (${list(pointers)}). git says: ${thrown.stderr.trim()}`,
    );
  }
  const left = await stillPointers(names, into);
  if (left.length > 0)
    throw new SignalboxError(
      'not-whole',
      `Git LFS brought no content for ${list(left)}; it has pointers only.`,
    );
}

const noLink = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const pointer = 'version https://git-lfs';
async function stillPointers(names: string[], into: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    // A link may lead to whatever this host has, and what is no file may never answer.
    const file = await open(join(into, name), noLink).catch((thrown: NodeJS.ErrnoException) => {
      // By this name, which need not be text, there is none: nobody can say that it has its content.
      if (thrown.code === 'ENOENT') found.push(name);
      return undefined;
    });
    if (!file) continue;
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(pointer.length), 0, pointer.length, 0);
      if (buffer.toString('utf8', 0, bytesRead) === pointer) found.push(name);
    } finally {
      await file.close();
    }
  }
  return found;
}

const settings = '.lfsconfig';
/** The repository may name another place from which its files come. Everything else there is no address. */
async function demandEndpoints(from: Origins, into: string, options: GitOptions): Promise<void> {
  const file = await lstat(join(into, settings)).catch(() => undefined);
  if (!file) return;
  if (!file.isFile())
    throw new SignalboxError('not-whole', `${settings} is no file, so Git LFS cannot be used.`);
  const rows = await git(['-C', into, 'config', '-z', '-f', settings, '--list'], options).catch(
    (thrown: unknown) => {
      if (!(thrown instanceof GitError)) throw thrown;
      throw new SignalboxError('not-whole', `${settings} cannot be read. git says: ${thrown.stderr.trim()}`);
    },
  );
  for (const row of rows.split('\0').filter(Boolean)) {
    const [key, url = ''] = row.split(/\n([^]*)/);
    if (/url$/i.test(key!)) await from.allow(`What Git LFS keeps (${key} in ${settings})`, url);
  }
}
