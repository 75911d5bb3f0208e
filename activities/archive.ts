import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, readlink, realpath, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { create, extract, list } from 'tar';

/** Archives: canonical ones for releases (equal content, equal digest) and compressed ones for backups. */
export interface Packed {
  sha256: string;
  bytes: number;
  entries: number;
}

/**
 * Packs a folder so that equal content gives equal bytes: sorted names, no owners, no times, modes 0644/0755.
 * @throws when it holds a link that leaves the folder or leads nowhere, something that is neither file, folder nor
 * link, or more than so many bytes.
 */
export async function packCanonical(folder: string, file: string, maxBytes = Infinity): Promise<Packed> {
  const root = await realpath(folder);
  const names = (await normalised(root, root)).sort();
  if (names.length > maxEntries) throw new Error(`it holds more than ${maxEntries} entries`);
  return pack(file, { cwd: root, mtime: new Date(0), portable: true, noDirRecurse: true }, names, maxBytes);
}

/** Packs paths with owners and times as they are, compressed. */
export const packPaths = (paths: string[], file: string): Promise<Packed> =>
  pack(
    file,
    { cwd: '/', gzip: { level: 1 } },
    paths.map((path) => relative('/', resolve(path))),
  );

const maxEntries = 500_000;

async function pack(
  file: string,
  options: Parameters<typeof create>[0],
  names: string[],
  maxBytes = Infinity,
): Promise<Packed> {
  await mkdir(dirname(file), { recursive: true });
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
  await pipeline(source as unknown as NodeJS.ReadableStream, meter, createWriteStream(file, { mode: 0o600 }));
  await syncPath(file);
  return { sha256: hash.digest('hex'), bytes, entries };
}

/** Both as `realpath` gives them. */
export const isInside = (folder: string, path: string) => path === folder || path.startsWith(folder + sep);

async function normalised(root: string, folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const stat = await lstat(path);
    found.push(relative(root, path).split(sep).join(posix.sep));
    if (stat.isSymbolicLink()) {
      const link = await readlink(path);
      // Where it really leads, through every other link on its way; an absolute one would lead back to the workspace.
      const to = await realpath(path).catch(() => undefined);
      const named = isInside(root, resolve(folder, link)) && !isAbsolute(link);
      if (!named || (to !== undefined && !isInside(root, to)))
        throw new Error(`${relative(root, path)} is a link that leaves the release`);
      if (to === undefined) throw new Error(`${relative(root, path)} is a link that leads nowhere`);
    } else if (stat.isDirectory()) {
      await chmod(path, 0o755);
      found.push(...(await normalised(root, path)));
    } else if (stat.isFile()) await chmod(path, stat.mode & 0o100 ? 0o755 : 0o644);
    else throw new Error(`${relative(root, path)} is neither a file, a folder nor a link`);
  }
  return found;
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

export const unpack = (file: string, folder: string, owners = false): Promise<void> =>
  extract({ file, cwd: folder, strict: true, preserveOwner: owners });

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

export const removeTree = (path: string) => rm(path, { recursive: true, force: true, maxRetries: 3 });
