import { isUtf8 } from 'node:buffer';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, readlink, realpath, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, posix, relative, resolve, sep, win32 } from 'node:path';
import { Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { create, extract, list, type ReadEntry } from 'tar';
import { verdict } from './causes';
import { printable } from '../domain/printable';
import { sentences } from '../domain/sentences';

const run = promisify(execFile);

/** Archives of releases: canonical ones, so that equal content has an equal digest. */
export interface Packed {
  sha256: string;
  bytes: number;
  entries: number;
}

/**
 * Packs a folder so that equal content gives equal bytes: sorted names, no owners, no times; modes without what group
 * and others could write, so that nobody's umask counts and what is private stays private.
 * @throws when it holds a link that leaves the folder or leads nowhere, something that is neither file, folder nor
 * link, or more than so many bytes.
 */
export async function packCanonical(folder: string, file: string, maxBytes = Infinity): Promise<Packed> {
  const root = await realpath(folder);
  const names = await contentsOf(root, setMode);
  if (names.length > maxEntries) throw new Error(`it holds more than ${maxEntries} entries`);
  return packNames(root, names, file, maxBytes);
}

/** Whether a folder, packed, would be this release. Nothing in it is changed. */
export async function isRelease(folder: string, digest: string): Promise<boolean> {
  try {
    const root = await realpath(folder);
    const names = await contentsOf(root, (path, mode, found) => {
      if (mode !== found) throw new Error(`${path} has another mode`);
    });
    return (await packNames(root, names, undefined)).sha256 === digest;
  } catch {
    return false;
  }
}

const packNames = (root: string, names: string[], file: string | undefined, maxBytes = Infinity) =>
  pack(
    file,
    { cwd: root, mtime: new Date(0), portable: true, noDirRecurse: true },
    // tar takes @name as the name of an archive whose entries it is to include.
    names.map((name) => (name.startsWith('@') ? `./${name}` : name)),
    maxBytes,
  );

const maxEntries = 500_000;

async function pack(
  file: string | undefined,
  options: Parameters<typeof create>[0],
  names: string[],
  maxBytes = Infinity,
): Promise<Packed> {
  if (file) await mkdir(dirname(file), { recursive: true });
  const hash = createHash('sha256');
  let bytes = 0;
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes > maxBytes) done(new Error(`it is larger than ${maxBytes} bytes`));
      else done(null, chunk);
    },
  });
  let entries = 0;
  // Hard links are stored as the files they are: which names share an inode is no content.
  const linkCache = { get: () => undefined, set: () => undefined } as never;
  const source = create(
    { ...options, file: undefined, strict: true, linkCache, onWriteEntry: () => void entries++ } as never,
    names,
  );
  const sink = file
    ? createWriteStream(file, { mode: 0o600 })
    : new Writable({ write: (_chunk, _encoding, done) => done() });
  await pipeline(source as unknown as NodeJS.ReadableStream, meter, sink);
  if (file) await syncPath(file);
  return { sha256: hash.digest('hex'), bytes, entries };
}

/** Both as `realpath` gives them. */
export const isInside = (folder: string, path: string) => path === folder || path.startsWith(folder + sep);

/** Modes that a release keeps; its owner can always read it, and take it away again. */
const modeOf = (mode: number, isFolder: boolean) => (mode | (isFolder ? 0o700 : 0o600)) & 0o755;
const setMode = (path: string, mode: number, found: number) =>
  mode === found ? undefined : chmod(path, mode);

/** Archives leave out such a beginning on every system, so that it would be unpacked by another name, or not at all. */
const leavesWindows = (path: string) => win32.parse(path).root !== '';
const asWindowsDoes = 'begins as a path of Windows does (a letter and a colon, or a backslash)';
const unfit = (why: string) => `has a name that ${why}; a release cannot keep it, so rename it`;

/**
 * The names of all that a release holds, sorted.
 * @param root as `realpath` gives it.
 * @param see gets each file and folder, the mode it has to have, and the one it has.
 * @throws when no release may hold one of them.
 */
