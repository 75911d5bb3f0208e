import { execFile, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/**
 * What commands write to. Node gives its children sockets, which nobody can open: `echo >>/dev/stderr` fails there. These are
 * pipes of the file system, so that they can be opened again, also by whom a command runs as: everybody may write. Their names
 * are gone before the command begins.
 */
export async function spawnWithPipes(
  begin: (stdio: StdioOptions) => ChildProcess,
): Promise<{ child: ChildProcess; stdout: Readable; stderr: Readable }> {
  const pipes = (await makePipes(2)) ?? [];
  const [out, err] = pipes;
  try {
    const child = begin(['ignore', out?.write ?? 'pipe', err?.write ?? 'pipe']);
    return { child, stdout: out?.read ?? child.stdout!, stderr: err?.read ?? child.stderr! };
  } catch (thrown) {
    for (const { read } of pipes) read.destroy();
    throw thrown;
  } finally {
    for (const { write } of pipes) closeSync(write);
  }
}

/**
 * Runs a command for what it prints. @returns that, of very much the end. @throws when it fails, with what it wrote to its error output, when it takes
 * longer than that.
 */
export async function outputOf(
  argv: string[],
  options: { cwd: string; env: NodeJS.ProcessEnv; timeoutMs: number },
): Promise<string> {
  const [program, ...args] = argv;
  const { cwd, env, timeoutMs } = options;
  const { child, stdout, stderr } = await spawnWithPipes((stdio) =>
    spawn(program!, args, { cwd, env, timeout: timeoutMs, killSignal: 'SIGKILL', stdio }),
  );
  const ended = new Promise<string | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      resolve(code === 0 ? undefined : signal ? `was ended by ${signal}` : `exited with ${code}`),
    );
  });
  const [out, err] = [collected(stdout), collected(stderr)];
  try {
    const wrong = await ended;
    // What it left running may hold them open.
    await Promise.race([Promise.all([out.whole, err.whole]), sleep(graceMs, undefined, { ref: false })]);
    if (wrong !== undefined)
      throw new Error([`${program} ${wrong}`, err.text.trim()].filter(Boolean).join(': '));
    return out.text;
  } finally {
    stdout.destroy();
    stderr.destroy();
  }
}
const graceMs = 3_000;
const mostChars = 1_048_576;
function collected(source: Readable): { text: string; whole: Promise<void> } {
  const all = { text: '', whole: Promise.resolve() };
  const read = async () => {
    for await (const chunk of source.setEncoding('utf8'))
      all.text = (all.text + (chunk as string)).slice(-mostChars);
  };
  // Given up, it ends in the middle.
  all.whole = read().catch(() => undefined);
  return all;
}

interface Pipe {
  read: Socket;
  write: number;
}
const run = promisify(execFile);

/** @returns undefined where none can be made (a full disk, say): a command is not held up by that, and gets sockets. */
async function makePipes(count: number): Promise<Pipe[] | undefined> {
  const pipes: Pipe[] = [];
  let room: string | undefined;
  try {
    room = await mkdtemp(join(tmpdir(), 'signalbox-pipes-'));
    const paths = Array.from({ length: count }, (_, n) => join(room!, String(n)));
    await run('mkfifo', ['-m', '622', ...paths]);
    for (const path of paths) pipes.push(opened(path));
    return pipes;
  } catch {
    for (const { read, write } of pipes) {
      read.destroy();
      closeSync(write);
    }
    return undefined;
  } finally {
    if (room) await rm(room, { recursive: true, force: true }).catch(() => undefined);
  }
}

function opened(path: string): Pipe {
  // The reader first, and without waiting: each end would wait for the other.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const write = openSync(path, constants.O_WRONLY);
    return { read: new Socket({ fd, readable: true, writable: false }), write };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}
