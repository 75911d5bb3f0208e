import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { accessible, openBrowser, type Watched } from '../helpers/browser';
import { cleanUp, cli, startUp, stopUp, until, type Up } from '../helpers/up';

/** The page in a real browser, on the real stack: ship, approve, Deploy Now, follow, rolled back. */
let up: Up;
let browser: Watched;
let page: Page;

beforeAll(async () => {
  [up, browser] = await Promise.all([startUp(), openBrowser()]);
  await up.says('Running. Ctrl-C');
  page = await browser.open();
  const own = up.endpoints().page;
  page.on('request', (request) => {
    if (!request.url().startsWith(own)) browser.problems.push(`a request to ${request.url()}`);
  });
});
afterAll(async () => {
  await browser?.close();
  await cleanUp();
});
const button = (name: string | RegExp) => page.getByRole('button', { name });
const promotion = () => page.getByRole('region', { name: /^CP-\d+$/ });

it('asks who you are, and says where to find out', async () => {
  await page.goto(up.endpoints().page);
  await page.getByText('Open the link that').waitFor();
  await page.getByLabel('API token').fill('nonsense');
  await button('Sign in').click();
  await page.getByText('Open the link that').waitFor();
});

it('signs in by the link, which leaves the address', async () => {
  await page.goto('about:blank');
  await page.goto(up.endpoints().signIn);
  await page.getByRole('link', { name: 'Promotions' }).click();
  await page.getByRole('heading', { name: 'CP-1 · Open the shop' }).waitFor();
  expect(page.url()).not.toContain('sign-in');
  await promotion().getByText('live on shop').waitFor();
  await promotion().getByText('v1 is deployed to shop and healthy.').waitFor();
  await promotion()
    .getByRole('definition')
    .filter({ hasText: /sha256 .* verified/ })
    .waitFor();
  const link = await promotion().getByRole('link', { name: 'Open in the Temporal UI' }).getAttribute('href');
  expect((await fetch(link!)).status).toBe(200);
  await accessible(page, 'deployed');
});

it('says who you are, what that person may not do, and lets you go on as another of the sample people', async () => {
  const who = page.getByLabel('You are');
  expect(await who.inputValue()).toBe('carla');
  await who.selectOption('sven');
  await button('Ship a revision …').click();
  await button('Ship and submit as carla').waitFor();
  await button('Not now').click();
  await page.reload();
  await page.getByRole('heading', { name: 'CP-1 · Open the shop' }).waitFor();
  expect(await who.inputValue()).toBe('sven');
});

it('the link is good once', async () => {
  const used = up.endpoints().signIn;
  const [first, second] = [await browser.open(), await browser.open()];
  await first.goto(used);
  await first.getByLabel('You are').waitFor();
  await second.goto(used);
  await second.getByRole('alert').getByText('was used already').waitFor();
  expect((await cli(up, 'sign-in')).out.trim()).toBe(up.endpoints().signIn);
  expect(up.endpoints().signIn).not.toBe(used);
  for (const each of [first, second]) await each.close();
});

