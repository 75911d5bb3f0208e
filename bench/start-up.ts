import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median, type Result } from './result';

/** `signalbox up` on an empty state directory, its parts fetched before, until it says that it is ready. */
export async function startUp(quick: boolean): Promise<Result[]> {
  const seconds: number[] = [];
  for (let n = 0; n < (quick ? 1 : 5); n++) {
    const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-up-'));
    const started = performance.now();
    const program = join(__dirname, '..', 'cli', 'main.js');
    const args = ['up', '--no-sample', '--port', '0', '--state', join(folder, 'state')];
    const up = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((ready, failed) => {
      up.stdout.on('data', (chunk: Buffer) => chunk.toString().includes('Signalbox is ready') && ready());
      up.once('exit', (code) => failed(new Error(`up ended with ${code}`)));
    });
    seconds.push((performance.now() - started) / 1000);
    up.kill('SIGINT');
    await once(up, 'exit');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  return [
    {
      what: '`up` from cached parts to ready',
      ours: `${median(seconds).toFixed(1)} s`,
      peer: 'none',
      value: median(seconds),
      unit: ' s',
      goal: { most: 8 },
    },
  ];
}
