import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The processes that `signalbox up` keeps running beside itself. Each is in a session of its own, so that a
 * Ctrl-C reaches `up` alone and it can stop them in order. Their pids are written down: when `up` itself is
 * killed, the next start finds what was left and ends it first. One that dies is started again.
 */
export interface ProcessSpec {
  name: string;
  program: string;
  args: string[];
  cwd: string;
  env?: Record<string, string | undefined>;
  uid?: number;
  gid?: number;
  /** What asks it to end. */
  stopSignal: NodeJS.Signals;
  /** Called before each start: puts away what an earlier one that was killed has left half made. */
  prepare?(): void;
}
export interface Processes {
  /**
   * Starts one and waits until `ready` answers. One that crashes before that (by a signal or a panic) is started
   * again, as one that crashes later; one that ends with an error of its own is not.
   * @throws with what its log says when it ends before it is ready.
   */
  start<T>(spec: ProcessSpec, ready: () => Promise<T>): Promise<T>;
  /** Ends what an earlier `up` left behind. @returns their names. */
  reclaim(): Promise<string[]>;
  stop(name: string): Promise<void>;
}
interface End {
  code: number | null;
  signal: string | null;
}
interface Left {
  name: string;
  pid: number;
  start: string;
  stopSignal: NodeJS.Signals;
}

const stopTimeoutMs = 15_000;
const restartMs = 250;
/** So often one is started before it is given up. */
const mostStarts = 3;
/** The exit code of a Go program that panicked. */
const panicked = 2;

/** @param say one line for a person, when a process died and is started again. */
export function createProcesses(stateDir: string, say: (line: string) => void): Processes {
  const listFile = join(stateDir, 'children.json');
  const logs = join(stateDir, 'logs');
  mkdirSync(logs, { recursive: true });
  const running = new Map<string, { child: ChildProcess; spec: ProcessSpec; exited: Promise<End> }>();
  const stopping = new Set<string>();

  const write = () => {
    const list: Left[] = [...running.values()].map(({ child, spec }) => ({
      name: spec.name,
      pid: child.pid!,
      start: startOf(child.pid!),
      stopSignal: spec.stopSignal,
    }));
    writeFileSync(listFile, JSON.stringify(list));
  };

  const started = new Set<string>();

  const launch = async (spec: ProcessSpec): Promise<{ exited: Promise<End> }> => {
    if (stopping.has(spec.name))
      throw new Error(`${spec.name} was not started, because everything is stopping`);
    spec.prepare?.();
    const out = openSync(join(logs, `${spec.name}.log`), 'a');
    const { uid, gid } = spec;
    const child = spawn(spec.program, spec.args, {
      cwd: spec.cwd,
      env: spec.env ?? process.env,
      detached: true,
      stdio: ['ignore', out, out],
      ...(uid === undefined ? {} : { uid, gid }),
    });
    closeSync(out);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => reject(new Error(`${spec.name} could not be started`, { cause })));
    });
    const exited = new Promise<End>((resolve) => {
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
        running.delete(spec.name);
        write();
        if (stopping.has(spec.name) || !started.has(spec.name)) return;
        say(
          `${spec.name} ended (${signal ?? `exit ${code}`}); starting it again. Its log: ${join(logs, spec.name)}.log`,
        );
        void again(spec);
      });
    });
    running.set(spec.name, { child, spec, exited });
    write();
    return { exited };
  };
  const again = async (spec: ProcessSpec): Promise<void> => {
    for (let wait = restartMs; !stopping.has(spec.name); wait = Math.min(wait * 2, 5_000)) {
      await sleep(wait);
      if (stopping.has(spec.name)) return;
      try {
        await launch(spec);
        return;
      } catch (thrown) {
        say(String(thrown));
      }
    }
  };

  return {
    async start(spec, ready) {
      const log = join(logs, `${spec.name}.log`);
      let dead: ((thrown: Error) => void) | undefined;
      const given = new Promise<never>((_, reject) => (dead = reject));
      given.catch(() => undefined);
      const watch = (starts: number, { exited }: { exited: Promise<End> }): void => {
        void exited.then(async ({ code, signal }) => {
          if (started.has(spec.name)) return;
          const crashed = signal !== null || code === panicked;
          if (!crashed || starts === mostStarts || stopping.has(spec.name))
            return dead!(
              new Error(`${spec.name} ended before it was ready; its log is ${log}. ${whyIn(log)}`),
            );
          say(`${spec.name} crashed while it started (${whyIn(log)}); starting it again.`);
          await sleep(restartMs);
          await launch(spec).then((next) => watch(starts + 1, next), dead);
        });
      };
      watch(1, await launch(spec));
      const answer = await Promise.race([ready(), given]);
      started.add(spec.name);
      return answer;
    },
    async stop(name) {
      stopping.add(name);
      const entry = running.get(name);
      if (!entry) return;
      entry.child.kill(entry.spec.stopSignal);
      const late = await Promise.race([entry.exited, sleep(stopTimeoutMs, 'late', { ref: false })]);
      if (late) entry.child.kill('SIGKILL');
      await entry.exited;
    },
    async reclaim() {
      const ended: string[] = [];
      for (const left of readList(listFile)) {
        if (!isAlive(left.pid, left.start)) continue;
        process.kill(left.pid, left.stopSignal);
        const deadline = performance.now() + stopTimeoutMs;
        while (isAlive(left.pid, left.start)) {
          if (performance.now() > deadline) process.kill(left.pid, 'SIGKILL');
          await sleep(20);
        }
        ended.push(left.name);
      }
      return ended;
    },
  };
}

/** What a log says of why its program ended: its last error, else its last line. */
function whyIn(log: string): string {
  const lines = readFileSync(log, 'utf8').trim().split('\n').slice(-200);
  const telling = lines.findLast((line) => /^(panic|fatal error|error)\b/i.test(line)) ?? lines.at(-1) ?? '';
  return `It says: ${telling.slice(0, 400)}`;
}

function readList(file: string): Left[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Left[];
  } catch {
    // None was written, or `up` was killed while it wrote.
    return [];
  }
}

/** When a process started, in the system's own units; tells it from a later one with the same number. */
export function startOf(pid: number): string {
  try {
    return (
      readFileSync(`/proc/${pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ')[19] ?? ''
    );
  } catch {
    return '';
  }
}

export function isAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM' && startOf(pid) === start;
  }
  const state = stateOf(pid);
  return state !== 'Z' && startOf(pid) === start;
}

const stateOf = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .charAt(0);
  } catch {
    return '';
  }
};
