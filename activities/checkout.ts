import { constants } from 'node:fs';
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SignalboxError } from '../domain/errors';
import { copyLimitMs, git, GitError, withoutUserinfo, type GitOptions } from './git-command';
import { releaseUmask } from './process';

/**
 * Checks a commit out into a folder of its own, whole: with its submodules, and with what Git LFS keeps elsewhere. What
 * cannot be had is a verdict that names it; an empty folder or a pointer file would be built and deployed without a word.
 * @param mirror that has the commit. @param repository where it comes from, against which a submodule's address counts.
 * @throws not-whole, repository-unreachable.
 */
export async function checkOut(
  from: { mirror: string; repository: string; commit: string },
  into: string,
  how: GitOptions,
): Promise<void> {
  const options = { limitMs: copyLimitMs, ...how, umask: releaseUmask };
  const { mirror, repository, commit } = from;
  const at = (...args: string[]) => git(['-C', into, ...args], options);
  await rm(into, { recursive: true, force: true });
  await git(['init', '--quiet', '--template=', into], options);
  await at('fetch', '--quiet', '--progress', '--depth=1', '--no-tags', mirror, commit);
  await at('checkout', '--quiet', '--progress', '--force', '--detach', commit);

  const entries = (await at('ls-files', '--stage', '-z')).split('\0').filter(Boolean);
  const submodules = entries.filter((row) => row.startsWith('160000 ')).map((row) => row.split('\t')[1]!);
  const stored = (await at('ls-files', '-z', '--', ':(attr:filter=lfs)')).split('\0').filter(Boolean);
  if (submodules.length + stored.length === 0) return;
  // An address may carry a password: what builds the release does not find it here.
  await at('config', 'remote.origin.url', repository);
  try {
    if (submodules.length > 0) await fetchSubmodules(submodules, repository, into, options);
    if (stored.length > 0) await fetchStored(stored, into, options);
  } finally {
    await forgetPasswords(join(into, '.git'));
  }
}

async function fetchSubmodules(
  names: string[],
  repository: string,
  into: string,
  options: GitOptions,
): Promise<void> {
  // A repository from elsewhere must not name folders of this host.
  const local = /^(\/|\.|file:)/.test(repository);
  const allowed = ['https', 'http', 'ssh', 'git', ...(local ? ['file'] : [])];
  const protocols = ['protocol.allow=never', ...allowed.map((name) => `protocol.${name}.allow=always`)];
  const update = ['submodule', '--quiet', 'update', '--init', '--recursive', '--force', '--checkout'];
  try {
    await git(['-C', into, ...protocols.flatMap((rule) => ['-c', rule]), ...update, '--progress'], options);
  } catch (thrown) {
    if (!(thrown instanceof GitError)) throw thrown;
    throw new SignalboxError(
      'repository-unreachable',
      `A submodule could not be fetched (${list(names)}). Make it reachable for this host by ${allowed.join(', ')}, with the credentials that git has here. git says: ${thrown.stderr.trim()}`,
    );
  }
}

/** Git LFS, without being installed into the operator's own configuration. */
const filter = [
  'filter.lfs.clean=git-lfs clean -- %f',
  'filter.lfs.smudge=git-lfs smudge -- %f',
  'filter.lfs.process=git-lfs filter-process',
  'filter.lfs.required=true',
];

async function fetchStored(names: string[], into: string, options: GitOptions): Promise<void> {
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
    const file = await open(join(into, name), noLink).catch(() => undefined);
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

async function forgetPasswords(gitFolder: string): Promise<void> {
  for (const name of await readdir(gitFolder, { recursive: true }))
    if (name === 'config' || /^modules\/.*\/config$/.test(name)) {
      const file = join(gitFolder, name);
      await writeFile(file, withoutUserinfo(await readFile(file, 'utf8')));
    }
}

const list = (names: string[]) =>
  names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
