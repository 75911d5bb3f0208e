import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { SignalboxError } from '../domain/errors';
import { isInside } from './archive';
import { git, GitError, whoseAdvice, type GitOptions } from './git-command';
import type { Fetched, Origins } from './origins';

interface Submodule {
  name: string;
  path: string;
  commit: string;
  /** Whether the repository says that its history is not wanted. */
  shallow: boolean;
}
/** A commit that names more, or that names itself over others, is a mistake or means harm. */
const mostSubmodules = 1_000;
/** How often one is fetched for a checkout. */
export type Budget = { left: number };
export const newBudget = (): Budget => ({ left: mostSubmodules });

/** What only the operator may switch on: that a server sends Signalbox elsewhere. */
const nowhereElse = ['http.followRedirects=false', 'transfer.bundleURI=false', 'fetch.uriProtocols='].flatMap(
  (rule) => ['-c', rule],
);

/**
 * Fetches the submodules of a checkout from where they are allowed to come from, and checks them out; not those that are in
 * them. Signalbox fetches: git then finds all of it there, and may not fetch anything itself.
 * @param links paths and commits, as the checkout names them. @param under where the checkout lies in the whole, for people.
 * @returns which they are, and from where.
 */
export async function takeSubmodules(
  links: { path: string; commit: string }[],
  from: Origins,
  into: string,
  { under, budget, ...options }: GitOptions & { under: string; budget: Budget },
): Promise<(Submodule & Fetched)[]> {
  const nothing = { ...options, protocols: [] };
  const at = (...args: string[]) => git(['-C', into, ...args], nothing);
  const named = list(links.map(({ path }) => join(under, path)));
  budget.left -= links.length;
  if (budget.left < 0)
    throw new SignalboxError(
      'not-whole',
      `It has more than ${mostSubmodules} submodules, among them ${named}.`,
    );
  const unusable = (thrown: unknown) => {
    if (!(thrown instanceof GitError)) throw thrown;
    throw new SignalboxError(
      'not-whole',
      `What .gitmodules says of ${named} cannot be used. git says: ${thrown.stderr.trim()}`,
    );
  };
  const found = await readSubmodules(links, at).catch(unusable);
  // All are looked at before anything is fetched.
  const all: (Submodule & Fetched)[] = [];
  for (const { url, ...module } of found)
    all.push({ ...module, ...(await from.allow(`Submodule ${join(under, module.path)}`, url)) });

  const modules = join((await at('rev-parse', '--absolute-git-dir')).trim(), 'modules');
  for (const module of all) {
    const folder = join(modules, module.name);
    if (!isInside(modules, folder) || all.some(({ name }) => name.startsWith(`${module.name}/`)))
      throw new SignalboxError('not-whole', `Submodule ${module.path} has a name that cannot be a folder.`);
    await fetchInto(folder, module, options).catch((thrown: unknown) => {
      if (!(thrown instanceof GitError)) throw thrown;
      throw unreachable(join(under, module.path), module, thrown);
    });
  }
  await at('submodule', '--quiet', 'update', '--force', '--checkout', '--no-fetch').catch(unusable);
  for (const { path } of all)
    if ((await realpath(join(into, path))) !== join(await realpath(into), path))
      throw new SignalboxError('not-whole', `Submodule ${join(under, path)} lies behind a link.`);
  return all;
}

/** As git reads them: names that would leave its folder are none, and relative addresses are made whole. */
async function readSubmodules(
  links: { path: string; commit: string }[],
  at: (...args: string[]) => Promise<string>,
): Promise<(Submodule & { url: string })[]> {
  await at('submodule', '--quiet', 'init');
  const read = async (what: string, ...from: string[]) => {
    const pattern = `^submodule\\..*\\.${what}$`;
    const rows = await at('config', '-z', ...from, '--get-regexp', pattern).catch((thrown: unknown) => {
      // There is none.
      if (thrown instanceof GitError && thrown.code === 1) return '';
      throw thrown;
    });
    return rows
      .split('\0')
      .filter(Boolean)
      .map((row) => {
        const [, key, value = ''] = /^([^\n]*)\n?([^]*)$/.exec(row)!;
        return { name: key!.slice('submodule.'.length, -what.length - 1), value };
      });
  };
  const [urls, paths, shallow] = [
    await read('url'),
    await read('path', '-f', '.gitmodules'),
    await read('shallow', '-f', '.gitmodules', '--type=bool'),
  ];
  return links.map(({ path, commit }) => {
    const name = paths.findLast(
      (row) => row.value.replace(/\/+$/, '') === path && urls.some((u) => u.name === row.name),
    )?.name;
    const url = urls.findLast((row) => row.name === name)?.value;
    if (name === undefined || !url)
      throw new SignalboxError('not-whole', `.gitmodules names no address for submodule ${path}.`);
    const history = shallow.findLast((row) => row.name === name)?.value !== 'true';
    return { name, path, commit, url, shallow: !history };
  });
}

/** By a fetch, which copies: a clone of a folder of this host would share its files. */
async function fetchInto(folder: string, { commit, shallow, ...from }: Submodule & Fetched, how: GitOptions) {
  const options = { ...how, protocols: [from.protocol] };
  const at = (...args: string[]) => git(['--git-dir', folder, ...args], options);
  await git(['init', '--quiet', '--bare', '--template=', folder], options);
  await at('config', 'core.bare', 'false');
  // Before it is fetched it is the remote only of what is listed: git's configuration may give a remote of its address more
  // than the repository has.
  if (from.listed) await at('config', 'remote.origin.url', from.base);
  const take = async (refs: string[], ...how: string[]) => {
    const args = ['fetch', '--quiet', '--progress', '--no-tags', '--no-recurse-submodules', ...how, '--'];
    const fetch = (url: string) => at(...nowhereElse, ...args, url, ...refs);
    await fetch(from.url).catch(async (thrown: unknown) => {
      // Servers lead from a repository's name to the one with its ending; nowhere else is followed.
      if (!(thrown instanceof GitError) || !redirected.test(thrown.stderr)) throw thrown;
      await fetch(`${from.url.replace(/\/+$/, '')}.git`);
    });
  };
  if (!shallow) await take(['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*']);
  const there = await at('cat-file', '-e', `${commit}^{commit}`).then(
    () => true,
    (thrown: unknown) => {
      if (thrown instanceof GitError && thrown.code !== null) return false;
      throw thrown;
    },
  );
  if (!there) await take([commit], ...(shallow ? ['--depth=1'] : []));
  await at('config', 'remote.origin.url', from.base);
}
const redirected = /returned error: 30[1-8]/;

function unreachable(path: string, { protocol }: Fetched, { stderr }: GitError): SignalboxError {
  const elsewhere = redirected.test(stderr)
    ? ' The server leads to another address, which is not followed: name that one in .gitmodules.'
    : protocol === 'file'
      ? whoseAdvice(stderr)
      : '';
  return new SignalboxError(
    'repository-unreachable',
    `A submodule could not be fetched (${path}).${elsewhere} Make it reachable for this host by ${protocol === 'file' ? 'its path' : protocol}, with the credentials that git has here. git says: ${stderr.trim()}`,
  );
}

export const list = (names: string[]) =>
  names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