it('ships a broken release, approves it, deploys it and shows how it rolled back', async () => {
  await button('Ship a revision …').click();
  await page.getByLabel('Revision').fill('broken');
  await page.getByLabel('Title').fill('Spring catalogue');
  await button('Ship and submit').click();
  await page.getByRole('heading', { name: 'CP-2 · Spring catalogue' }).waitFor();
  // The newest one shows by itself; the address follows with the answer.
  await page.waitForURL(/promotions\/CP-2$/);
  expect(await button('Deploy Now').count()).toBe(0);
  await promotion()
    .getByText(/2 commits, .* since v1, which runs now/)
    .click();
  await button('Approve').click();
  await promotion().getByText('approved by amir').waitFor();
  // As amir for that alone: nobody else has become of whoever pressed it.
  expect(await page.getByLabel('You are').inputValue()).toBe('sven');
  await button('Deploy Now as rosa').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText(/shop goes from v1/).waitFor();
  await dialog.getByText('You do this as rosa.').waitFor();
  await dialog.getByText(/about .* as its last runs did/).waitFor();
  await dialog.getByText('No deployment window restricts shop').waitFor();
  await dialog.getByText('amir (approval)').waitFor();
  await dialog.getByText('made and verified before the swap').waitFor();
  await accessible(page, 'deploy-now');
  await dialog.getByRole('button', { name: 'Deploy Now' }).click();
  await promotion().getByRole('listitem').filter({ hasText: 'Health check' }).getByText('running').waitFor();
  // A screen reader is told, on whichever tab one is.
  await page.getByText(/CP-2\.1: Running, health-check/).waitFor({ state: 'attached' });
  await accessible(page, 'deploying');
  await promotion().getByText('Check what was restored').waitFor();
  await promotion().locator('.outcome.bad').filter({ hasText: 'Rolled back' }).waitFor();
  await promotion().getByText('made index.html for broken').waitFor();
  await button('Retry').waitFor();
  await button('Jump to the first error').click();
  const first = page.locator('.first-error');
  expect(await first.textContent()).toContain('Unhealthy');
  expect(await page.getByLabel('follow').isChecked()).toBe(false);
  await page.getByRole('region', { name: 'Targets' }).getByText('v1').waitFor();
  await page
    .getByRole('region', { name: 'Targets' })
    .getByText(/^On .+: Builds run (in|WITHOUT) a sandbox.*\.$/)
    .waitFor();
  await accessible(page, 'rolled-back');
});

it('says which step failed with its last lines, what was undone, and how what runs now was checked', async () => {
  const happened = promotion().getByRole('region', { name: 'What happened' });
  await happened.getByText('Health check', { exact: true }).waitFor();
  await happened.getByText(/^Unhealthy: .* Last: status 500\.$/).waitFor();
  await happened.getByText('What it answered').click();
  await happened.getByText('"version": "broken"').waitFor();
  await happened.getByText('What it answered').click();
  // Besides the log, it stands there alone.
  const card = await promotion().innerText();
  expect(card.slice(0, card.indexOf('Jump to the first error'))).not.toContain('catalogue.json');
  await happened.getByText(/Undo swap, done/).waitFor();
  await happened.getByText(/Checked and healthy/).waitFor();
});

it('shows what Temporal recorded, also when Temporal has it no more, and gives it to be kept', async () => {
  await promotion().getByText('What Temporal recorded').click();
  const history = promotion().getByRole('region', { name: 'deploy/CP-2/1' });
  await history.getByText('Undo swap: make the release from before current again: done').waitFor();
  await history.getByText(/kept by Signalbox since/).waitFor();
  await accessible(page, 'history');
  const [kept] = await Promise.all([
    page.waitForEvent('download'),
    history.getByRole('button', { name: 'Download for the Temporal UI' }).click(),
  ]);
  const { events } = JSON.parse(readFileSync(await kept.path(), 'utf8')) as { events: object[] };
  expect(events.length).toBeGreaterThan(30);
  await promotion().getByText('What Temporal recorded').click();
});

it('finds lines in the log, shows what is around them, and gives it to be kept', async () => {
  const log = promotion().getByRole('region', { name: 'Log' });
  await log.getByLabel('Search').fill('INDEX.html');
  await log.getByText(/line has this text|lines have this text/).waitFor();
  const lines = await log.locator('.line .text').allInnerTexts();
  expect(lines.length).toBeGreaterThan(0);
  expect(lines.filter((line) => !line.toLowerCase().includes('index.html'))).toEqual([]);
  await accessible(page, 'log-search');
  await page.waitForURL(/log=INDEX\.html$/);
  await log.locator('button.seq').first().click();
  await log.locator('.first-error').getByText('index.html').waitFor();
  await page.waitForURL(/\?line=\d+$/);
  await page.reload();
  await log.locator('.first-error').getByText('index.html').waitFor();
  await log.getByLabel('Search').fill('no such text');
  await log.getByText('No line has this text.').waitFor();
  await log.getByLabel('Search').fill('');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    log.getByRole('button', { name: 'Download' }).click(),
  ]);
  expect(download.suggestedFilename()).toBe('CP-2.1.log');
  const text = readFileSync(await download.path(), 'utf8');
  expect(text).toContain('made index.html for broken');
  expect(text.split('\n')[0]).toMatch(/^1 2/);
});

