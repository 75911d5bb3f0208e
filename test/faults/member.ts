import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { patienceMs } from '../helpers/until';

/** One process of Signalbox (`worker` or `api`), with its failpoints left in. */
export interface Member {
  pid: number;
  /** Waits until its log says this. @returns what it said. */
  says(what: RegExp): Promise<string>;
  signal(name: NodeJS.Signals): void;
  alive(): boolean;
  /** Exit code, null when a signal ended it. */
  ended: Promise<number | null>;
  /** The end of its log. */
  tail(): string;
}

/** @param program folder of the compiled program; a mutant's is another. */
export function startMember(options: {
  program: string;
  args: string[];
  env: Record<string, string>;
  logFile: string;
}): Member {
  const { program, args, env, logFile } = options;
  const child = spawn(
    process.execPath,
    ['--require', resolve('test/helpers/barrier.cjs'), join(program, 'cli/main.js'), ...args],
    { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString()).slice(-20_000);
      appendFileSync(logFile, chunk);
    });
  let over = false;
  const ended = new Promise<number | null>((done) =>
    child.once('close', (code) => {
      over = true;
      done(code);
    }),
  );
  return {
    pid: child.pid!,
    ended,
    tail: () => text.slice(-2_000),
    alive: () => !over,
    signal: (name) => void child.kill(name),
    async says(what) {
      const deadline = Date.now() + patienceMs;
      for (;;) {
        const found = what.exec(text);
        if (found) return found[0];
        if (over || Date.now() > deadline)
          throw new Error(`${args[0]} never said ${what}; it said: ${text.slice(-2_000)}`);
        await sleep(20);
      }
    },
  };
}
