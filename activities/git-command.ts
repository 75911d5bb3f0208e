import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { killGroup, MARK, underUmask } from './process';

/**
 * Runs git, in a process group of its own. It ends when it is done, when it is aborted, or when nothing moved for so
 * long: a remote that takes the connection and says nothing would otherwise hold it forever. Nothing from a
 * repository runs: hooks are off and the `ext` protocol is off. The operator's own git configuration (credentials,
 * proxies) stays in force.
 */
export interface GitOptions {
  signal?: AbortSignal;
  /** It is killed when neither output, input nor computing moved for so long. */
  stallMs?: number;
  /** It is killed when it takes longer than this, whatever moves. */
  limitMs?: number;
  /** Path that marks its processes, by which a later process finds and kills what was left of it. */
  mark?: string;
  /** Of the files that it makes; left out: that of this process. */
  umask?: number;
  /** The only ones by which it may reach a repository; left out: as its configuration says. */
  protocols?: readonly string[];
  /** Hears each line of progress. */
  onProgress?(line: string): void;
}
export const defaultStallMs = 45_000;
/** For what reads and writes on this host alone. */
const defaultLimitMs = 300_000;
/** For what copies a repository, which may be large and far away. */
export const copyLimitMs = 12 * 3_600_000;
/** In characters. More is no answer to anything that is asked here, and would fill the memory. */
const mostOutput = 67_108_864;
const graceMs = 2_000;
const keptStderr = 8_192;

const harmless = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['submodule.recurse', 'false'],
  ['protocol.ext.allow', 'never'],
  ['advice.detachedHead', 'false'],
  ['gc.auto', '0'],
  // Mirrors and checkouts are Signalbox's own, whoever made their volume. What serves a repository on a path is a process of
  // its own, which asks the operator's configuration alone: its owner could have it name what others may not read.
  ['safe.directory', '*'],
].flatMap(([key, value]) => ['-c', `${key}=${value}`]);

/** What git and its helpers may need; nothing else of this process is theirs. */
const passed =
  /^(PATH|HOME|USER|LOGNAME|LANG|TMPDIR|SSH_AUTH_SOCK|XDG_CONFIG_HOME|SSL_CERT_(FILE|DIR)|(https?|no|all)_proxy)$/i;

