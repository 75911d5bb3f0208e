import { printable } from '../domain/printable';
import { mostCommits, type Comparison } from '../domain/comparison';
import { badInput, SignalboxError } from '../domain/errors';
import { fit } from '../domain/input';
import { nearestOf } from '../domain/nearest';
import { progressText, type MirrorProgress } from '../domain/mirror';
import { isHash, isWholeHash, revisionForm, whyNoRevision } from '../domain/revision';
import { sentences } from '../domain/sentences';
import { checkOut } from './checkout';
import { defaultStallMs, git, GitError, GitHung } from './git-command';
import { createMirrors } from './mirrors';
import type { Origin } from './origins';

export { git, GitError, withoutUserinfo } from './git-command';

/** Reads a target's repository through a mirror of its own. Nothing from the repository runs. */
export interface Source {
  /**
   * @param since the repository is read as it stood then (`performance.now()`) or later; left out: now.
   * @returns the commit a revision names.
   * @throws unknown-revision with the nearest names; repository-unreachable; invalid-input.
   */
  resolve(target: string, repository: string, revision: string, since?: number): Promise<string>;
  /**
   * Copies the repository, or what is new in it; when that takes longer than `patienceMs` it goes on by itself.
   * @returns how far it is, undefined when it is done. @throws repository-unreachable.
   */
  mirror(
    target: string,
    repository: string,
    asked: { since: number; patienceMs: number },
  ): Promise<MirrorProgress | undefined>;
  /** What `to` brings over `from`; over nothing when that is null or not in the repository any more. */
  compare(target: string, repository: string, from: string | null, to: string): Promise<Comparison>;
  /** Checks a commit out into an empty folder, with its submodules and what Git LFS keeps, from where its target lets them come from. @throws commit-gone; not-whole; repository-unreachable. */
  checkout(origin: Origin, commit: string, folder: string, signal?: AbortSignal): Promise<void>;
  /** Ends what runs. */
  close(): Promise<void>;
}

/** What the database and a terminal can hold. */
const plain = (text: string) => printable(fit(text));

/** Whoever commits chooses the time, and may choose any: one that a calendar has. */
const instant = (seconds: number) =>
  new Date(Math.min(Math.max(seconds, 0), 253_402_300_799) * 1000).toISOString();

const lookUpMs = 30_000;
const compareMs = 50_000;
const comparePatienceMs = 5_000;
/** More names are not searched for the nearest. */
const mostNames = 2_000;

/**
 * @param folder where the mirrors lie; one process at a time may own it.
 * @param limits.stallMs a remote that is silent for so long is given up.
 */