export async function contentsOf(
  root: string,
  see: (path: string, mode: number, found: number) => Promise<void> | void = () => undefined,
): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const raw of await readdir(folder, { encoding: 'buffer' })) {
      const name = raw.toString();
      const path = join(folder, name);
      // Read as text it would name another file.
      if (!isUtf8(raw)) throw new Error(`${printable(relative(root, path))} ${unfit('is not UTF-8')}`);
      const stat = await lstat(path);
      const shown = relative(root, path);
      if (leavesWindows(shown)) throw new Error(`${printable(shown)} ${unfit(asWindowsDoes)}`);
      found.push(shown.split(sep).join(posix.sep));
      if (stat.isSymbolicLink()) {
        const link = await readlink(path);
        // Where it really leads, through every other link on its way; an absolute one would lead back to the workspace.
        const to = await realpath(path).catch(() => undefined);
        const named = isInside(root, resolve(folder, link)) && !isAbsolute(link);
        if (!named || (to !== undefined && !isInside(root, to)))
          throw new Error(`${shown} is a link that leaves the release`);
        if (to === undefined) throw new Error(`${shown} is a link that leads nowhere`);
        if (leavesWindows(link))
          throw new Error(
            `${printable(shown)} is a link to ${printable(link)}, which ${unfit(asWindowsDoes)}`,
          );
      } else if (stat.isDirectory()) {
        await see(path, modeOf(stat.mode, true), stat.mode & 0o7777);
        await walk(path);
      } else if (stat.isFile()) await see(path, modeOf(stat.mode, false), stat.mode & 0o7777);
      else throw new Error(`${shown} is neither a file, a folder nor a link`);
    }
  };
  await walk(root);
  return found.sort();
}

/** Reads an archive back: its digest and size, and that every entry in it is whole. */
export async function readBack(file: string): Promise<Packed> {
  let entries = 0;
  await list({ file, strict: true, onReadEntry: () => void entries++ });
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { sha256: hash.digest('hex'), bytes, entries };
}

/**
 * Unpacks a release into an empty folder, with the modes that stand in it.
 * @throws a verdict when it holds what packing refuses: an archive that something else wrote.
 */
export async function unpack(file: string, folder: string): Promise<void> {
  const refused: string[] = [];
  const modes = new Map<string, number>();
  const filter = (_path: string, found: unknown) => {
    const entry = found as ReadEntry;
    const why = whyRefused(entry);
    if (why) refused.push(why);
    modes.set(posix.join('.', entry.path, '.'), entry.mode ?? 0);
    return !why;
  };
  const refuse = (why: string) =>
    verdict('ReleaseRefused', sentences(`The archive ${file} is no release: ${why}`, 'Build it again'));
  await extract({ file, cwd: folder, strict: true, preserveOwner: false, filter });
  if (refused.length > 0) throw refuse(refused[0]!);
  await chmod(folder, 0o755);
  const root = await realpath(folder);
  // Whatever the umask; and links that only leave by way of others are found now, where they can be followed.
  const asPacked = (path: string, mode: number, found: number) =>
    setMode(path, modes.get(relative(root, path)) ?? mode, found);
  await contentsOf(root, asPacked).catch((thrown: Error) => {
    throw thrown.message.includes(' is a link that leaves ') ? refuse(thrown.message) : thrown;
  });
}

const leaves = (path: string) => isAbsolute(path) || /^\.\.(\/|$)/.test(posix.normalize(path));

function whyRefused({ path, type, mode, linkpath }: ReadEntry): string | undefined {
  if (leaves(path)) return `${path} leaves the release`;
  if (type === 'SymbolicLink') {
    const to = linkpath ?? '';
    return isAbsolute(to) || leaves(posix.join(posix.dirname(path), to))
      ? `${path} is a link that leaves the release`
      : undefined;
  }
  if (type === 'File' || type === 'OldFile')
    return (mode ?? 0) & 0o6000 ? `${path} runs as whoever owns it (setuid or setgid)` : undefined;
  return type === 'Directory' ? undefined : `${path} is neither a file, a folder nor a link`;
}

/** Moves a finished file or folder to its name and makes the name durable. */
export async function settle(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rename(from, to);
  await syncPath(dirname(to));
}

export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes a folder with all that is in it, whatever a build made there. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    if (!['ENAMETOOLONG', 'EACCES', 'EPERM'].includes(code)) throw thrown;
    // Nested deeper than a path can be long, or closed even to its owner: these two walk from folder to folder.
    await run('chmod', ['-R', 'u+rwX', '--', path]).catch(() => undefined);
    await run('rm', ['-rf', '--', path]);
  }
}
