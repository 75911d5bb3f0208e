import { mkdirSync, readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from '../../bench/chromium';
import { patienceMs } from './until';

/** A real browser: pages of it note what goes wrong in them, and are checked by axe and pictured. */
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
/** A folder to write a picture of each view to, light and dark. */
const pictures = process.env.SCREENSHOTS;

export interface Watched {
  browser: Browser;
  open(viewport?: { width: number; height: number }): Promise<Page>;
  /** What scripts threw and wrote as errors, in any page. */
  problems: string[];
  close(): Promise<void>;
}

export async function openBrowser(): Promise<Watched> {
  const browser = await launchChromium();
  const problems: string[] = [];
  return {
    browser,
    problems,
    async open(viewport = { width: 1280, height: 900 }) {
      const page = await browser.newPage({ viewport, locale: 'en-GB', timezoneId: 'Europe/Berlin' });
      page.setDefaultTimeout(patienceMs);
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => {
        // The browser itself writes a line for each refused request; those are the page's to show.
        if (message.type() === 'error' && !message.text().includes('the server responded with a status'))
          problems.push(message.text());
      });
      return page;
    },
    close: () => browser.close(),
  };
}

/** Fails for what axe finds, in both colour schemes; writes a picture of each, where they are asked for. */
export async function accessible(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(axe);
    const { violations } = (await page.evaluate(
      "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })",
    )) as { violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] };
    expect([
      name,
      colorScheme,
      violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map((n) => `${n.html} ${n.failureSummary}`)]),
    ]).toEqual([name, colorScheme, []]);
    if (!pictures) continue;
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: `${pictures}/${name}-${colorScheme}.png` });
  }
}
