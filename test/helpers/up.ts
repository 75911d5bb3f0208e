import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Endpoints } from '../../cli/state-dir';
import { belongingTo, endAll } from './guardian.cjs';
import { patienceMs, until as untilThere } from './until';

/** The real program, as a user runs it: `signalbox up` as a process of its own, and its client commands. */
export const program = resolve('cli/bin.js');
/** The same with its failpoints left in, and the barrier that holds it at those. */
const withFailpoints = [
  '--require',
  resolve('test/helpers/barrier.cjs'),
  resolve('dist-failpoints/cli/main.js'),
];

export interface Up {
  state: string;
  pid: number;
  output(): string;
  endpoints(): Endpoints;
  /** Waits for something in the output. */
  says(what: string | RegExp): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** The exit code; null when it was killed. */
  ended: Promise<number | null>;
}
export interface UpOptions {
  state?: string;
  args?: string[];
  env?: Record<string, string | undefined>;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** A file that whoever starts it has left open. */
  leftOpen?: string;
}

const folders: string[] = [];

export function newFolder(prefix = 'signalbox-up-'): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  folders.push(folder);
  return folder;
}

/** Starts it and waits until it is ready (or, with `ready: false`, just starts it). */
export async function startUp(options: UpOptions & { ready?: boolean } = {}): Promise<Up> {
  const state = options.state ?? join(newFolder(), 'state');
  const { uid, gid } = options;
  const open = options.leftOpen === undefined ? undefined : openSync(options.leftOpen, 'r');
  const child = spawn(
    process.execPath,
    [program, 'up', '--state', state, '--port', '0', ...(options.args ?? [])],
    {
      cwd: options.cwd ?? tmpdir(),
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      stdio: [
        'ignore',
        'pipe',
        'pipe',
        ...(open === undefined ? [] : [...Array<'ignore'>(30).fill('ignore'), open]),
      ],
      ...(uid === undefined ? {} : { uid, gid }),
    },
  );
  if (open !== undefined) closeSync(open);
  let text = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  let over = false;
  const ended = new Promise<number | null>((done) =>
    child.once('close', (code) => {
      over = true;
      done(code);
    }),
  );
  const file = join(state, 'endpoints.json');
  const up: Up = {
    state,
    pid: child.pid!,
    output: () => text,
    endpoints: () => JSON.parse(readFileSync(file, 'utf8')) as Endpoints,
    async says(what) {
      const deadline = Date.now() + patienceMs;
      while (!(typeof what === 'string' ? text.includes(what) : what.test(text))) {
        if (over || Date.now() > deadline) throw new Error(`it never said ${what}; it said:\n${text}`);
        await sleep(20);
      }
    },
    kill: (signal) => void child.kill(signal),
    ended,
  };
  if (options.ready !== false) await up.says('Signalbox is ready');
  return up;
}

/** Stops it as Ctrl-C does, and fails when it leaves a process. */
export async function stopUp(up: Up): Promise<void> {
  up.kill('SIGINT');
  await up.ended;
  const left = processesOf(up.state);
  if (left.length > 0) throw new Error(`left running: ${left.join('\n')}\n${up.output()}`);
}

/** Processes that work in, or were started with, a state directory: their command lines. */
export const processesOf = (state: string): string[] =>
  belongingTo(state).map(({ pid, args }) => `${pid} ${args}`);

/** Database and namespace of their own on the servers of an `up`, as the environment of processes that run alone. */
export async function elsewhere(host: Up, name: string): Promise<Record<string, string>> {
  const { databaseOwnerUrl, databaseUrl, temporalAddress } = host.endpoints();
  const owner = databaseOwnerUrl ?? databaseUrl;
  const admin = new pg.Client({ connectionString: owner });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  const url = Object.assign(new URL(owner), { pathname: `/${name}` }).href;
  return { DATABASE_URL: url, TEMPORAL_ADDRESS: temporalAddress, TEMPORAL_NAMESPACE: name };
}

/** `signalbox worker` or `signalbox api` as a process of its own; held at failpoints where `env` names barriers. */
export function runAlone(
  env: Record<string, string>,
  first: string | { args: string[]; uid?: number; gid?: number },
  ...more: string[]
) {
  const { args, ...user } = typeof first === 'string' ? { args: [first, ...more] } : first;
  const start = env.SIGNALBOX_BARRIERS ? withFailpoints : [program];
  const child = spawn(process.execPath, [...start, ...args], { env: { ...process.env, ...env }, ...user });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  let over = false;
  const ended = new Promise<number | null>((done) =>
    child.once('close', (code) => {
      over = true;
      done(code);
    }),
  );
  const says = (what: RegExp): Promise<string> =>
    untilThere(`${args[0]} to say ${what}`, async () => {
      const said = what.exec(text)?.[0];
      if (said === undefined && over) throw new Error(`${args[0]} ended with ${await ended}: ${text}`);
      return said;
    });
  return { child, ended, says };
}

export interface Ran {
  code: number | null;
  out: string;
  err: string;
}
/** What a command answered with --json. @throws what it said instead. */
export function answerOf<T = any>({ code, out, err }: Ran): T {
  if (out === '') throw new Error(`it ended with ${code} and said: ${err}`);
  return JSON.parse(out) as T;
}
/** Runs a client command. */
export function cli(up: Up, ...args: string[]): Promise<Ran> {
  return runProgram([...args, '--state', up.state]);
}
export function runProgram(args: string[], options: UpOptions = {}): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  return new Promise((done) => child.once('close', (code) => done({ code, out, err })));
}

/**
 * Who ships and deploys (carla) and who approves (amir), at an API that runs alone.
 * @param env where its database is. @returns the environment of their commands.
 */
export async function twoPeople(env: NodeJS.ProcessEnv, address: string) {
  const called = async (person: string, ...roles: string[]) => {
    const { out } = await runProgram(
      ['token', 'create', '--database', '--person', person, '--role', ...roles],
      { env },
    );
    return { SIGNALBOX_URL: address, SIGNALBOX_TOKEN: out.trim() };
  };
  return {
    carla: await called('carla', 'contributor', 'release-manager'),
    amir: await called('amir', 'approver'),
  };
}

export const modeOf = (file: string) => (statSync(file).mode & 0o777).toString(8);

/** Waits for a condition of a stack that is coming and going: what can not be read yet is not there yet. */
export const until = <T>(what: string, read: () => Promise<T | undefined | false> | T | undefined | false) =>
  untilThere(what, () =>
    Promise.resolve()
      .then(read)
      .catch(() => undefined),
  );

/** Ends whatever the tests of this file left, and removes their folders. */
export async function cleanUp(): Promise<void> {
  await endAll(tmpdir());
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
