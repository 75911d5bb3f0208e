import type { Page } from 'playwright-core';
import { freePort } from '../../cli/embedded/ports';
import { accessible, openBrowser, type Watched } from '../helpers/browser';
import { cleanUp, cli, runProgram, startUp, stopUp, until, type Up } from '../helpers/up';

/** What is on every tab, the calendar, and the overview, in a real browser on the real stack. */
let up: Up;
let browser: Watched;
let page: Page;
/** Its address stays the same when it starts again. */
let port: number;

beforeAll(async () => {
  port = await freePort();
  [up, browser] = await Promise.all([startUp({ args: ['--port', String(port)] }), openBrowser()]);
  await up.says('Running. Ctrl-C');
  page = await browser.open();
  await page.goto(up.endpoints().signIn);
});
afterAll(async () => {
  await browser?.close();
  await cleanUp();
});
const say = async (...args: string[]) => {
  const { code, err } = await cli(up, ...args);
  expect([code, err]).toEqual([0, '']);
};
const button = (name: string | RegExp) => page.getByRole('button', { name });
const link = (name: string | RegExp) => page.getByRole('link', { name });
const panel = (name: string) => page.getByRole('region', { name, exact: true });

describe('the overview', () => {
  const figures = () => panel('How delivery goes');
  it('measures delivery, and each figure opens the deployments that it is made of', async () => {
    await say('ship', 'shop', 'broken', '--title', 'Spring catalogue');
    await say('approve', 'CP-2');
    await say('deploy', 'CP-2');
    const failures = figures().getByRole('link', { name: /Change failure rate/ });
    await failures.getByText('50%').waitFor();
    // What happened on one day is no course.
    await failures.getByText('2 deployments').waitFor();
    await figures()
      .getByRole('link', { name: /Deployment frequency/ })
      .getByText('0.03 a day')
      .waitFor();
    await failures.click();
    await page.waitForURL(/overview\/change-failure-rate/);
    const counted = panel('Change failure rate');
    await counted
      .getByRole('row', { name: /CP-2\.1 Spring catalogue shop .* rolled back by itself/ })
      .waitFor();
    await counted.getByRole('row', { name: /CP-1\.1 Open the shop shop .* stayed/ }).waitFor();
    await accessible(page, 'overview');
    await figures().getByLabel('Over').selectOption('7');
    await figures()
      .getByRole('link', { name: /Deployment frequency/ })
      .getByText('0.14 a day')
      .waitFor();
    await page.goBack();
    await page.getByRole('combobox', { name: 'Over' }).waitFor();
    await counted.getByRole('link', { name: 'CP-2.1' }).click();
    await page.waitForURL(/promotions\/CP-2\.1$/);
    await page.getByRole('heading', { name: 'CP-2 · Spring catalogue' }).waitFor();
    await link('Overview').click();
  });

  it('says what was rolled back and may be retried', async () => {
    await panel('Needs somebody now')
      .getByText('CP-2 Spring catalogue was rolled back on shop; its approval still stands')
      .waitFor();
  });
});

