import { mkdtempSync, rmSync, readFileSync, existsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reap, releaseUmask, runCommand, type Command } from '../../activities/process';
import { redactor } from '../../activities/redact';
import { patienceMs } from '../helpers/until';

/** A target's commands: how they are started, stopped, and what they leave. */
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'signalbox-process-'))));
afterEach(async () => {
  expect(await reap(folder)).toBe(0);
  rmSync(folder, { recursive: true, force: true });
});

function node(script: string, more: Partial<Command> = {}, ...args: string[]) {
  const lines: string[] = [];
  const end = runCommand({
    argv: [process.execPath, '-e', script, ...args],
    cwd: folder,
    env: { PATH: process.env.PATH! },
    mark: folder,
    timeoutMs: patienceMs,
    signal: new AbortController().signal,
    redact: redactor({}),
    onLine: (stream, text) => lines.push(`${stream} ${text}`),
    ready: () => undefined,
    ...more,
  });
  return { end, lines };
}

it('gives arguments as they are, without a shell, and nothing of its own environment', async () => {
  process.env.NOT_FOR_BUILDS = 'secret';
  const { end, lines } = node(
    'console.log(JSON.stringify(process.argv.slice(1)), process.env.NOT_FOR_BUILDS)',
    {},
    '$HOME; `id`',
    '*',
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  expect(lines).toEqual(['out ["$HOME; `id`","*"] undefined']);
});

it('makes files for a release under a umask of its own, whoever started the worker', async () => {
  const before = process.umask(0o077);
  try {
    const make = "require('node:fs').writeFileSync(process.argv[1], '')";
    await node(make, { umask: releaseUmask }, 'released').end;
    await node(make, {}, 'other').end;
    expect(process.umask(0o077)).toBe(0o077);
  } finally {
    process.umask(before);
  }
  const modes = ['released', 'other'].map((name) => statSync(join(folder, name)).mode & 0o777);
  expect(modes).toEqual([0o644, 0o600]);
});

it('tells how it ended', async () => {
  expect(await node('process.exit(7)').end).toEqual({ kind: 'exited', code: 7 });
  expect(await node("process.kill(process.pid, 'SIGKILL')").end).toEqual({
    kind: 'signalled',
    signal: 'SIGKILL',
  });
  await expect(node('', { argv: ['/no/such/program'] }).end).rejects.toThrow('ENOENT');
});

it('splits lines as they come, keeps the last one without an end, and breaks up endless ones', async () => {
  const { end, lines } = node(
    "process.stdout.write('a\\r\\nb\\n\\nhal'); setTimeout(() => { process.stdout.write('f'); process.stderr.write('x'.repeat(40000)); }, 100)",
  );
  await end;
  expect(lines.filter((l) => l.startsWith('out'))).toEqual(['out a', 'out b', 'out ', 'out half']);
  const long = lines.filter((l) => l.startsWith('err')).map((l) => l.length - 4);
  expect(long.reduce((a, b) => a + b)).toBe(40_000);
  expect(Math.max(...long)).toBeLessThanOrEqual(16_384);
});

it('at its deadline, kills one that ignores TERM, with its children', async () => {
  const { end } = node(
    `process.on('SIGTERM', () => undefined);
     require('node:child_process').spawn(process.execPath, ['-e', "process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1000)"]);
     setInterval(() => undefined, 1000);`,
    { timeoutMs: 500 },
  );
  expect(await end).toEqual({ kind: 'timed-out' });
});

it('when cancelled, ends at once', async () => {
  const abort = new AbortController();
  const { end } = node("console.log('there'); setInterval(() => undefined, 1000)", {
    signal: abort.signal,
    onLine: () => abort.abort(),
  });
  expect(await end).toEqual({ kind: 'aborted' });
});

it('what moved itself into a session of its own does not outlive its step', async () => {
  const { end } = node(
    `const c = require('node:child_process').spawn(process.execPath, ['-e', "setInterval(() => require('node:fs').appendFileSync('ticks', 'x'), 20)"], { detached: true, stdio: 'ignore' });
     c.unref(); setTimeout(() => undefined, 300);`,
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  const ticks = () => (existsSync(join(folder, 'ticks')) ? readFileSync(join(folder, 'ticks')).length : 0);
  const before = ticks();
  expect(before).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(ticks()).toBe(before);
});

it('holds the output back while the reader is behind, so that memory stays bounded', async () => {
  let behind = 0;
  let most = 0;
  let drained: Promise<void> | undefined;
  const before = process.memoryUsage().rss;
  let peak = before;
  const { end } = node(
    "const l = 'y'.repeat(99) + '\\n'; let n = 0; (function more() { while (n++ < 500000) if (!process.stdout.write(l)) return process.stdout.once('drain', more); })()",
    {
      onLine: () => {
        behind += 1;
        most = Math.max(most, behind);
      },
      ready: () => {
        peak = Math.max(peak, process.memoryUsage().rss);
        if (behind < 1000) return undefined;
        return (drained ??= new Promise<void>((resolve) =>
          setTimeout(() => {
            behind = 0;
            drained = undefined;
            resolve();
          }, 2),
        ));
      },
    },
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  expect(most).toBeLessThan(5_000);
  expect(peak - before).toBeLessThan(150 * 1024 * 1024);
});

it('keeps a secret out wherever its output is cut: between writes, between pieces of an endless line', async () => {
  const secret = 'canary-0123456789-abcdefghijklmnop';
  const script = `const [secret] = process.argv.slice(1);
    const wait = () => new Promise((go) => setTimeout(go, 2));
    (async () => {
      for (let at = 1; at < secret.length; at += 7) {
        process.stdout.write('x' + secret.slice(0, at)); await wait();
        process.stdout.write(secret.slice(at) + 'y\\n'); await wait();
      }
      for (let before = 16_384 - secret.length - 2; before < 16_390; before += 3)
        process.stderr.write('z'.repeat(before) + secret + 'z'.repeat(40_000) + '\\n');
      for (let n = 0; n < 3_000; n++) process.stderr.write('z'.repeat(n % 17) + secret);
    })();`;
  const { end, lines } = node(script, { redact: redactor({ KEY: secret }) }, secret);
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  const all = lines.map((line) => line.slice(4)).join('');
  expect(all.split('[secret KEY]').length).toBeGreaterThan(3_000);
  for (let at = 0; at + 12 <= secret.length; at++) expect(all).not.toContain(secret.slice(at, at + 12));
  expect(all.match(/x\[secret KEY\]y/g)).toHaveLength(5);
});
