import { createHash, type Hash } from 'node:crypto';
import { constants, createWriteStream, type Stats } from 'node:fs';
import { lstat, mkdir, open, readdir, readlink, realpath, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Header, Pax } from 'tar';
import { isInside, syncPath } from '../archive';
import { verdict } from '../step';
import { end, head, leftover, nameOf, textOf, within } from './entries';
import { mountsIn } from './mounts';
import { sentences } from '../../domain/sentences';

/** A path of the targets file: where it really is, and the links by which it leads there, the first one first. */
export interface DataPath {
  named: string;
  real: string;
  links: { path: string; to: string }[];
}
/** What was packed: of each name what it has to be again, in one line. */
export type Listing = Map<string, string>;
export interface PackedData {
  sha256: string;
  bytes: number;
  listing: Listing;
  /** Bytes of all files, unpacked. */
  size: number;
  /** In plain words, what was left out. */
  leftOut: string[];
}

/**
 * @param room where backups lie.
 * @throws a verdict when one of the paths is not there, or holds the backups themselves.
 */
export async function dataPaths(paths: string[], room: string): Promise<DataPath[]> {
  const found: DataPath[] = [];
  for (const named of paths.map((path) => resolve(path))) {
    const real = await realpath(named).catch((thrown: NodeJS.ErrnoException) => {
      if (!['ENOENT', 'ELOOP', 'ENOTDIR', 'EACCES'].includes(thrown.code ?? '')) throw thrown;
      throw refuse(`Data path ${named} does not exist or leads nowhere; create it or correct backup.paths`);
    });
    if (isInside(real, await realpath(room)))
      throw refuse(
        `Data path ${named} holds the backups themselves (${room}): each would hold all before it, and restoring one would remove them. Correct backup.paths or move Signalbox's state`,
      );
    const readOnly = mountsIn(real).find((mount) => mount.readOnly);
    if (readOnly)
      throw refuse(
        `${readOnly.place} is mounted read-only, so a restore could not write there. Take it out of backup.paths, or mount it elsewhere`,
      );
    found.push({ named, real, links: await linksOf(named) });
  }
  return found;
}
async function linksOf(named: string): Promise<DataPath['links']> {
  const links: DataPath['links'] = [];
  for (let at = named; ;) {
    const path = join(await realpath(dirname(at)), basename(at));
    if (!(await lstat(path)).isSymbolicLink()) return links;
    const to = await readlink(path);
    links.push({ path, to });
    at = resolve(dirname(path), to);
  }
}
/** Those that lie in no other. */
export const rootsOf = (paths: DataPath[]): string[] => {
  const reals = [...new Set(paths.map(({ real }) => real))];
  return reals.filter((real) => !reals.some((other) => other !== real && isInside(other, real)));
};

const refuse = (why: string) => verdict('BackupFailed', sentences(why, 'Nothing was changed'));

/**
 * Packs paths as they are found, with owners and times. What is written meanwhile fails nothing: of a file that grows
 * what it held when it was opened is packed, of one that shrinks what was still there; what vanishes is left out.
 * @throws a verdict that names what cannot be backed up.
 */
export async function packData(paths: DataPath[], file: string, signal?: AbortSignal): Promise<PackedData> {
  await mkdir(dirname(file), { recursive: true });
  const packed: PackedData = { sha256: '', bytes: 0, listing: new Map(), size: 0, leftOut: [] };
  const hash = createHash('sha256');
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      packed.bytes += chunk.length;
      done(null, chunk);
    },
  });
  const sink = createWriteStream(file, { mode: 0o600 });
  await pipeline(blocksOf(paths, packed), createGzip({ level: 1 }), meter, sink, { signal });
  await syncPath(file);
  return Object.assign(packed, { sha256: hash.digest('hex') });
}

async function* blocksOf(paths: DataPath[], packed: PackedData): AsyncGenerator<Buffer> {
  const shorter: Record<string, { size: number; mtime: number }> = {};
  yield* json(head, { format: 2, paths });
  for (const root of rootsOf(paths)) {
    yield* entry(Buffer.from(root), nameOf(root), packed, shorter);
    if (!packed.listing.has(nameOf(root)))
      throw refuse(`${root} is neither a file nor a folder, or vanished while it was read`);
  }
  yield* json(end, { shorter });
  yield Buffer.alloc(1024);
}

function* json(path: string, value: object): Generator<Buffer> {
  const body = Buffer.from(JSON.stringify(value));
  yield* header({ path, type: 'File', mode: 0o600, size: body.length, mtime: new Date() });
  yield body;
  yield padding(body.length);
}
function* header(fields: object): Generator<Buffer> {
  const made = new Header(fields as never);
  if (made.encode()) yield new Pax(fields as never).encode();
  yield made.block!;
}
const padding = (size: number) => Buffer.alloc((512 - (size % 512)) % 512);

