/** Where a repository lies, as git reads its address. */
export interface GitAddress {
  scheme: 'https' | 'http' | 'ssh' | 'git' | 'file';
  /** With its password, if the address has one; empty: it names nobody. */
  user: string;
  /** In small letters; of a folder empty. */
  host: string;
  port: string;
  path: string;
}

const ports = { https: '443', http: '80', ssh: '22', git: '9418', file: '' };
const host = /[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]/.source;
const full = new RegExp(
  `^(https?|ssh|git|git\\+ssh|ssh\\+git)://(?:([^/@]*)@)?(${host})(?::(\\d{1,5}))?(/[^?#]*)?$`,
);
const short = new RegExp(`^(?:([^/@:]+)@)?(${host}):(?!:|//)(.*)$`);
// What one program takes for a part of a path, and another for the way out of it.
const ambiguous = /(^|\/)(\.|%2e){1,2}(\/|$)|%2f|%5c|%00/i;

/** @returns undefined for what is no address, or one that git and a server may read differently. */
export function addressOf(url: string): GitAddress | undefined {
  if (/^-|[\\\u0000-\u001f\u007f]/.test(url)) return undefined;
  if (/^(file:\/\/)?\//.test(url)) {
    const path = url.startsWith('/') ? url : decoded(url.slice('file://'.length));
    return path === undefined ? undefined : { scheme: 'file', user: '', host: '', port: '', path };
  }
  if (url.includes(' ') || ambiguous.test(url)) return undefined;
  const [, named, user = '', at, port, path = '/'] = full.exec(url) ?? [];
  if (at) {
    const scheme = named!.includes('ssh') ? 'ssh' : (named as 'https' | 'http' | 'git');
    return { scheme, user, host: at.toLowerCase(), port: port ?? ports[scheme], path };
  }
  const [, login = '', server, below = ''] = short.exec(url) ?? [];
  if (!server) return undefined;
  // Without a slash it begins in the home of whoever logs in, which has a form of its own in a full address.
  const from = below.startsWith('/') ? below : `/~/${below}`;
  return { scheme: 'ssh', user: login, host: server.toLowerCase(), port: ports.ssh, path: from };
}

function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** A path, relative or not; anything else is reached by a protocol. */
export const isPath = (repository: string): boolean =>
  !/^[a-z+]+:\/\//i.test(repository) && !/^[^/]+:/.test(repository);

const trimmed = (path: string) => path.replace(/\/+$/, '');

/** Whether an address begins with another, part by part. Who logs in counts separately. */
export const liesBelow = (address: GitAddress, place: GitAddress): boolean =>
  address.scheme === place.scheme &&
  address.host === place.host &&
  address.port === place.port &&
  `${trimmed(address.path)}/`.startsWith(`${trimmed(place.path)}/`);

/** The same repository, however one logs in, and whichever of its names and services is asked for. */
export const isSameRepository = (one: GitAddress, other: GitAddress): boolean =>
  one.host === other.host && nameOf(one) === nameOf(other);
const nameOf = ({ path }: GitAddress) =>
  trimmed((decoded(path) ?? path).replace(/^\/~\//, '/').replaceAll(/\/{2,}/g, '/'))
    .toLowerCase()
    .replace(/\/info\/lfs$/, '')
    .replace(/\/?\.git$/, '');

/** For people: without a password, and as it can be written into the targets file. */
export function addressText({ scheme, user, host: at, port, path }: GitAddress): string {
  if (scheme === 'file') return path;
  const [login] = user.split(':');
  return `${scheme}://${login ? `${login}@` : ''}${at}${port === ports[scheme] ? '' : `:${port}`}${path}`;
}
