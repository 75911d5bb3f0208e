import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { launchChromium } from './chromium';
import { median, type Result } from './result';

/**
 * The Operations page in a new browser, nothing of it known: from the address to an overview that shows its figures and
 * targets and answers to a click; then every other tab from the click to its content.
 */
const tabs: [name: string, shows: string][] = [
  ['Promotions', 'CP-1 · Open the shop'],
  ['Change requests', 'RFC-1 · Open the shop'],
  ['Backlog', 'There is no item yet'],
  ['Epics', 'There is no epic yet'],
  ['Calendar', 'CP-1.1'],
  ['Audit', 'deployment.'],
  ['Overview', 'How delivery goes'],
];

export async function page(quick: boolean): Promise<Result[]> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-page-'));
  const state = join(folder, 'state');
  const program = join(__dirname, '..', 'cli', 'main.js');
  const up = spawn(process.execPath, [program, 'up', '--port', '0', '--state', state], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((ready, failed) => {
    up.stdout.on('data', (chunk: Buffer) => chunk.toString().includes('Running. Ctrl-C') && ready());
    up.once('exit', (code) => failed(new Error(`up ended with ${code}`)));
  });
  const cold: number[] = [];
  const kilobytes: number[] = [];
  const slowest: number[] = [];
  try {
    for (let n = 0; n < (quick ? 3 : 9); n++) {
      const browser = await launchChromium();
      const view = await browser.newPage();
      const network = await view.context().newCDPSession(view);
      let bytes = 0;
      await network.send('Network.enable');
      network.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
      // The link is good once; the next one is there by then.
      const { signIn } = JSON.parse(readFileSync(join(state, 'endpoints.json'), 'utf8')) as {
        signIn: string;
      };
      await view.goto(signIn);
      await view.locator('.figure strong').first().waitFor();
      await view.locator('.target').first().waitFor();
      cold.push((await view.evaluate('performance.now()')) as number);
      kilobytes.push(bytes / 1024);
      const took = [];
      for (const [name, shows] of tabs) took.push(await opened(view, name, shows));
      slowest.push(Math.max(...took));
      await browser.close();
    }
  } finally {
    up.kill('SIGINT');
    await once(up, 'exit');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  const figure = (what: string, ours: string, value: number, unit: string, most: number): Result => ({
    what,
    ours,
    peer: 'none',
    value,
    unit,
    goal: { most },
  });
  const [seconds, size, tab] = [median(cold) / 1000, median(kilobytes), median(slowest)];
  return [
    figure('page, cold, to an overview that answers', `${seconds.toFixed(2)} s`, seconds, ' s', 1.5),
    figure('page, read until then, with its data', `${size.toFixed(0)} KiB`, size, ' KiB', 150),
    figure('page, slowest of seven tabs', `${tab.toFixed(0)} ms`, tab, ' ms', 300),
  ];
}

/** From the click on a tab until its content is in the document, in milliseconds. */
const opened = (view: Page, name: string, shows: string): Promise<number> =>
  view.evaluate(`new Promise((done) => {
    const began = performance.now();
    const look = () => document.querySelector('main').innerText.includes(${JSON.stringify(shows)});
    new MutationObserver((_, observer) => {
      if (!look()) return;
      observer.disconnect();
      done(performance.now() - began);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
    [...document.querySelectorAll('.tabs a')].find((tab) => tab.textContent === ${JSON.stringify(name)}).click();
  })`);
