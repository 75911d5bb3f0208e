import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer, type Server } from 'node:http';
import type { Browser } from 'playwright-core';
import { Client, Connection } from '@temporalio/client';
import { deployWorkflowId } from '../../workflows/messages';
import { launchChromium } from '../../bench/chromium';
import { makeRepository } from '../helpers/repository';
import { patienceMs } from '../helpers/until';
import { cleanUp, cli, newFolder, startUp, stopUp, until, type Up } from '../helpers/up';

/** 200 MB of build output: worker, page and history stay as small as with none. */
const megabytes = 200;
const line = 'compiling src/catalogue/spring/page with a long name: '.padEnd(249, '.');

let up: Up;
let browser: Browser;
let site: Server;
beforeAll(async () => {
  const folder = newFolder();
  const at = (name: string) => join(folder, name);
  mkdirSync(at('data'));
  const { write, commit } = await makeRepository(at('repo'));
  write(
    'build.js',
    `const fs = require('node:fs');
     fs.mkdirSync('dist');
     const lines = Number(fs.readFileSync('lines', 'utf8'));
     fs.writeFileSync('dist/lines', String(lines));
     const many = (${JSON.stringify(`${line}\n`)}).repeat(1000);
     fs.writeSync(2, 'warning: the first error\\n');
     for (let n = 0; n < lines; n += 1000) fs.writeSync(1, many);
     fs.writeSync(1, 'the last line\\n');`,
  );
  for (const [tag, lines] of [
    ['small', 1000],
    ['big', megabytes * 4000],
  ] as const) {
    write('lines', String(lines));
    await commit(tag, tag);
  }
  site = createServer((_, response) => response.setHeader('connection', 'close').end('ok'));
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const { port } = site.address() as { port: number };
  writeFileSync(
    at('config.yaml'),
    `targets:
  big:
    repository: repo
    build: { argv: ["${process.execPath}", build.js] }
    driver: { kind: directory, root: site }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:${port}/", version: none, successes: 1 }
`,
  );
  [up, browser] = await Promise.all([
    startUp({ args: ['--no-sample', '--config', at('config.yaml')] }),
    launchChromium(),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await cleanUp();
  site.close();
});

/** Most memory the process ever held, in MB. */
const peakOf = (pid: number) =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;

it('stays bounded, is followed while it is written, and its first error is found', async () => {
  const deploy = async (revision: string, key: string, ...wait: string[]) => {
    await cli(up, 'ship', 'big', revision);
    await cli(up, 'approve', key);
    return (await cli(up, 'deploy', key, ...wait)).code;
  };
  expect(await deploy('small', 'CP-1', '--wait')).toBe(0);
  const page = await browser.newPage();
  page.setDefaultTimeout(patienceMs);
  await page.goto(up.endpoints().signIn);
  await page.getByRole('link', { name: 'Promotions' }).click();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  const before = peakOf(up.pid);
  const started = Date.now();
  expect(await deploy('big', 'CP-2')).toBe(0);
  await page.getByRole('button', { name: /^CP-2 / }).click();

  let heap = 0;
  const shown = new Set<number>();
  await until('its end', async () => {
    const { metrics } = await cdp.send('Performance.getMetrics');
    heap = Math.max(heap, metrics.find(({ name }) => name === 'JSHeapUsedSize')!.value / 2 ** 20);
    const lines = page.locator('.line');
    const count = await lines.count();
    expect(count).toBeLessThanOrEqual(2_000);
    if (count > 0) shown.add(Number(await lines.last().getAttribute('data-seq')));
    return JSON.parse((await cli(up, 'status', 'CP-2.1', '--json')).out).status === 'succeeded';
  });
  const seconds = (Date.now() - started) / 1000;
  const worker = peakOf(up.pid);

  await page.getByText('health-check: healthy').waitFor();
  await page.getByRole('button', { name: 'Jump to the first error' }).click();
  const first = page.locator('.first-error');
  await first.getByText('warning: the first error').waitFor();
  expect(await first.isVisible()).toBe(true);
  await page.getByLabel('follow').check();
  await page.getByText('health-check: healthy').waitFor();

  const { temporalAddress } = up.endpoints();
  const connection = await Connection.connect({ address: temporalAddress });
  const { workflow } = new Client({ connection });
  const sizes = await Promise.all(
    [1, 2].map(async (promotion) => {
      const { historyLength, historySize } = await workflow
        .getHandle(deployWorkflowId(promotion, 1, ''))
        .describe();
      return { events: historyLength, bytes: historySize! };
    }),
  );
  await connection.close();
  console.log(
    `${megabytes} MB of build output in ${seconds.toFixed(0)} s; peak of worker and API ${worker.toFixed(0)} MB ` +
      `(${before.toFixed(0)} MB before), of the page's heap ${heap.toFixed(0)} MB; the page showed ${shown.size} ` +
      `different ends of the log; history ${JSON.stringify(sizes)}`,
  );
  // What one object kept for each of 800,000 lines would add is more than this.
  expect(worker - before).toBeLessThan(300);
  expect(heap).toBeLessThan(megabytes / 2);
  expect(shown.size).toBeGreaterThan(3);
  expect(sizes[1]!.events).toBe(sizes[0]!.events);
  expect(Math.abs(sizes[1]!.bytes / sizes[0]!.bytes - 1)).toBeLessThan(0.02);
  await stopUp(up);
});
