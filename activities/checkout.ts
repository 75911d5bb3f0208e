import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyLimitMs, git, withoutUserinfo, type GitOptions } from './git-command';
import { filesIn } from './local-repositories';
import { originsOf, type Origin, type Origins } from './origins';
import { releaseUmask } from './process';
import { fetchStored } from './stored';
import { newBudget, takeSubmodules, type Budget } from './submodules';

/**
 * Checks a commit out into a folder of its own, whole: with its submodules, and with what Git LFS keeps elsewhere. What
 * cannot be had is a verdict that names it; an empty folder or a pointer file would be built and deployed without a word.
 * No file in it is one of another folder, too: a build may write all of it.
 * @param from the mirror that has the commit, and from where the rest may come. @throws not-whole, repository-unreachable.
 */
export async function checkOut(
  from: { mirror: string; commit: string; origin: Origin },
  into: string,
  how: GitOptions,
): Promise<void> {
  const options = { limitMs: copyLimitMs, ...how, umask: releaseUmask };
  const at = (...args: string[]) => git(['-C', into, ...args], options);
  await rm(into, { recursive: true, force: true });
  await git(['init', '--quiet', '--template=', into], options);
  await at('fetch', '--quiet', '--progress', '--depth=1', '--no-tags', from.mirror, from.commit);
  await at('checkout', '--quiet', '--progress', '--force', '--detach', from.commit);

  await at('config', 'remote.origin.url', from.origin.repository);
  try {
    const origins = originsOf(from.origin, from.mirror, options);
    await complete(into, origins, { ...options, under: '', budget: newBudget() });
  } finally {
    // An address may carry a password: what builds the release does not find it here.
    await forgetPasswords(join(into, '.git'));
  }
  await breakLinks(into);
}

/** Brings what a checkout lacks, and what that lacks in turn. @param under where it lies in the whole. */
async function complete(
  into: string,
  from: Origins,
  options: GitOptions & { under: string; budget: Budget },
): Promise<void> {
  const files = async (...args: string[]) =>
    (await git(['-C', into, 'ls-files', '-z', ...args], options)).split('\0').filter(Boolean);
  const links = (await files('--stage'))
    .filter((row) => row.startsWith('160000 '))
    .map((row) => ({ commit: row.split(' ')[1]!, path: row.slice(row.indexOf('\t') + 1) }));
  const stored = await files('--', ':(attr:filter=lfs)');
  if (links.length > 0)
    for (const { path } of await takeSubmodules(links, from, into, options))
      await complete(join(into, path), from, { ...options, under: join(options.under, path) });
  if (stored.length > 0) await fetchStored(stored, from, into, options);
}

async function forgetPasswords(gitFolder: string): Promise<void> {
  // Names of branches, which may be anything, are no settings.
  const settings = [
    '-name',
    'config',
    '-type',
    'f',
    '-not',
    '-path',
    '*/refs/*',
    '-not',
    '-path',
    '*/logs/*',
  ];
  for (const file of await filesIn(gitFolder, [...settings, '-print0']))
    await writeFile(file, withoutUserinfo(await readFile(file, 'utf8')));
}

/** git-lfs gives files that it finds on this host a second name, by which a build could write to the first. */
async function breakLinks(folder: string): Promise<void> {
  for (const file of await filesIn(folder, ['-type', 'f', '-links', '+1', '-print0'])) {
    const copy = `${file}.copy`;
    await copyFile(file, copy);
    await rename(copy, file);
  }
}