it('shows a refusal in the words of the server', async () => {
  await button('Ship a revision …').click();
  await page.getByLabel('Revision').fill('brokn');
  await button('Ship and submit').click();
  await page.getByRole('alert').getByText('Nearest: broken').waitFor();
  await button('Not now').click();
});

it('keeps what it shows across a reload, and the back button works', async () => {
  await page.reload();
  await page.getByRole('heading', { name: 'CP-2 · Spring catalogue' }).waitFor();
  await button(/^CP-1 /).click();
  await page.getByRole('heading', { name: 'CP-1 · Open the shop' }).waitFor();
  await page.goBack();
  await page.getByRole('heading', { name: 'CP-2 · Spring catalogue' }).waitFor();
});

it('is live; when the stream breaks it polls and says so; it becomes live again by itself', async () => {
  await page.getByText('Live: every change shows as it happens').waitFor();
  const second = await browser.open();
  await second.route('**/api/events', (route) => route.abort());
  await second.goto(up.endpoints().signIn);
  await second.getByText('Updating every 5 s').waitFor();
  await second.getByRole('link', { name: 'Promotions' }).click();
  await second.getByRole('heading', { name: /^CP-2 / }).waitFor();
  await second.unroute('**/api/events');
  await second.getByText('Live: every change shows as it happens').waitFor();
  await second.close();
});

it('what could not be read is read again, also where nothing changes any more', async () => {
  const second = await browser.open();
  await second.route(/\/log\?/, (route) => route.abort());
  await second.goto(up.endpoints().signIn);
  await second.getByRole('link', { name: 'Promotions' }).click();
  const log = second.getByRole('region', { name: 'Log' });
  await log.getByText('The log could not be read; that is tried again').waitFor();
  await second.unroute(/\/log\?/);
  await log.getByText('made index.html for broken').waitFor();
  await second.close();
});

it('everyone watching sees the same, also after a reload and a lost connection', async () => {
  // Buttons say as whom; everyone is the same person here.
  await page.getByLabel('You are').selectOption('carla');
  await button('Retry as rosa').waitFor();
  const [reloading, losing] = [await browser.open(), await browser.open()];
  const pages = [page, reloading, losing];
  for (const other of [reloading, losing]) {
    await other.goto(up.endpoints().signIn);
    await other.getByRole('link', { name: 'Promotions' }).click();
    await other.getByRole('heading', { name: /^CP-2 / }).waitFor();
  }
  await page.getByRole('heading', { name: /^CP-2 / }).waitFor();
  expect((await cli(up, 'retry', 'CP-2')).code).toBe(0);
  for (const each of pages) await each.getByText('CP-2.2').first().waitFor();
  await losing.context().setOffline(true);
  await reloading.reload();
  await page.locator('.outcome.bad').filter({ hasText: 'Rolled back' }).waitFor();
  await losing.context().setOffline(false);
  await losing.getByText('Live: every change shows as it happens').waitFor();
  const shown = (each: Page) => each.getByRole('region', { name: /^CP-2$/ }).innerText();
  await until('all to show the same end', async () => {
    const texts = await Promise.all(pages.map(shown));
    return texts.every((text) => text === texts[0] && /CP-2\.2[^]*Rolled back:/.test(text));
  });
  for (const other of [reloading, losing]) await other.close();
});

