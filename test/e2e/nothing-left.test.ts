import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import settings from '../../jest.config.cjs';
import { belongingTo, variable } from '../helpers/guardian.cjs';
import { patienceMs, until } from '../helpers/until';
import { cleanUp, newFolder } from '../helpers/up';

/** Whatever becomes of a run of the tests, nothing that it started is left, wherever that had detached itself to. */
afterEach(cleanUp);

let place: string;
let runner: ChildProcess;
let ended: Promise<number | null>;
/** Starts a run of its own, as from a shell; all it makes lies below `place`. */
function run(args: string[], hangMs = 100 * patienceMs): void {
  place = newFolder();
  mkdirSync(join(place, 'tmp'));
  const env = {
    [variable]: '',
    TMPDIR: join(place, 'tmp'),
    SIGNALBOX_TEST_READY: join(place, 'ready'),
    SIGNALBOX_TEST_HANG_MS: String(hangMs),
  };
  runner = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: 'ignore' });
  ended = new Promise((done) => runner.once('exit', (code) => done(code)));
}
const config = {
  ...settings,
  rootDir: resolve('.'),
  testMatch: ['**/hanging.fixture.ts'],
  // A limit makes it run even one file in a worker.
  workerIdleMemoryLimit: '8GB',
};
const hanging = ['node_modules/jest/bin/jest.js', '--config', JSON.stringify(config)];

/** Waits for the test to hang. @returns its process, and what was running: otherwise nothing left would say nothing. */
async function hangs(): Promise<number> {
  const ready = join(place, 'ready');
  await until('the test to hang', () => {
    if (runner.exitCode !== null && !existsSync(ready)) throw new Error('the run ended too early');
    return existsSync(ready);
  });
  const { pid, running } = JSON.parse(readFileSync(ready, 'utf8')) as { pid: number; running: string[] };
  for (const part of [/cli\/bin\.js up/, /postgres -D/, /temporal.*server/, /chromium /])
    expect(running).toContainEqual(expect.stringMatching(part));
  return pid;
}
const running = () => belongingTo(place).map(({ args }) => args);
const nothingIsLeft = async () => {
  // jest keeps a cache there too.
  const folders = () => readdirSync(join(place, 'tmp')).filter((name) => name.startsWith('signalbox-'));
  await until('its folders to be gone', () => folders().length === 0);
  await until('nothing to be left', () => running().length === 0);
};

it.each([
  ['the runner is interrupted', () => runner.kill('SIGINT')],
  ['the process of the test file is killed', (pid: number) => process.kill(pid, 'SIGKILL')],
])('when %s', async (_when, strike) => {
  run(hanging);
  strike(await hangs());
  await nothingIsLeft();
});

it('when a test times out', async () => {
  run(hanging, 1_000);
  await hangs();
  expect(await ended).toBe(1);
  await nothingIsLeft();
});

it('when npm test is killed while a fault is injected', async () => {
  run(['scripts/test.mjs', 'faults']);
  const parts = [/faults\/main\.js/, /cli\/main\.js worker/, /postgres -D/, /temporal.*server/];
  await until('everything to run', () => parts.every((part) => running().some((args) => part.test(args))));
  runner.kill('SIGKILL');
  await nothingIsLeft();
});
