import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isInside } from './archive';
import { git, GitError, type GitOptions } from './git-command';

/** Repositories in folders of this host, which can be more than what lies there. */

/** As it is when it is not there. */
export const real = (path: string) => realpath(path).catch(() => path);

/** As git looks for it: with and without its ending. */
export async function repositoryAt(path: string): Promise<string | undefined> {
  const at = [path, `${path}.git`].find((folder) =>
    // As it is written: what is left out of `x/..` may not be there.
    ['.git', 'HEAD'].some((part) => existsSync(`${folder}/${part}`)),
  );
  return at === undefined ? undefined : realpath(at);
}

/** Why a repository may be more than what lies in its folder, which could be anything of this host; undefined: it is not. */
export async function whyNotItself(path: string, options: GitOptions): Promise<string | undefined> {
  if (heldByAnother(path)) return 'which is made of files that another repository holds';
  const said = await git(['-C', path, 'rev-parse', '--git-common-dir'], options).catch((thrown: unknown) => {
    if (!(thrown instanceof GitError) || thrown.code === null) throw thrown;
    return undefined;
  });
  if (said === undefined) return 'which git cannot read';
  const folder = await realpath(resolve(path, said.replace(/\n$/, '')));
  if (!isInside(path, folder)) return `whose files lie in ${folder}`;
  if (existsSync(join(folder, 'objects/info/alternates')))
    return 'which borrows objects from another repository (objects/info/alternates)';
  const [link] = await filesIn(folder, ['-type', 'l', '-print0', '-quit']);
  return link === undefined ? undefined : `in which ${link} is a link`;
}

/**
 * A bare repository below a folder in which another one is checked out may be made of files that somebody committed there. No
 * commit can hold what is called `.git`.
 */
function heldByAnother(path: string): boolean {
  if (existsSync(join(path, '.git')) || path.split('/').includes('.git')) return false;
  for (let above = dirname(path); ; above = dirname(above)) {
    if (existsSync(join(above, '.git'))) return true;
    if (basename(above) === '') return false;
  }
}

const run = promisify(execFile);
/** @param what of them, and how they are printed, as `find` takes it. */
export async function filesIn(folder: string, what: string[]): Promise<string[]> {
  const { stdout } = await run('find', [folder, ...what], { maxBuffer: 67_108_864 });
  return stdout.split('\0').filter(Boolean);
}