it('what is pressed without a network is said to be unanswered, and never sent later', async () => {
  const attempts = async () => new Set((await promotion().innerText()).match(/CP-2\.\d/g)).size;
  const before = await attempts();
  await page.context().setOffline(true);
  await button('Retry as rosa').click();
  await page.getByRole('dialog').getByRole('button', { name: 'Retry' }).click();
  await promotion().getByText('Nothing is sent again by itself').waitFor();
  await page.getByText(/Signalbox does not answer\. This is what was known/).waitFor();
  await page.context().setOffline(false);
  await page.getByText('Live: every change shows as it happens').waitFor();
  // What waited for the network would be sent with the first reads that find it back.
  await page.getByRole('heading', { name: /^CP-2 / }).waitFor();
  await new Promise((later) => setTimeout(later, 3_000));
  expect(await attempts()).toBe(before);
});

it('a blocked item holds what carries it, and the page says so before one presses', async () => {
  await cli(up, 'item', 'add', 'Sell timetables');
  await cli(up, 'item', 'block', 'ITEM-1', '--reason', 'the printer is broken');
  expect((await cli(up, 'item', 'unblock', '1', '--resolution', 'repaired')).code).toBe(0);
  await cli(up, 'ship', 'shop', 'v2', '--title', 'Blocked later', '--item', 'ITEM-1');
  await cli(up, 'approve', 'CP-3');
  await cli(up, 'item', 'block', 'ITEM-1', '--reason', 'the ink is empty');
  await page.getByRole('button', { name: /^CP-3 / }).click();
  await promotion()
    .getByText(
      /Deploy Now: ITEM-1 is blocked by .*the ink is empty.* Nothing that carries a blocked item is deployed\./,
    )
    .waitFor();
  expect(await button('Deploy Now as rosa').isDisabled()).toBe(true);
  await promotion().getByRole('paragraph').getByRole('link', { name: 'ITEM-1' }).click();
  await page.getByRole('region', { name: 'ITEM-1', exact: true }).waitFor();
  await page.goBack();
  expect((await cli(up, 'item', 'unblock', '2', '--resolution', 'refilled')).code).toBe(0);
  await until('Deploy Now to be free', () => button('Deploy Now as rosa').isEnabled());
  await cli(up, 'withdraw', 'CP-3');
});

it('lists promotions by target and status, and the address keeps it', async () => {
  await page.getByRole('region', { name: 'Promotions' }).getByLabel('Status').selectOption('deployed');
  await page.waitForURL(/promotions\/CP-3\?status=deployed$/);
  await until('the deployed one alone', async () => (await page.locator('.promotions li').count()) === 1);
  await page.reload();
  await until('the deployed one alone', async () => (await page.locator('.promotions li').count()) === 1);
  await page.goBack();
  await until('all of them', async () => (await page.locator('.promotions li').count()) === 3);
});

it('outside of its window Deploy Now says why, and deploys when it opens', async () => {
  await cli(up, 'ship', 'shop', 'v2', '--title', 'Sell timetables too');
  await cli(up, 'approve', 'CP-4');
  await page.getByRole('button', { name: /^CP-4 / }).click();
  await page.getByRole('heading', { name: 'CP-4 · Sell timetables too' }).waitFor();
  await button('Withdraw my approval as amir').waitFor();
  const start = new Date(Date.now() - 3_600_000).toISOString().slice(0, 16);
  const freeze = [
    'window',
    'add',
    'freeze',
    'Year end',
    '--start',
    start,
    '--zone',
    'UTC',
    '--minutes',
    '600',
  ];
  expect((await cli(up, ...freeze, '--reason', 'the books are closed')).code).toBe(0);
  await page.getByRole('region', { name: 'Targets' }).getByText('closed', { exact: true }).waitFor();
  await promotion()
    .getByText(/Deploy Now: shop is closed. Freeze "Year end" until .* \(the books are closed\); it opens/)
    .waitFor();
  expect(await button('Deploy Now as rosa').isDisabled()).toBe(true);
  expect((await cli(up, 'deploy', 'CP-4')).err).toContain(
    'Refused (window-closed): shop is closed: Freeze "Year end"',
  );
  await accessible(page, 'closed');
  await button('Deploy when it opens').click();
  await page
    .getByRole('dialog')
    .getByText(/It sleeps until .* and then begins by itself/)
    .waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Deploy when it opens' }).click();
  await promotion().getByText('Waiting for window').first().waitFor();
  await promotion()
    .getByText(/its window: Freeze "Year end"/)
    .waitFor();
  await accessible(page, 'asleep');
  expect((await cli(up, 'window', 'remove', 'Year end')).out).toContain(
    'Whoever waits for a window looks again',
  );
  await promotion().getByText('live on shop').waitFor();
  // Also how it ended is told.
  await page.getByText(/CP-4 for shop: Deployed/).waitFor({ state: 'attached' });
  await promotion().getByText('open', { exact: true }).waitFor();
});