/** URLs without user and password. */
export const withoutUserinfo = (text: string): string => text.replace(/:\/\/[^\s/@'"]*@/g, '://');

/**
 * What to do about a repository of another user, which git does not serve; empty: that is not why.
 * @param stderr of a git on this host: of another one says the same, and is asked about there.
 */
export function whoseAdvice(stderr: string): string {
  const [, path] = /dubious ownership in repository at '([^\n]*)'/.exec(stderr) ?? [];
  return path
    ? ` It belongs to another user of this host, who could have Signalbox read what else it names. To read it all the same, run as the user of this process: git config --global --add safe.directory ${path}.`
    : '';
}

/** git said no, or was ended by a signal. */
export class GitError extends Error {
  readonly stderr: string;
  /** @param code its exit code; null when a signal ended it: then git itself said nothing. */
  constructor(
    args: string[],
    stderr: string,
    readonly code: number | null,
  ) {
    // A repository's address may carry a password.
    super(withoutUserinfo(`git ${args.join(' ')} failed: ${stderr.trim() || 'no message'}`));
    this.stderr = withoutUserinfo(stderr);
  }
}
/** It was ended by Signalbox because it hung, took too long or printed too much. */
export class GitHung extends GitError {}

/** @returns what it printed. @throws GitError, GitHung, or the signal's reason. */
export async function git(args: string[], options: GitOptions = {}): Promise<string> {
  const { signal, stallMs = defaultStallMs, limitMs = defaultLimitMs, mark, onProgress } = options;
  signal?.throwIfAborted();
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => passed.test(name)));
  const lowSpeedSeconds = String(Math.ceil(stallMs / 1000));
  const child = underUmask(options.umask, () =>
    spawn('git', [...harmless, ...args], {
      env: {
        ...env,
        GIT_TERMINAL_PROMPT: '0',
        LC_ALL: 'C',
        // What it stores is fetched by a command of its own, which says when it fails.
        GIT_LFS_SKIP_SMUDGE: '1',
        // Ends it also when nobody is left who watches it. A server that computes sends a byte a second.
        GIT_HTTP_LOW_SPEED_LIMIT: '1',
        GIT_HTTP_LOW_SPEED_TIME: lowSpeedSeconds,
        ...(mark ? { [MARK]: mark } : {}),
        ...(options.protocols ? { GIT_ALLOW_PROTOCOL: options.protocols.join(':') } : {}),
      },
      // Without a terminal ssh and credential helpers cannot wait for somebody to type.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  // First of all: where this host has no file to spare there is neither a process nor its output.
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  let out = '';
  let err = '';
  let movedAt = performance.now();
  const moved = () => void (movedAt = performance.now());
  let hung: string | undefined;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    moved();
    if (out.length <= mostOutput) out += text;
    else if (!hung) {
      hung = `it printed more than ${mostOutput / 1_048_576} MiB, so it was ended`;
      stop();
    }
  });
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    moved();
    const lines = (rest + text).split(/\r\n|\r|\n/);
    rest = lines.pop()!.slice(-keptStderr);
    for (const line of lines)
      if (progressForm.test(line)) onProgress?.(line.trim());
      else err = `${err}${line}\n`.slice(-keptStderr);
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));

  let killer: NodeJS.Timeout | undefined;
  const stop = () => {
    if (child.pid === undefined) return;
    killGroup(child.pid, 'SIGTERM');
    killer ??= setTimeout(() => killGroup(child.pid!, 'SIGKILL'), graceMs);
  };
  const begun = performance.now();
  let seen: string | undefined;
  const watch = setInterval(
    () => {
      const now = activityOf(child.pid);
      if (now !== seen) moved();
      seen = now;
      const stalled = performance.now() - movedAt >= stallMs;
      const late = performance.now() - begun >= limitMs;
      if (hung || (!stalled && !late)) return;
      hung = stalled
        ? `nothing moved for ${seconds(stallMs)} s, so it was ended`
        : `it was not done after ${seconds(limitMs)} s, so it was ended`;
      stop();
    },
    Math.min(1_000, stallMs / 4),
  );
  signal?.addEventListener('abort', stop);
  try {
    const code = await exited;
    // A helper that goes on in the background may hold the output open.
    await Promise.race([closed, sleep(graceMs, undefined, { ref: false })]);
    err += progressForm.test(rest) ? '' : rest;
    if (code !== 0) signal?.throwIfAborted();
    if (hung) throw new GitHung(args, [err.trim(), hung].filter(Boolean).join('\n'), null);
    if (code !== 0) throw new GitError(args, err, code);
    return out;
  } finally {
    clearInterval(watch);
    clearTimeout(killer);
    signal?.removeEventListener('abort', stop);
    child.stdout?.destroy();
    child.stderr?.destroy();
    if (child.pid !== undefined) killGroup(child.pid, 'SIGKILL');
  }
}

/** `Receiving objects:  45% (9/20), 1.20 MiB | 2.00 MiB/s`, also as the remote says it; `Enumerating objects: 20, done.` */
const progressForm = /^(remote: )?[A-Z][a-z]+( [a-z]+)*: +(\d+%|\d+[,.\s]|\d+$)/;
const seconds = (ms: number) => Math.round(ms / 100) / 10;

/**
 * What a process group has read, written and computed so far, as a text that is the same as long as it does none of it.
 * Waiting in vain costs next to nothing: computing counts in steps of a tenth of a second.
 */
function activityOf(group: number | undefined): string {
  if (process.platform !== 'linux' || group === undefined) return '';
  const parts: string[] = [];
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      // The name in brackets may hold anything; what follows it are numbers.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[2]) !== group) continue;
      ticks += Number(fields[11]) + Number(fields[12]);
      const [, read, written] = /^rchar: (\d+)\nwchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))!;
      parts.push(`${pid} ${read} ${written}`);
    } catch {
      // It ended, or may not be looked at.
    }
  return `${Math.floor(ticks / 10)} ${parts.join(', ')}`;
}
