import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnWithPipes } from './pipes';
import type { Redactor } from './redact';

/**
 * Runs a target's commands: an argument list, never a shell, in a process group of its own, with a minimal
 * environment and a deadline. The workspace's path stands in the environment as a mark, by which whatever an
 * earlier try left behind is found and killed, also what moved itself into another group.
 */
export interface Command {
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  /** Path that marks every process of this work. */
  mark: string;
  timeoutMs: number;
  /** Left out: that of this process. */
  umask?: number;
  signal: AbortSignal;
  /** Applied to the output before it is cut into pieces. */
  redact: Redactor;
  onLine(stream: 'out' | 'err', text: string): void;
  /** Resolves when the reader has caught up; output is held back until then. */
  ready(): Promise<void> | undefined;
}
export type CommandEnd =
  | { kind: 'exited'; code: number }
  | { kind: 'signalled'; signal: string }
  | { kind: 'timed-out' }
  | { kind: 'aborted' };

export const MARK = 'SIGNALBOX_WORK';
const graceMs = 3_000;
/** Longer lines are split, so that output without line ends can not fill the memory. */
const maxLine = 16_384;

/** Of all that makes what is released: its modes must be its own, and not those of whoever started the worker. */
export const releaseUmask = 0o022;
/** Of all that copies data, whose own folders may keep others out. */
export const privateUmask = 0o077;

/** Starts a process under a umask. A child takes it from its parent, and has it once it is spawned. */
export function underUmask<T>(umask: number | undefined, start: () => T): T {
  if (umask === undefined) return start();
  const before = process.umask(umask);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}

export async function runCommand(command: Command): Promise<CommandEnd> {
  const [program, ...args] = command.argv;
  const { child, stdout, stderr } = await spawnWithPipes((stdio) =>
    underUmask(command.umask, () =>
      spawn(program!, args, {
        cwd: command.cwd,
        env: { ...command.env, [MARK]: command.mark },
        detached: true,
        stdio,
      }),
    ),
  );
  const started = new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  const outputs = [lines(stdout, 'out', command), lines(stderr, 'err', command)];
  await started;

  let cut: 'timed-out' | 'aborted' | undefined;
  const stop = async (why: 'timed-out' | 'aborted') => {
    cut ??= why;
    killGroup(child.pid!, 'SIGTERM');
    await Promise.race([exited, sleep(graceMs, undefined, { ref: false })]);
    killGroup(child.pid!, 'SIGKILL');
  };
  const timer = setTimeout(() => void stop('timed-out'), command.timeoutMs);
  const abort = () => void stop('aborted');
  if (command.signal.aborted) abort();
  command.signal.addEventListener('abort', abort);
  try {
    const { code, signal } = await exited;
    // What the command left running in the background must not outlive its step, nor hold its output open.
    killGroup(child.pid!, 'SIGKILL');
    await reap(command.mark);
    await Promise.race([Promise.all(outputs), sleep(graceMs, undefined, { ref: false })]);
    if (cut) return { kind: cut };
    return signal ? { kind: 'signalled', signal } : { kind: 'exited', code: code ?? 1 };
  } finally {
    clearTimeout(timer);
    command.signal.removeEventListener('abort', abort);
    stdout.destroy();
    stderr.destroy();
  }
}

async function lines(source: Readable, stream: 'out' | 'err', command: Command): Promise<void> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string) => {
    rest += text;
    const parts = rest.split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop()!;
    for (const part of parts) emit(part);
    if (rest.length <= maxLine + command.redact.longest) return;
    // A secret that has only begun at the end stays until the rest of it is there.
    const front = command.redact.front(rest);
    rest = front.rest;
    inPieces(front.done);
  };
  const inPieces = (text: string) => {
    for (let at = 0; at === 0 || at < text.length; at += maxLine)
      command.onLine(stream, text.slice(at, at + maxLine));
  };
  const emit = (line: string) => inPieces(command.redact(line));
  try {
    for await (const chunk of source) {
      take(decoder.write(chunk as Buffer));
      await command.ready();
    }
  } catch {
    // The stream was destroyed because the command is over.
  }
  take(decoder.end());
  if (rest) emit(rest);
}

export function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone.
  }
}

/** Kills every process that carries this mark, or one below it, and waits until none is left. @returns how many there were. */
export async function reap(mark: string): Promise<number> {
  let found = 0;
  for (let pids = marked(mark); pids.length > 0; pids = marked(mark)) {
    found = Math.max(found, pids.length);
    for (const pid of pids)
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself.
      }
    await sleep(10);
  }
  return found;
}

function marked(mark: string): number[] {
  const wanted = `${MARK}=${mark}`;
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-axEww', '-o', 'pid=,command='], { encoding: 'utf8' });
    return (stdout ?? '')
      .split('\n')
      .filter((row) => row.includes(wanted))
      .map((row) => Number.parseInt(row, 10))
      .filter((pid) => pid !== process.pid);
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        // A zombie has an empty environment, so one that waits for its parent does not count.
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
        return environment.some((entry) => entry === wanted || entry.startsWith(`${wanted}/`));
      } catch {
        return false;
      }
    })
    .map(Number);
}
