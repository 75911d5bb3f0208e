import { dirname } from 'node:path';
import { SignalboxError } from '../domain/errors';
import { addressOf, addressText, isSameRepository, liesBelow, type GitAddress } from '../domain/git-address';
import { printable } from '../domain/printable';
import { sentences } from '../domain/sentences';
import { isInside } from './archive';
import { git, GitError, withoutUserinfo, type GitOptions } from './git-command';
import { real, repositoryAt, whyNotItself } from './local-repositories';

/**
 * From where a checkout may take what its repository names: submodules, and what Git LFS keeps. Whoever can ship writes
 * these addresses, and Signalbox would fetch them with its own rights. So the targets file decides: what lies at the place
 * of the target's own repository, or below an address that the target lists.
 */
export interface Origin {
  /** The target. */
  name: string;
  repository: string;
  /** Addresses that others have to begin with; left out: the place of the repository. */
  submodules?: readonly string[];
  /** Folders of Signalbox, of which nothing is ever taken. */
  closed?: readonly string[];
  /** Folders in which builds write, or lies what they made: what looks like a repository there has to be listed by itself. */
  made?: readonly string[];
  /** Repositories of other targets: each has to be listed by itself. */
  others?: readonly { name: string; repository: string }[];
}
export interface Fetched {
  url: string;
  /** The only one by which it may be fetched. */
  protocol: string;
  /** What relative addresses in it count against. */
  base: string;
  /** Whether the target lists it. */
  listed: boolean;
}
export interface Origins {
  /** @param what names it. @returns how it is fetched. @throws not-whole, with what to write into the targets file. */
  allow(what: string, url: string): Promise<Fetched>;
}

