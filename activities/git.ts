import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { distance } from 'fastest-levenshtein';
import { printable } from '../domain/printable';
import { mostCommits, type Comparison } from '../domain/comparison';
import { SignalboxError } from '../domain/errors';

/**
 * Reads a target's repository through a mirror of its own. Nothing from the repository runs: hooks are off,
 * submodules are off, the `ext` protocol is off. The operator's own git configuration (credentials, proxies)
 * stays in force.
 */
export interface Source {
  /** @returns the commit a revision names. @throws unknown-revision with the nearest names; repository-unreachable. */
  resolve(target: string, repository: string, revision: string): Promise<string>;
  /** What `to` brings over `from`; over nothing when that is null or not in the repository any more. */
  compare(target: string, repository: string, from: string | null, to: string): Promise<Comparison>;
  /** Checks a commit out into an empty folder. */
  checkout(
    target: string,
    repository: string,
    commit: string,
    folder: string,
    signal?: AbortSignal,
  ): Promise<void>;
}

const harmless = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['submodule.recurse', 'false'],
  ['protocol.ext.allow', 'never'],
  ['advice.detachedHead', 'false'],
  ['gc.auto', '0'],
  // The operator names the repository in the targets file; whose files they are does not matter for reading.
  ['safe.directory', '*'],
].flatMap(([key, value]) => ['-c', `${key}=${value}`]);

/** What git and its helpers may need; nothing else of this process is theirs. */
const passed =
  /^(PATH|HOME|USER|LOGNAME|LANG|TMPDIR|SSH_AUTH_SOCK|XDG_CONFIG_HOME|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

/** URLs without user and password. */
export const withoutUserinfo = (text: string): string => text.replace(/:\/\/[^\s/@'"]*@/g, '://');

export class GitError extends Error {
  readonly stderr: string;
  constructor(args: string[], stderr: string) {
    // A repository's address may carry a password.
    super(withoutUserinfo(`git ${args.join(' ')} failed: ${stderr.trim() || 'no message'}`));
    this.stderr = withoutUserinfo(stderr);
  }
}

export async function git(args: string[], signal?: AbortSignal): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => passed.test(name)));
  const child = spawn('git', [...harmless, ...args], {
    env: { ...env, GIT_TERMINAL_PROMPT: '0', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
  });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new GitError(args, err);
  return out;
}

/** What the database and a terminal can hold. */
const plain = (text: string) => printable(text).replaceAll('\0', '').toWellFormed();

/** Whoever commits chooses the time, and may choose any: one that a calendar has. */
const instant = (seconds: number) =>
  new Date(Math.min(Math.max(seconds, 0), 253_402_300_799) * 1000).toISOString();

/** @param folder where the mirrors lie; one process at a time may own it. */
export function createSource(folder: string): Source {
  const queues = new Map<string, Promise<unknown>>();
  // Two fetches into one mirror would fight for its locks.
  const inTurn = <T>(target: string, work: () => Promise<T>): Promise<T> => {
    const turn = (queues.get(target) ?? Promise.resolve()).then(work, work);
    queues.set(target, turn);
    return turn;
  };
  const mirrorOf = (target: string) => join(folder, `${target}.git`);

  const update = async (target: string, repository: string): Promise<string> => {
    const mirror = mirrorOf(target);
    await mkdir(folder, { recursive: true });
    await git(['init', '--quiet', '--bare', mirror]);
    try {
      await git([
        '--git-dir',
        mirror,
        'fetch',
        '--quiet',
        '--prune',
        '--no-recurse-submodules',
        '--force',
        '--',
        repository,
        '+refs/heads/*:refs/heads/*',
        '+refs/tags/*:refs/tags/*',
      ]);
    } catch (thrown) {
      if (!(thrown instanceof GitError)) throw thrown;
      throw new SignalboxError(
        'repository-unreachable',
        `The repository of ${target} could not be read. Correct "repository" in the targets file or make it reachable. git says: ${thrown.stderr.trim()}`,
      );
    }
    return mirror;
  };

  const lookUp = async (mirror: string, revision: string): Promise<string | undefined> => {
    try {
      const found = await git([
        '--git-dir',
        mirror,
        'rev-parse',
        '--verify',
        '--quiet',
        '--end-of-options',
        `${revision}^{commit}`,
      ]);
      return found.trim();
    } catch (thrown) {
      if (thrown instanceof GitError) return undefined;
      throw thrown;
    }
  };

  return {
    resolve: (target, repository, revision) =>
      inTurn(target, async () => {
        const mirror = await update(target, repository);
        const commit = await lookUp(mirror, revision);
        if (commit) return commit;
        const names = (await git(['--git-dir', mirror, 'for-each-ref', '--format=%(refname:short)']))
          .split('\n')
          .filter(Boolean);
        const nearest = names
          .map((name) => ({ name, far: distance(name, revision) }))
          .sort((a, b) => a.far - b.far || a.name.localeCompare(b.name))
          .slice(0, 5)
          .map(({ name }) => name);
        throw new SignalboxError(
          'unknown-revision',
          `The repository of ${target} has no revision "${revision}". ${nearest.length > 0 ? `Nearest: ${nearest.join(', ')}.` : 'It has no branch and no tag yet.'}`,
          { nearest },
        );
      }),
    compare: (target, repository, from, to) =>
      inTurn(target, async () => {
        const mirror = mirrorOf(target);
        if (!(await lookUp(mirror, to))) await update(target, repository);
        const at = ['--git-dir', mirror];
        const base = from === null ? undefined : await lookUp(mirror, from);
        const log = await git([
          ...at,
          'log',
          `--max-count=${mostCommits}`,
          '--format=%H%x1f%an%x1f%ct%x1f%s%x1e',
          base ? `${base}..${to}` : to,
          '--',
        ]);
        const emptyTree = (await git([...at, 'hash-object', '-t', 'tree', '/dev/null'])).trim();
        const stat = await git([
          ...at,
          'diff',
          '--numstat',
          '-z',
          '--no-renames',
          '--no-ext-diff',
          '--no-textconv',
          base ?? emptyTree,
          to,
          '--',
        ]);
        const commits = log
          .split('\x1e')
          .map((row) => row.trim().split('\x1f'))
          .filter((row) => row.length === 4)
          .map(([commit, author, seconds, subject]) => ({
            commit: commit!,
            author: plain(author!).slice(0, 200),
            subject: plain(subject!).slice(0, 500),
            committedAt: instant(Number(seconds)),
          }));
        const files = stat
          .split('\0')
          .filter(Boolean)
          .map((row) => row.split('\t'))
          // A binary file has no lines.
          .map(([added, removed, ...path]) => ({
            path: plain(path.join('\t')),
            added: Number(added) || 0,
            removed: Number(removed) || 0,
          }));
        const size = (file: { added: number; removed: number }) => file.added + file.removed;
        return {
          commits,
          files: files.sort((a, b) => size(b) - size(a) || (a.path < b.path ? -1 : 1)),
          lines: files.reduce((sum, file) => sum + size(file), 0),
        };
      }),
    checkout: (target, repository, commit, into, signal) =>
      inTurn(target, async () => {
        const mirror = mirrorOf(target);
        if (!(await lookUp(mirror, commit))) await update(target, repository);
        await rm(into, { recursive: true, force: true });
        await git(['init', '--quiet', '--template=', into], signal);
        await git(['-C', into, 'fetch', '--quiet', '--depth=1', '--no-tags', mirror, commit], signal);
        await git(['-C', into, 'checkout', '--quiet', '--force', '--detach', commit], signal);
      }),
  };
}