describe('the calendar', () => {
  it('shows the deployments of the week, and what may be done when there is no window', async () => {
    await link('Calendar').click();
    await page
      .getByRole('region', { name: 'Week' })
      .getByRole('link', { name: /CP-1\.1 .*, succeeded/ })
      .waitFor();
    expect(await page.title()).toBe('Calendar · Signalbox');
  });

  it('makes a window, which shows where it is', async () => {
    await link('New window …').click();
    const form = panel('New window');
    await form.getByLabel('Name').fill('Evenings');
    await form.getByLabel('For').selectOption('target shop');
    await form.getByLabel('Time zone').fill('Europe/Berlin');
    await form.getByLabel('Repeats').selectOption('FREQ=DAILY');
    await form.getByText(/It lasts from .*, and next from/).waitFor();
    await button(/^Save/).click();
    await page.waitForURL(/calendar$/);
    await until(
      'it on each day of the week from today on',
      async () => (await page.getByRole('link', { name: /Open: Evenings/ }).count()) >= 1,
    );
    await accessible(page, 'calendar-week');
  });

  it('refuses what makes no sense in the words of the server', async () => {
    await link('New window …').click();
    await panel('New window').getByLabel('Name').fill('Nowhere');
    await panel('New window').getByLabel('Time zone').fill('Europe/Atlantis');
    await panel('New window').getByText('is no IANA zone').first().waitFor();
    await link('Close').click();
  });

  it('previews what a freeze would hold before it is made', async () => {
    await say('window', 'remove', 'Evenings');
    await say('ship', 'shop', 'v2', '--title', 'Sell timetables too');
    await say('approve', 'CP-3');
    await link('New freeze …').click();
    const form = panel('New freeze');
    await form.getByLabel('Name').fill('Year end');
    await form.getByLabel('Reason').fill('the books are closed');
    await form.getByLabel('How long it lasts').fill('2');
    await form.getByText(/It holds .* that could go without it/).waitFor();
    await form
      .getByRole('listitem')
      .filter({ hasText: /CP-3 Sell timetables too to shop, until/ })
      .waitFor();
    await accessible(page, 'calendar-freeze');
    await button(/^Save/).click();
    await page.waitForURL(/calendar$/);
    await page
      .getByRole('link', { name: /Freeze: Year end/ })
      .first()
      .waitFor();
    expect((await cli(up, 'deploy', 'CP-3')).err).toContain('Freeze "Year end"');
  });

  it('passes it with one change, once a second person agrees; the overview says that one is waited for', async () => {
    await page.goto(`${up.endpoints().page}promotions/CP-3`);
    await button('Pass the window with this change …').click();
    await panel('CP-3').getByLabel('Why').fill('the till is down');
    await button(/^Ask/).click();
    await panel('CP-3')
      .getByText(/Year end: waits for a second release manager; asked for by rosa/)
      .waitFor();
    await accessible(page, 'override');
    await page.getByLabel('You are').selectOption('amir');
    await link('Overview').click();
    await panel('Needs somebody now')
      .getByText('rosa asks to pass "Year end" with it; a second release manager has to agree.')
      .waitFor();
    await page.getByLabel('You are').selectOption('rosa');
    const made = await cli(up, 'token', 'create', '--person', 'rita', '--role', 'release-manager', '--json');
    const { token } = JSON.parse(made.out) as { token: string };
    const env = { SIGNALBOX_URL: new URL(up.endpoints().page).origin, SIGNALBOX_TOKEN: token };
    expect((await runProgram(['window', 'second', '1'], { env })).code).toBe(0);
    await page.goBack();
    await panel('CP-3')
      .getByText(/Year end: in force; asked for by rosa, seconded by rita/)
      .waitFor();
    await panel('CP-3').getByText('open', { exact: true }).waitFor();
    await button('Take it back').click();
    await panel('CP-3')
      .getByText(/Year end: taken back/)
      .waitFor();
    await panel('CP-3').getByText('closed', { exact: true }).waitFor();
    await link('Calendar').click();
  });

  it('switches between zones, weeks and months, and the address keeps it', async () => {
    await page.getByLabel('Times of').selectOption('Asia/Tokyo');
    await page.getByRole('combobox', { name: 'Show' }).selectOption('month');
    await page.waitForURL(/zone=Asia%2FTokyo&view=month/);
    await page.getByRole('list', { name: 'Month' }).getByText('Freeze: Year end').first().waitFor();
    await accessible(page, 'calendar-month');
    await page.reload();
    await page.getByRole('list', { name: 'Month' }).waitFor();
    await button('Later').click();
    await button('Today').click();
    await page.goBack();
    await page.goBack();
    await page.getByRole('list', { name: 'Month' }).getByText('Freeze: Year end').first().waitFor();
  });

  it('changes and removes one where it stands; a stale change is refused', async () => {
    await page
      .getByRole('link', { name: /Freeze: Year end/ })
      .first()
      .click();
    const form = panel('Freeze · Year end');
    await form.getByLabel('How long it lasts').fill('3');
    await button(/^Save/).click();
    await page.waitForURL(/calendar\?/);
    await page
      .getByRole('link', { name: /Freeze: Year end/ })
      .first()
      .click();
    await until('three days', async () => (await form.getByLabel('How long it lasts').inputValue()) === '3');
    await say('window', 'edit', 'Year end', '--minutes', '600');
    await form.getByLabel('Reason').fill('another one');
    await button(/^Save/).click();
    await form
      .getByRole('alert')
      .getByText(/at version 3 by now, not 2; look again/)
      .waitFor();
    await button('Remove …').click();
    await button(/^Remove$/).click();
    await page
      .getByRole('link', { name: /Freeze: Year end/ })
      .first()
      .waitFor({ state: 'detached' });
  });
});