/** @param mirror of the target: git's configuration counts as for the repository itself, which is fetched there. */
export function originsOf(
  { name, repository, submodules, closed = [], made = [], others = [] }: Origin,
  mirror: string,
  options: GitOptions,
): Origins {
  const listed = submodules !== undefined;
  const ask = (...args: string[]) => git(['--git-dir', mirror, ...args], options);
  /** After `url.insteadOf` of the operator's configuration. */
  const asGitSees = async (url: string) =>
    (await ask('ls-remote', '--get-url', '--', url)).replace(/\r?\n$/, '');
  const addressAsGitSees = async (url: string) => {
    const address = addressOf(await asGitSees(url));
    if (address?.scheme !== 'file') return address;
    return { ...address, path: (await repositoryAt(address.path)) ?? (await real(address.path)) };
  };
  const own = once(() => addressAsGitSees(repository));
  const places = once(async () => {
    if (submodules)
      return (await Promise.all(submodules.map(addressAsGitSees))).filter((place) => place !== undefined);
    const at = await own();
    if (!at) return [];
    const path = at.scheme === 'file' ? dirname(at.path) : '/';
    // One that lies at the top of this host would open all of it.
    return at.scheme === 'file' && path === '/' ? [] : [{ ...at, path }];
  });
  const theirs = once(async () => {
    const mine = await own();
    const found = await Promise.all(
      others.map(async (other) => ({ name: other.name, address: await addressAsGitSees(other.repository) })),
    );
    return found.flatMap(({ name: target, address }) =>
      address && !(mine && isSameRepository(address, mine)) ? [{ target, address }] : [],
    );
  });

  const refusal = async (what: string, url: string, why: string, listing?: GitAddress) => {
    const shown = printable(withoutUserinfo(url)).slice(0, 300);
    const login = (await own())?.user;
    // A password may also stand where others have a name.
    const text = (address: GitAddress) =>
      addressText(address.scheme !== 'ssh' && address.user === login ? { ...address, user: '' } : address);
    const entries = submodules?.map((entry) => entry.replace(/(https?:\/\/)[^/@]*@/, '$1...@'));
    const list = listing && JSON.stringify([...(entries ?? (await places()).map(text)), text(listing)]);
    return new SignalboxError(
      'not-whole',
      sentences(
        `${what} of ${name} comes from ${shown}, ${why}`,
        'Nothing was fetched from there',
        list
          ? `To allow it, write under ${name} in the targets file: submodules: ${list}`
          : 'Give it another address in the repository',
      ),
    );
  };

  /** One of another target is nobody else's, unless it is listed by itself. */
  const whoseElse = async (address: GitAddress): Promise<string | undefined> => {
    const whose = (await theirs()).find(({ address: of }) =>
      of.scheme === 'file' && address.scheme === 'file'
        ? isInside(of.path, address.path)
        : isSameRepository(of, address),
    );
    const itself = listed && (await places()).some((place) => isSameRepository(place, address));
    return whose && !itself ? whose.target : undefined;
  };

  async function allowFolder(what: string, url: string, given: GitAddress): Promise<Fetched> {
    const path = await repositoryAt(given.path);
    if (path === undefined) throw await refusal(what, url, `which is no repository on this host`);
    const found = { ...given, path };
    for (const folder of closed)
      if (isInside(await real(folder), path))
        throw await refusal(what, url, 'which lies in the state directory of Signalbox');
    const all = (await places()).filter(({ scheme }) => scheme === 'file');
    if (!all.some((place) => isInside(place.path, path)))
      throw await refusal(what, url, 'a folder of this host that the target does not name', found);
    const whose = await whoseElse(found);
    if (whose) throw await refusal(what, url, `which is the repository of the target ${whose}`, found);
    const itself = all.some((place) => place.path === path);
    for (const folder of itself ? [] : made)
      if (isInside(await real(folder), path))
        throw await refusal(
          what,
          url,
          `which lies in ${folder}, where builds or their releases write`,
          found,
        );
    const why = itself ? undefined : await whyNotItself(path, options);
    if (why) throw await refusal(what, url, why, found);
    return { url: path, protocol: 'file', base: given.path, listed };
  }

  async function allowRemote(what: string, url: string, seen: string, given: GitAddress): Promise<Fetched> {
    const mine = await own();
    const loginAt = (place: GitAddress) =>
      place.user || (mine && liesBelow(place, { ...mine, path: '/' }) ? mine.user : '');
    const below = (await places()).filter((place) => liesBelow(given, place));
    const place = below.find((one) => given.user === '' || given.user === loginAt(one));
    if (!place) {
      const why =
        below.length > 0 ? 'with another login than the target names' : 'which the target does not name';
      throw await refusal(what, url, why, given);
    }
    const whose = await whoseElse(given);
    if (whose) throw await refusal(what, url, `which is the repository of the target ${whose}`, given);
    const login = given.user === '' ? loginAt(place) : '';
    const fetched = login ? withLogin(seen, login) : url;
    if (login && (await asGitSees(fetched)) !== fetched)
      throw await refusal(what, url, "which git's configuration leads elsewhere for another login", given);
    if (!listed && !(await areAlike(await asGitSees(repository), login ? fetched : seen)))
      throw await refusal(
        what,
        url,
        "for which git's configuration has other credentials or settings than for the repository",
        given,
      );
    return { url: fetched, protocol: given.scheme, base: fetched, listed };
  }

  /** Whether git's configuration says the same for both: credentials, headers, proxies. */
  const areAlike = async (one: string, other: string) => {
    const [said, same] = [await settingsFor(one), await settingsFor(other)];
    return said === same && !/^credential\.usehttppath(?! (false|no|off|0)$)/im.test(said);
  };
  const settingsFor = async (url: string): Promise<string> => {
    if (!/^https?:/.test(url)) return '';
    const parts = ['credential', 'http'].map((section) =>
      ask('config', '--get-urlmatch', section, url).catch((thrown: unknown) => {
        if (thrown instanceof GitError && thrown.code === 1) return '';
        throw thrown;
      }),
    );
    return (await Promise.all(parts)).join('');
  };

  return {
    async allow(what, url) {
      // Anything else could be the name of a remote of the operator's configuration.
      const seen = /^\/|^[^-].*:/.test(url) ? await asGitSees(url) : url;
      const given = addressOf(seen);
      if (!given) throw await refusal(what, url, 'which is no address that Signalbox fetches from');
      return given.scheme === 'file' ? allowFolder(what, url, given) : allowRemote(what, url, seen, given);
    },
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

const withLogin = (url: string, login: string) => {
  const [scheme, rest] = url.split(/(?<=:\/\/)/, 2);
  return rest === undefined ? `${login}@${url}` : `${scheme}${login}@${rest}`;
};
