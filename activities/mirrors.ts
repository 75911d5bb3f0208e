import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignalboxError } from '../domain/errors';
import { isPath } from '../domain/git-address';
import { progressOf, type MirrorProgress } from '../domain/mirror';
import { copyLimitMs, git, GitError, whoseAdvice } from './git-command';
import { reap } from './process';

/**
 * Mirrors of the targets' repositories. One fetch at a time runs into a mirror; who asks meanwhile waits for it and
 * shares what it brings, if it began late enough for them. It ends when nothing moves any more, or when nobody wants
 * it. Reading a mirror needs no turn: nothing is ever removed from one, and git renames its files into place.
 */
export interface Mirrors {
  /** Where a target's mirror lies; it may not be there yet. */
  of(target: string): string;
  /**
   * Brings a mirror to how its repository stood at `since` or later.
   * @param since by this process's own clock (`performance.now()`).
   * @throws repository-unreachable; the signal's reason, at once.
   */
  update(target: string, repository: string, since: number, signal?: AbortSignal): Promise<void>;
  /** The same; when it takes longer than `patienceMs` it goes on, and how far it is is answered. */
  begin(
    target: string,
    repository: string,
    since: number,
    patienceMs: number,
  ): Promise<MirrorProgress | undefined>;
  /** Ends what runs. */
  close(): Promise<void>;
}

interface Fetch {
  repository: string;
  begunAt: number;
  /** How many wait for it and can still give it up. */
  wanted: number;
  abort: AbortController;
  /** Never rejects. */
  done: Promise<void>;
  ended: boolean;
  error?: unknown;
  progress: Omit<MirrorProgress, 'seconds'>;
}

/** @param folder one process at a time may own it. */
export function createMirrors(folder: string, stallMs: number): Mirrors {
  const latest = new Map<string, Fetch>();
  /** Those in which a fetch of this process ended well, so that no other one left anything there. */
  const tidy = new Set<string>();
  const closing = new AbortController();
  const of = (target: string) => join(folder, `${target}.git`);

  const begin = (target: string, repository: string): Fetch => {
    const fetch: Fetch = {
      repository,
      begunAt: performance.now(),
      wanted: 0,
      abort: new AbortController(),
      done: Promise.resolve(),
      ended: false,
      progress: { phase: 'Connecting to the repository', percent: null, received: null },
    };
    fetch.done = run(target, fetch)
      .catch((thrown: unknown) => void (fetch.error = thrown))
      .finally(() => void (fetch.ended = true));
    latest.set(target, fetch);
    return fetch;
  };

  const run = async (target: string, fetch: Fetch): Promise<void> => {
    const mirror = of(target);
    const signal = AbortSignal.any([fetch.abort.signal, closing.signal]);
    const options = { signal, stallMs, mark: mirror };
    await mkdir(folder, { recursive: true });
    if (!tidy.has(mirror)) await tidyUp(mirror);
    tidy.delete(mirror);
    await git(['init', '--quiet', '--bare', '--template=', mirror], { signal, mark: mirror });
    try {
      await git(
        [
          '--git-dir',
          mirror,
          'fetch',
          '--quiet',
          '--progress',
          '--prune',
          '--no-recurse-submodules',
          '--force',
          '--',
          fetch.repository,
          '+refs/heads/*:refs/heads/*',
          '+refs/tags/*:refs/tags/*',
        ],
        { ...options, limitMs: copyLimitMs, onProgress: (line) => void (fetch.progress = progressOf(line)) },
      );
    } catch (thrown) {
      if (!(thrown instanceof GitError)) throw thrown;
      throw new SignalboxError(
        'repository-unreachable',
        `The repository of ${target} could not be read. Correct "repository" in the targets file or make it reachable.${isPath(fetch.repository) ? whoseAdvice(thrown.stderr) : ''} git says: ${thrown.stderr.trim()}`,
      );
    }
    tidy.add(mirror);
  };

  /** One that shows how the repository stood at `since` or later, or the one that has to end before it can begin. */
  const fitting = (target: string, repository: string, since: number) => {
    const now = latest.get(target);
    const fits = now?.repository === repository && now.begunAt >= since;
    if (now && fits && !(now.ended && now.abort.signal.aborted)) return { fetch: now, fits };
    if (now && !now.ended) return { fetch: now, fits: false };
    return { fetch: begin(target, repository), fits: true };
  };

  return {
    of,
    async update(target, repository, since, signal) {
      for (;;) {
        signal?.throwIfAborted();
        closing.signal.throwIfAborted();
        const { fetch, fits } = fitting(target, repository, since);
        fetch.wanted += 1;
        const left = await Promise.race([fetch.done, aborted(signal)]);
        fetch.wanted -= 1;
        if (left) {
          if (fetch.wanted === 0) fetch.abort.abort(signal!.reason);
          throw signal!.reason;
        }
        // Given up by others in the moment in which it was wanted again.
        if (!fits || fetch.abort.signal.aborted) continue;
        if (fetch.error !== undefined) throw fetch.error;
        return;
      }
    },
    async begin(target, repository, since, patienceMs) {
      const deadline = performance.now() + patienceMs;
      for (;;) {
        closing.signal.throwIfAborted();
        const { fetch, fits } = fitting(target, repository, since);
        // It is asked for again later: nobody else may end it.
        fetch.wanted += 1;
        const left = deadline - performance.now();
        await Promise.race([fetch.done, sleep(Math.max(left, 0), undefined, { ref: false })]);
        if (!fetch.ended)
          return { ...fetch.progress, seconds: Math.round((performance.now() - fetch.begunAt) / 1000) };
        if (!fits || fetch.abort.signal.aborted) continue;
        if (fetch.error !== undefined) throw fetch.error;
        return undefined;
      }
    },
    async close() {
      closing.abort(new Error('Signalbox is stopping'));
      await Promise.all([...latest.values()].map(({ done }) => done));
    },
  };
}

/** Resolves when the signal aborts; without one never. */
const aborted = (signal?: AbortSignal) =>
  new Promise<true>((resolve) => signal?.addEventListener('abort', () => resolve(true), { once: true }));

/**
 * Ends what a process that owned this mirror before left running, and removes its locks and half packs: they would stop
 * every later fetch, or fill the disk.
 */
async function tidyUp(mirror: string): Promise<void> {
  await reap(mirror);
  const names = await readdir(mirror, { recursive: true }).catch(() => []);
  for (const name of names)
    if (/\.lock$|(^|\/)objects\/(pack\/|[0-9a-f]{2}\/)?(tmp_|incoming-)[^/]*$/.test(name))
      await rm(join(mirror, name), { recursive: true, force: true });
}