it('fits a phone, light and dark, whatever is written', async () => {
  const long = 'w'.repeat(190);
  const shipped = JSON.parse(
    (
      await cli(
        up,
        'ship',
        'shop',
        'v1',
        '--title',
        long,
        '--description',
        `${long}${long} ${'x '.repeat(200)}`,
        '--json',
      )
    ).out,
  );
  const [promotionKey, request] = [shipped.key as string, shipped.changeRequest as string];
  await page.setViewportSize({ width: 390, height: 844 });
  for (const path of ['overview', `promotions/${promotionKey}`, `change-requests/${request}`, 'audit']) {
    await page.goto(`${up.endpoints().page}${path}`);
    await page.getByText(long.slice(0, 100)).locator('visible=true').first().waitFor();
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      expect([path, colorScheme, wide]).toEqual([path, colorScheme, 390]);
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
});

it('an address leads to an attempt, or says that it leads nowhere', async () => {
  await page.goto(`${up.endpoints().page}promotions/CP-2.1`);
  const attempts = promotion().getByRole('navigation', { name: 'Attempts' });
  await attempts.locator('[aria-current=true]').getByText('CP-2.1').waitFor();
  await attempts.getByText('CP-2.2').click();
  await page.waitForURL(/promotions\/CP-2\.2$/);
  await page.getByRole('article', { name: 'CP-2.2' }).waitFor();
  await page.goto(`${up.endpoints().page}promotions/CP-2/more`);
  await page.getByRole('heading', { name: 'There is no page here' }).waitFor();
  await accessible(page, 'nowhere');
  await page.getByRole('main').getByRole('link', { name: 'Overview' }).click();
  await page.waitForURL(/overview$/);
});

it('a draft reads as one, an emergency is marked, and what is given up for good is asked', async () => {
  const ship = ['ship', 'shop', 'v1', '--draft', '--emergency', 'the shop is closed'];
  const { key } = JSON.parse((await cli(up, ...ship, '--title', 'Reopen', '--json')).out);
  expect((await cli(up, 'status', key)).out).toContain(`${key} Reopen: draft`);
  await page.goto(`${up.endpoints().page}promotions`);
  const entry = page.getByRole('region', { name: 'Promotions' }).getByRole('button', { name: 'Reopen' });
  await entry.getByText('Draft', { exact: true }).waitFor();
  await entry.getByText('emergency').waitFor();
  await page.evaluate('scrollTo(0, document.body.scrollHeight)');
  await entry.dispatchEvent('click');
  const heading = page.getByRole('heading', { name: `${key} · Reopen` });
  await heading.waitFor();
  const { y } = (await heading.boundingBox())!;
  expect(y).toBeGreaterThanOrEqual(0);
  expect(y).toBeLessThan(450);
  await promotion()
    .getByRole('button', { name: /^Withdraw/ })
    .click();
  const asked = page.getByRole('dialog');
  await asked.getByText('That is for good').waitFor();
  await asked.getByRole('button', { name: 'Not now' }).click();
  await asked.waitFor({ state: 'hidden' });
  expect((await cli(up, 'status', key)).out).toContain(`${key} Reopen: draft`);
});

it('says that it is stale when the server is away', async () => {
  await stopUp(up);
  await page.getByText(/Signalbox does not answer. This is what was known at/).waitFor();
});

it('made no error and asked nobody else', () => {
  expect(browser.problems.filter((text) => !/net::ERR_/.test(text))).toEqual([]);
});