/** Whether the second row has the focus. */
const second = `document.querySelectorAll('[data-row]')[1].contains(document.activeElement)`;
describe('by keyboard', () => {
  const press = async (...keys: string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  it('goes from tab to tab, through lists, into the search; a sheet tells the keys', async () => {
    await press('g', 'o');
    await page.waitForURL(/overview$/);
    await press('g', 'p');
    await page.waitForURL(/promotions$/);
    await page.getByRole('button', { name: /^CP-3 / }).waitFor();
    const focused = () => page.evaluate('document.activeElement.innerText') as Promise<string>;
    await press('j');
    await until('the next one', async () => /^CP-2\b/.test(await focused()));
    await press('k');
    await until('the one before', async () => /^CP-3\b/.test(await focused()));
    await press('j', 'Enter');
    await page.waitForURL(/promotions\/CP-2$/);
    await press('?');
    const sheet = page.getByRole('dialog', { name: 'Keyboard' });
    await sheet.getByText('The next one in the list').waitFor();
    await accessible(page, 'keyboard');
    await press('Escape');
    await sheet.waitFor({ state: 'detached' });
    await press('g', 'a');
    await page.waitForURL(/audit$/);
    await page.getByRole('row').nth(2).waitFor();
    await press('j', 'j');
    await until('the second entry', async () => (await page.evaluate(second)) === true);
    await press('?');
    await sheet.getByText('Search').waitFor();
    expect(await sheet.getByText('Add a new one').count()).toBe(0);
    await press('Escape');
    await sheet.waitFor({ state: 'detached' });
    await press('g', 'b');
    await page.waitForURL(/backlog$/);
    await page.getByLabel('Title of a new item').waitFor();
    await press('n');
    await until(
      'the focus on the new item',
      async () => (await page.evaluate('document.activeElement.placeholder')) === 'A new item',
    );
    // What is typed is text.
    await press('g', 'o');
    expect(await page.getByLabel('Title of a new item').inputValue()).toBe('go');
  });

  it('single letters can be switched off', async () => {
    await page.getByLabel('Title of a new item').fill('');
    await page.getByRole('heading', { name: 'Signalbox' }).click();
    await button('Keys').click();
    await page.getByLabel('Single letters act').uncheck();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await press('g', 'o');
    await page.evaluate(() => new Promise((done) => setTimeout(done)));
    expect(page.url()).toMatch(/backlog$/);
    await press('?');
    await page.getByLabel('Single letters act').check();
    await press('Escape');
  });
});

it('approves on a phone, at night', async () => {
  await say('ship', 'shop', 'v2', '--title', 'Late fix');
  const phone = await browser.open({ width: 390, height: 844 });
  await phone.goto((await cli(up, 'sign-in')).out.trim());
  await phone.getByLabel('You are').selectOption('amir');
  const need = phone.getByRole('region', { name: 'Needs somebody now' });
  await need.getByText('Late fix waits for your decision').waitFor();
  const wider = () => phone.evaluate('document.documentElement.scrollWidth - innerWidth') as Promise<number>;
  expect(await wider()).toBeLessThanOrEqual(0);
  await accessible(phone, 'phone-overview');
  await need.getByRole('link', { name: 'RFC-4' }).click();
  const request = phone.getByRole('region', { name: 'RFC-4', exact: true });
  await request.getByRole('button', { name: 'Approve' }).scrollIntoViewIfNeeded();
  await accessible(phone, 'phone-approve');
  expect(await wider()).toBeLessThanOrEqual(0);
  await request.getByRole('button', { name: 'Approve' }).click();
  await request.getByText('approved by amir').waitFor();
  for (const tab of ['Promotions', 'Epics', 'Calendar', 'Audit']) {
    await phone.getByRole('link', { name: tab, exact: true }).click();
    await phone.waitForURL(new RegExp(`${tab.toLowerCase()}`));
    await phone.locator('main section').first().waitFor();
    expect([tab, await wider()]).toEqual([tab, 0]);
    await accessible(phone, `phone-${tab.toLowerCase()}`);
  }
  await phone.close();
});

it('when Signalbox is killed in mid-deployment the page says since when it is stale, and follows on by itself', async () => {
  await say('retry', 'CP-2');
  await page.goto(`${up.endpoints().page}promotions/CP-2`);
  const promotion = panel('CP-2');
  await promotion.getByRole('listitem').filter({ hasText: 'Health check' }).getByText('running').waitFor();
  up.kill('SIGKILL');
  await up.ended;
  await page
    .getByText(/Signalbox does not answer. This is what was known at .*; trying again every 5 s./)
    .waitFor();
  // What was known stays.
  await promotion.getByText('CP-2.2').first().waitFor();
  await accessible(page, 'stale');
  up = await startUp({ state: up.state, args: ['--port', String(port)] });
  await page.getByText('Live: every change shows as it happens').waitFor();
  await promotion.locator('.outcome.bad').filter({ hasText: 'Rolled back' }).waitFor();
  await promotion
    .getByRole('region', { name: 'What happened' })
    .getByText(/Checked and healthy/)
    .waitFor();
  const { status } = JSON.parse((await cli(up, 'status', 'CP-2', '--json')).out);
  expect(status).toBe('rolled-back');
});

it('nothing went wrong in the page', async () => {
  expect(browser.problems.filter((text) => !/net::ERR_/.test(text))).toEqual([]);
  await stopUp(up);
});