async function* entry(
  path: Buffer,
  name: string,
  packed: PackedData,
  shorter: Record<string, { size: number; mtime: number }>,
): AsyncGenerator<Buffer> {
  // What vanishes between being listed and being read is no longer data; what becomes something else is looked at again.
  const absent = (thrown: unknown) => gone(thrown, path);
  const stat = await lstat(path).catch(absent);
  if (!stat) return;
  const about = { path: name, ...ownedBy(stat) };
  if (stat.isDirectory()) {
    const names = await readdir(path, { encoding: 'buffer' }).catch(absent);
    if (!names) return;
    packed.listing.set(name, lineOf(stat, 'folder'));
    yield* header({ ...about, path: `${name}/`, type: 'Directory', size: 0 });
    for (const below of names.sort(Buffer.compare))
      if (!leftover.test(below.toString()))
        yield* entry(within(path, below), `${name}/${textOf(below)}`, packed, shorter);
  } else if (stat.isSymbolicLink()) {
    const to = await readlink(path, { encoding: 'buffer' }).catch(absent);
    if (!to) return;
    packed.listing.set(name, lineOf(stat, 'link', textOf(to)));
    yield* header({ ...about, type: 'SymbolicLink', size: 0, linkpath: textOf(to) });
  } else if (stat.isFile()) {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(absent);
    try {
      const opened = await handle?.stat();
      if (opened?.isFile()) yield* content(handle!, opened, name, packed, shorter);
      else yield* entry(path, name, packed, shorter);
    } finally {
      await handle?.close();
    }
  } else if (stat.isSocket()) packed.leftOut.push(`${path.toString()} (a socket, which holds no data)`);
  else
    throw refuse(
      `${path.toString()} is a ${stat.isFIFO() ? 'named pipe' : 'device'}, which no backup can put back. Remove it, or name in backup.paths what lies beside it`,
    );
}

async function* content(
  handle: FileHandle,
  stat: Stats,
  name: string,
  packed: PackedData,
  shorter: Record<string, { size: number; mtime: number }>,
): AsyncGenerator<Buffer> {
  yield* header({ path: name, ...ownedBy(stat), type: 'File', size: stat.size });
  const hash = createHash('sha256');
  let at = 0;
  while (at < stat.size) {
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.allocUnsafe(Math.min(262_144, stat.size - at)),
      position: at,
    });
    if (bytesRead === 0) break;
    at += bytesRead;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    yield chunk;
  }
  // The size stands before the content, so the rest is zeros, which the end of the archive says to cut off.
  if (at < stat.size) shorter[name] = { size: at, mtime: seconds(stat) };
  for (let rest = stat.size - at; rest > 0; rest -= 262_144) yield Buffer.alloc(Math.min(rest, 262_144));
  yield padding(stat.size);
  packed.size += at;
  packed.listing.set(name, lineOf(stat, 'file', contentLine(at, hash)));
}

const contentLine = (size: number, hash: Hash) => `${size} bytes, sha256 ${hash.digest('hex')}`;
const seconds = ({ mtimeMs }: Stats) => Math.floor(mtimeMs / 1000);
const ownedBy = (stat: Stats) => ({
  mode: stat.mode & 0o7777,
  uid: stat.uid,
  gid: stat.gid,
  mtime: new Date(seconds(stat) * 1000),
});
/** Links have modes of their own on some systems, and nobody asks for them. */
const lineOf = (stat: Stats, kind: string, what = '') =>
  `a ${kind} of ${stat.uid}:${stat.gid}, ${kind === 'link' ? '' : `mode ${(stat.mode & 0o7777).toString(8)}, `}time ${seconds(stat)} ${what}`.trim();

/** @throws a verdict when it may not be read, and every other error as it is. */
function gone(thrown: unknown, path: Buffer): undefined {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined;
  if (code === 'EACCES' || code === 'EPERM')
    throw refuse(
      `${path.toString()} cannot be read (${code}). Let whoever runs Signalbox read it, or take it out of backup.paths`,
    );
  if (code === 'ENAMETOOLONG') throw refuse(`${path.toString()} has too long a path to be backed up`);
  throw thrown;
}

/** What lies in a folder, in the same words as it was packed. */
export async function listingOf(place: Buffer, name: string, listing: Listing): Promise<void> {
  const stat = await lstat(place);
  if (stat.isDirectory()) {
    listing.set(name, lineOf(stat, 'folder'));
    for (const below of await readdir(place, { encoding: 'buffer' }))
      await listingOf(within(place, below), `${name}/${textOf(below)}`, listing);
  } else if (stat.isSymbolicLink())
    listing.set(name, lineOf(stat, 'link', textOf(await readlink(place, { encoding: 'buffer' }))));
  else {
    const hash = createHash('sha256');
    const handle = await open(place, 'r');
    try {
      for await (const chunk of handle.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
    } finally {
      await handle.close();
    }
    listing.set(name, lineOf(stat, 'file', contentLine(stat.size, hash)));
  }
}
