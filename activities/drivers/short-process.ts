import { spawn } from 'node:child_process';

const limitMs = 40_000;

/**
 * Runs a script that acts under a target's lock as a process of its own, which can be killed when it is stopped.
 * @param input its only argument, as JSON. @returns what it prints, as JSON. @throws with its reason when it fails.
 */
export async function runShort<T>(script: string, input: object, what: string): Promise<T> {
  const child = spawn(process.execPath, [script, JSON.stringify(input)], {
    env: { PATH: process.env.PATH },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // First of all: where this host has no file to spare there is neither a process nor its output.
  const ended = new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...end) => resolve(end));
  });
  let out = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const [code, signal] = await ended.finally(() => clearTimeout(timer));
  if (code !== 0) {
    const why = /Error: (.*)/.exec(err)?.[1] ?? (signal ? `ended by ${signal}` : `exit ${code}`);
    throw new Error(`${what} failed: ${why}`);
  }
  return JSON.parse(out) as T;
}
