import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { directoryDriver } from '../activities/drivers/directory';
import { nothing, releaseOr } from '../domain/observed';
import { rememberedPorts } from '../cli/embedded/ports';
import { median, percentile, type Result } from './result';

/** Requests to the sample site while its release is swapped again and again, a second apart, against the same without swaps. */
export async function swaps(quick: boolean): Promise<Result[]> {
  const rounds = quick ? 2 : 5;
  const seconds = quick ? 1.5 : 6;
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-swaps-'));
  const root = join(folder, 'site');
  const releases = ['a', 'b'].map((letter) => letter.repeat(64));
  for (const release of releases) {
    mkdirSync(join(root, 'releases', release), { recursive: true });
    writeFileSync(join(root, 'releases', release, 'version.txt'), `${release[0]}\n`);
  }
  const both = releases.map(releaseOr);
  const driver = directoryDriver({ root });
  let fence = 0;
  const noHook = () => Promise.reject(new Error('nothing to reload'));
  const swap = () =>
    driver.switchTo(both[++fence % 2]!, { fence, by: 'bench', over: [nothing, ...both] }, noHook);
  await swap();
  const port = await rememberedPorts(folder).take('site');
  const program = join(__dirname, '..', 'cli', 'sample', 'site.js');
  const site = spawn(process.execPath, [program, root, join(folder, 'orders'), String(port)]);
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  /** Milliseconds until the whole answer; undefined when it failed or was of no known version. */
  const ask = () =>
    new Promise<number | undefined>((done) => {
      const started = performance.now();
      get({ port, path: '/version', agent }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => {
          const known = response.statusCode === 200 && /"version":"[ab]"/.test(body);
          done(known ? performance.now() - started : undefined);
        });
      }).on('error', () => done(undefined));
    });
  while ((await ask()) === undefined) await sleep(20);

  let failed = 0;
  let requests = 0;
  let swapped = 0;
  const p99 = async (swapping: boolean) => {
    const waits: number[] = [];
    const end = performance.now() + seconds * 1000;
    const load = async () => {
      while (performance.now() < end) {
        const wait = await ask();
        requests += 1;
        if (wait === undefined) failed += 1;
        else waits.push(wait);
        await sleep(10);
      }
    };
    const swapper = async () => {
      while (swapping && performance.now() < end) {
        const { result } = await swap();
        if (result !== 'switched') throw new Error(`the swap was ${result}`);
        swapped += 1;
        await sleep(1_000);
      }
    };
    await Promise.all([load(), load(), load(), load(), swapper()]);
    return percentile(waits, 0.99);
  };
  await p99(true);
  const pairs: { ours: number; bare: number }[] = [];
  for (let n = 0; n < rounds; n++) pairs.push({ bare: await p99(false), ours: await p99(true) });
  agent.destroy();
  site.kill();
  rmSync(folder, { recursive: true, force: true });
  const middle = (side: 'ours' | 'bare') => `p99 ${median(pairs.map((pair) => pair[side])).toFixed(1)} ms`;
  return [
    {
      what: 'requests failed during swaps',
      ours: `${failed} of ${requests}, ${swapped} swaps`,
      peer: 'none',
      value: failed,
      goal: { most: 0 },
    },
    {
      what: 'p99 of requests during swaps',
      ours: middle('ours'),
      peer: `${middle('bare')}, no swaps`,
      value: median(pairs.map(({ ours, bare }) => ours / bare)),
      goal: { most: 1.2 },
    },
  ];
}