export function createSource(folder: string, limits: { stallMs?: number } = {}): Source {
  const { stallMs = defaultStallMs } = limits;
  const mirrors = createMirrors(folder, stallMs);

  /** What git answers to a question; undefined: it says no. */
  const asked = async (mirror: string, args: string[], signal?: AbortSignal): Promise<string | undefined> => {
    try {
      return (await git(['--git-dir', mirror, ...args], { signal, limitMs: lookUpMs })).trim();
    } catch (thrown) {
      // One that a signal ended did not look.
      if (thrown instanceof GitError && thrown.code !== null) return undefined;
      throw thrown;
    }
  };
  /** @param hash of a commit, or of a tag's object; its first digits do. */
  const lookUp = (mirror: string, hash: string, signal?: AbortSignal) =>
    asked(mirror, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${hash}^{commit}`], signal);
  /** The commit that a tag, a branch or a hash names. Git's own look-up also takes files of the mirror and expressions. */
  const commitNamed = async (mirror: string, revision: string): Promise<string | undefined> => {
    if (isWholeHash(revision)) return lookUp(mirror, revision);
    const full = /^(refs\/)?(tags|heads)\//.exec(revision);
    const refs = [
      ...(full ? [full[1] ? revision : `refs/${revision}`] : []),
      `refs/tags/${revision}`,
      `refs/heads/${revision}`,
    ];
    for (const ref of refs) {
      const hash = await asked(mirror, ['show-ref', '--verify', '--hash', '--', ref]);
      if (hash) return lookUp(mirror, hash);
    }
    return isHash(revision) ? lookUp(mirror, revision) : undefined;
  };
  /** @returns the mirror, which holds the commit. @throws commit-gone; repository-unreachable. */
  const mirrorWith = async (target: string, repository: string, commit: string, signal?: AbortSignal) => {
    const mirror = mirrors.of(target);
    if (await lookUp(mirror, commit, signal)) return mirror;
    await mirrors.update(target, repository, performance.now(), signal);
    if (await lookUp(mirror, commit, signal)) return mirror;
    throw commitGone(target, commit);
  };
  const commitGone = (target: string, commit: string) =>
    new SignalboxError(
      'commit-gone',
      `The repository of ${target} no longer has commit ${commit}: its branch was deleted or force-pushed. Ship the revision again, or push the commit back and retry.`,
    );

  /** A git that takes too long over what somebody asked is a verdict for them, and no fault of Signalbox. */
  const inTime = async <T>(target: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof GitHung)) throw thrown;
      throw new SignalboxError(
        'repository-unreachable',
        sentences(
          `The repository of ${target} could not be read in time: ${thrown.stderr}`,
          'Try again; when it stays so, ship a smaller change',
        ),
      );
    }
  };

  return {
    mirror: (target, repository, { since, patienceMs }) =>
      mirrors.begin(target, repository, since, patienceMs),
    close: () => mirrors.close(),
    async resolve(target, repository, revision, since = performance.now()) {
      const why = whyNoRevision(revision);
      if (why) throw badInput(`"${plain(revision)}" ${why}; ${revisionForm}.`);
      const mirror = mirrors.of(target);
      await mirrors.update(target, repository, since);
      const commit = await inTime(target, () => commitNamed(mirror, revision));
      if (commit) return commit;
      const newest = ['--sort=-creatordate', `--count=${mostNames}`, '--format=%(refname:short)'];
      const names = (await git(['--git-dir', mirror, 'for-each-ref', ...newest])).split('\n').filter(Boolean);
      const nearest = nearestOf(names, revision, 5);
      throw new SignalboxError(
        'unknown-revision',
        `The repository of ${target} has no revision "${revision}". ${nearest.length > 0 ? `Nearest: ${nearest.join(', ')}.` : 'It has no branch and no tag yet.'}`,
        { nearest },
      );
    },
    async compare(target, repository, from, to) {
      const mirror = mirrors.of(target);
      if (!(await lookUp(mirror, to))) {
        const left = await mirrors.begin(target, repository, performance.now(), comparePatienceMs);
        if (left)
          throw new SignalboxError(
            'repository-being-copied',
            `The repository of ${target} is being copied: ${progressText(left)}. Try again in a moment.`,
          );
        if (!(await lookUp(mirror, to))) throw commitGone(target, to);
      }
      const limited = { limitMs: compareMs };
      const at = ['--git-dir', mirror];
      const base = from === null ? undefined : await lookUp(mirror, from);
      const [log, stat] = await inTime(target, async () => {
        const range = base ? `${base}..${to}` : to;
        const format = ['--format=%H%x1f%an%x1f%ct%x1f%s%x1e', `--max-count=${mostCommits}`];
        const commits = await git([...at, 'log', ...format, range, '--'], limited);
        const emptyTree = (await git([...at, 'hash-object', '-t', 'tree', '/dev/null'])).trim();
        const plainly = ['--numstat', '-z', '--no-renames', '--no-ext-diff', '--no-textconv'];
        return [
          commits,
          await git([...at, 'diff', ...plainly, base ?? emptyTree, to, '--'], limited),
        ] as const;
      });
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
    },
    async checkout(origin, commit, into, signal) {
      const mirror = await mirrorWith(origin.name, origin.repository, commit, signal);
      await checkOut({ mirror, commit, origin }, into, { signal, stallMs, mark: into });
    },
  };
}
