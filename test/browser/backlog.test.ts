import pg from 'pg';
import type { Page } from 'playwright-core';
import { accessible, openBrowser, type Watched } from '../helpers/browser';
import { cleanUp, cli, startUp, stopUp, until, type Up } from '../helpers/up';

/** The tabs of the backlog in a real browser, on the real stack. */
let up: Up;
let browser: Watched;
let page: Page;

beforeAll(async () => {
  [up, browser] = await Promise.all([startUp(), openBrowser()]);
  await up.says('Running. Ctrl-C');
  page = await browser.open();
  await page.goto(up.endpoints().signIn);
  await page.getByRole('link', { name: 'Backlog' }).click();
});
afterAll(async () => {
  await browser?.close();
  await cleanUp();
});

const say = async (...args: string[]) => {
  const { code, err } = await cli(up, ...args);
  expect([code, err]).toEqual([0, '']);
};
const keys = async (): Promise<string[]> => {
  const shown = await page
    .locator('.item')
    .evaluateAll((rows) =>
      rows
        .map((row) => ({ key: row.querySelector('.key')!.textContent, top: row.getBoundingClientRect().top }))
        .sort((a, b) => a.top - b.top),
    );
  return shown.map(({ key }) => key);
};
const shows = (expected: string[]) =>
  until(`the order ${expected.join()}`, async () => (await keys()).join() === expected.join());
const button = (name: string | RegExp, options: { exact?: boolean } = {}) =>
  page.getByRole('button', { name, ...options });
/** Lifts by keyboard. The page listens for the arrows from its next task on, sooner than anybody can press one. */
const lift = async (key: string) => {
  await button(`Move ${key}`).focus();
  await page.keyboard.press('Space');
  await page.getByText(new RegExp(`^${key} is over `)).waitFor({ state: 'attached' });
  await page.evaluate(() => new Promise((done) => setTimeout(done)));
};
const panel = (key: string) => page.getByRole('region', { name: key, exact: true });
const item = (key: string) => page.locator('.item').filter({ hasText: key });

it('says what to do while there is nothing', async () => {
  await page.getByText('There is no item yet.').waitFor();
  await accessible(page, 'backlog-empty');
  await page.getByRole('link', { name: 'Epics' }).click();
  await page.getByText('There is no epic yet.').waitFor();
});

it('adds epics and items, which show everywhere at once', async () => {
  const other = await browser.open({ width: 900, height: 700 });
  await other.goto((await cli(up, 'sign-in')).out.trim());
  await other.getByRole('link', { name: 'Backlog' }).click();
  await page.getByLabel('Title of a new epic').fill('Timetables');
  await button(/^Add/).click();
  await page.getByRole('link', { name: 'EPIC-1 · Timetables' }).click();
  await page.waitForURL(/backlog\?epic=EPIC-1$/);
  for (const title of ['Show departures', 'Read the feed', 'Show delays']) {
    await page.getByLabel('Title of a new item').fill(title);
    await button(/^Add/).click();
    await page.locator('.item').filter({ hasText: title }).waitFor();
  }
  await shows(['ITEM-1', 'ITEM-2', 'ITEM-3']);
  expect(await page.getByRole('status').filter({ hasText: '3 items: 3 open' }).count()).toBe(1);
  await other.locator('.item').filter({ hasText: 'Show delays' }).waitFor();
  await other.close();
});

it('ranks by mouse and by keyboard, as the server has it', async () => {
  const handle = await item('ITEM-3').getByRole('button').boundingBox();
  const target = await item('ITEM-1').boundingBox();
  await page.mouse.move(handle!.x + 8, handle!.y + 8);
  await page.mouse.down();
  await page.mouse.move(handle!.x + 8, handle!.y - 20, { steps: 5 });
  await page.mouse.move(target!.x + 20, target!.y + 4, { steps: 10 });
  await page.mouse.up();
  await shows(['ITEM-3', 'ITEM-1', 'ITEM-2']);
  const served = async () =>
    JSON.parse((await cli(up, 'item', 'list', '--json')).out).items.map((i: any) => i.key);
  await until('the server to have it', async () => (await served()).join() === 'ITEM-3,ITEM-1,ITEM-2');

  const said = (text: string) => page.getByText(text).waitFor({ state: 'attached' });
  await lift('ITEM-3');
  await said('ITEM-3 is over place 1 of 3.');
  await page.keyboard.press('ArrowDown');
  await said('ITEM-3 is over place 2 of 3.');
  await page.keyboard.press('ArrowDown');
  await said('ITEM-3 is over place 3 of 3.');
  await page.keyboard.press('Space');
  await shows(['ITEM-1', 'ITEM-2', 'ITEM-3']);
  await until('the server to have it', async () => (await served()).join() === 'ITEM-1,ITEM-2,ITEM-3');
});

it('edits in place, blocks, and refuses in the words of the server', async () => {
  await item('ITEM-1').getByRole('link').click();
  await page.waitForURL(/backlog\/ITEM-1\?epic=EPIC-1$/);
  const one = panel('ITEM-1');
  await one.getByLabel('Owner').fill('omar');
  await one.getByLabel('Owner').press('Enter');
  await one.getByLabel('Priority').selectOption('high');
  await one.getByLabel('Due').fill('2020-01-01');
  await one.getByLabel('Due').blur();
  await item('ITEM-1').getByText('overdue').waitFor();
  await item('ITEM-1').getByText('omar').waitFor({ state: 'attached' });

  await button('Raise a blocker …').click();
  await one.getByLabel('By', { exact: true }).fill('item-2');
  await one.getByLabel('Why').fill('needs its data');
  await button('Raise', { exact: true }).click();
  await item('ITEM-1').getByText('blocked by ITEM-2').waitFor();
  await button('Done', { exact: true }).click();
  await one.getByRole('alert').getByText('ITEM-1 is blocked by ITEM-2 (needs its data)').waitFor();
  await accessible(page, 'backlog');
  await one.getByLabel('How it is resolved').fill('it is there');
  await button('Resolve', { exact: true }).click();
  await one.getByText('Nothing blocks it.').waitFor();

  await say('wip', 'set', 'owner:omar=0');
  await button('In progress', { exact: true }).click();
  await one.getByRole('alert').getByText('omar may have 0 in progress and has 0').waitFor();
  await say('wip', 'set', 'owner:omar=none');
  await button('In progress', { exact: true }).click();
  await one.getByText('In progress').first().waitFor();
  await button('Deferred …').click();
  await one.getByLabel('Why').fill('after the holidays');
  await button('Deferred', { exact: true }).click();
  await one.getByRole('listitem').filter({ hasText: 'after the holidays' }).waitFor();
});

it('keeps what is being typed while others save, and writes over nothing that was not seen', async () => {
  const one = panel('ITEM-1');
  const title = one.getByLabel('Title');
  await title.fill('Show depart');
  await say('item', 'edit', 'ITEM-1', '--title', 'Show every departure');
  await one.getByText('Somebody changed it meanwhile to "Show every departure"').waitFor();
  expect(await title.inputValue()).toBe('Show depart');
  await title.press('Enter');
  await one
    .getByRole('alert')
    .getByText(/ITEM-1 is at version \d+ by now.* changed title/)
    .waitFor();
  expect(await title.inputValue()).toBe('Show depart');
  await title.press('Escape');
  expect(await title.inputValue()).toBe('Show every departure');
  // What others change besides it is no reason to refuse it; what was emptied by mistake stays.
  await title.fill('Show departures');
  await say('item', 'edit', 'ITEM-1', '--owner', 'olga');
  await item('ITEM-1').getByText('olga').waitFor({ state: 'attached' });
  await title.press('Enter');
  await item('ITEM-1').getByText('Show departures').waitFor();
  await title.fill('');
  await title.press('Enter');
  expect(await title.inputValue()).toBe('Show departures');
});

it('an address is a place: it opens again, goes back, and has a title', async () => {
  expect(await page.title()).toBe('ITEM-1 · Backlog · Signalbox');
  await page.reload();
  await panel('ITEM-1').waitFor();
  await page.getByRole('link', { name: 'Close' }).click();
  await page.getByLabel('Status').selectOption('deferred');
  await shows(['ITEM-1']);
  await page.waitForURL(/epic=EPIC-1&status=deferred$/);
  await page.goBack();
  await shows(['ITEM-1', 'ITEM-2', 'ITEM-3']);
  await page.goto(`${up.endpoints().page}backlog?q=feed`);
  await shows(['ITEM-2']);
  await page.getByLabel('Search').fill('nothing like this');
  await page.getByText('No item is like this').waitFor();
  await button('Clear').click();
  await shows(['ITEM-1', 'ITEM-2', 'ITEM-3']);
});

it('shows the progress of epics, and opens what it counts', async () => {
  await say('item', 'move', 'ITEM-2', '--to', 'done');
  await page.getByRole('link', { name: 'Epics' }).click();
  const bar = page.getByRole('progressbar');
  await until('the progress', async () => (await bar.getAttribute('aria-valuetext')) === '1 of 2 done, 50 %');
  await button('Change EPIC-1 …').click();
  await page.getByLabel('Owner').fill('olga');
  await page.getByLabel('Until').fill('2020-01-01');
  await accessible(page, 'epic-edit');
  await say('epic', 'edit', 'EPIC-1', '--outcome', 'less walking');
  await page.getByText('less walking').waitFor();
  await button(/^Save/).click();
  await page.getByRole('alert').getByText('EPIC-1 is at version').waitFor();
  await button(/^Save/).click();
  await page.getByText('olga, until').waitFor();
  await page.getByText('overdue', { exact: true }).waitFor();
  await page.getByText('less walking').waitFor();
  await accessible(page, 'epics');
  await page.getByRole('link', { name: '1 done' }).click();
  await shows(['ITEM-2']);
});

it('shows who did what, and finds it', async () => {
  await page.getByRole('link', { name: 'Audit' }).click();
  await page.getByLabel('Of').fill('ITEM-1');
  await page.getByRole('cell', { name: 'backlog-item.deferred' }).waitFor();
  await page.waitForURL(/audit\?subject=ITEM-1$/);
  await page.getByRole('cell', { name: 'after the holidays' }).waitFor();
  await accessible(page, 'audit');
});

it('tells on the overview what needs somebody', async () => {
  await say('item', 'move', 'ITEM-1', '--to', 'open');
  await say('item', 'block', 'ITEM-3', '--by', 'ITEM-1', '--reason', 'needs its screen');
  await say('item', 'move', 'ITEM-3', '--to', 'in-progress');
  await say('wip', 'set', 'board=0');
  await say('ship', 'shop', 'v2', '--title', 'departures', '--item', 'ITEM-1');
  await page.getByRole('link', { name: 'Overview' }).click();
  const needs = page.getByRole('region', { name: 'Needs somebody now' });
  await needs.getByText('RFC-2 departures waits for a decision').waitFor();
  await needs.getByText('board has 1 in progress; its limit is 0.').waitFor();
  await needs.getByText('ITEM-1 Show departures holds 1 blocked; resolving it frees ITEM-3.').waitFor();
  await page.getByRole('region', { name: 'Targets' }).getByText('CP-1.1').first().waitFor();
  await accessible(page, 'overview');
  await page.getByLabel('You are').selectOption('amir');
  await needs.getByText('RFC-2 departures waits for your decision').waitFor();
});

it('takes a change request through its course', async () => {
  await page.getByRole('link', { name: 'RFC-2' }).click();
  const request = page.getByRole('region', { name: 'RFC-2', exact: true });
  await request.getByRole('heading', { name: 'RFC-2 · departures' }).waitFor();
  await button('Approve').click();
  await request.getByRole('listitem').filter({ hasText: 'amir: approve', hasNotText: 'waits' }).waitFor();
  await button('Change what it says …').click();
  await request.getByText('This voids the approval of amir.').waitFor();
  await request.getByLabel('Rollback plan').fill('**swap back**, as ITEM-2 says');
  await button(/^Save/).click();
  await request.getByText('swap back', { exact: true }).waitFor();
  expect(await request.getByRole('link', { name: 'ITEM-2' }).getAttribute('href')).toBe('/backlog/ITEM-2');
  await request.getByText('waits for one of approvers').waitFor();
  await button(/^Reject/).click();
  await page.getByRole('dialog').getByLabel('Reason').fill('not in December');
  await page.getByRole('dialog').getByRole('button', { name: 'Reject' }).click();
  await request.getByText('Rejected').first().waitFor();
  await button(/^Revise/).click();
  await request.getByText('Draft').first().waitFor();
  await accessible(page, 'change-request');
  await page.getByLabel('Status').selectOption('completed');
  await page.waitForURL(/change-requests\?status=completed$|status=completed$/);
  await page.getByRole('link', { name: /^RFC-1/ }).waitFor();
  await page.getByRole('link', { name: 'Promotions' }).click();
  await page.getByRole('heading', { name: /^CP-2 / }).waitFor();
  await accessible(page, 'promotions');
});

it('fits a phone', async () => {
  const phone = await browser.open({ width: 390, height: 844 });
  await phone.goto((await cli(up, 'sign-in')).out.trim());
  await phone.getByRole('link', { name: 'Backlog' }).click();
  await phone.locator('.item').first().waitFor();
  const wider = () => phone.evaluate('document.documentElement.scrollWidth - innerWidth') as Promise<number>;
  expect(await wider()).toBeLessThanOrEqual(0);
  await accessible(phone, 'backlog-phone');
  await phone.locator('.item').first().getByRole('link').click();
  await phone.getByRole('region', { name: 'ITEM-1', exact: true }).waitFor();
  expect(await wider()).toBeLessThanOrEqual(0);
  await accessible(phone, 'item-phone');
  await phone.close();
});

describe('the board', () => {
  const column = (name: string) => page.getByRole('region', { name: new RegExp(`^${name}`) });
  const statusOf = async (key: string) =>
    JSON.parse((await cli(up, 'item', 'show', key, '--json')).out).status;
  const drag = async (key: string, to: { x: number; y: number }) => {
    const from = (await button(`Move ${key}`).boundingBox())!;
    await page.mouse.move(from.x + 8, from.y + 8);
    await page.mouse.down();
    await page.mouse.move(from.x + 30, from.y + 20, { steps: 5 });
    await page.mouse.move(to.x, to.y, { steps: 10 });
    await page.mouse.up();
    // For 50 ms dnd-kit keeps clicks and selections from the page; its timer was set before this one.
    await page.evaluate(() => new Promise((done) => setTimeout(done, 50)));
  };
  const middle = async (name: string) => {
    const box = (await column(name).boundingBox())!;
    return { x: box.x + box.width / 2, y: box.y + 90 };
  };

  it('moves by mouse, and puts back what is refused, in the words of the server', async () => {
    await page.getByLabel('You are').selectOption('carla');
    await page.goto(`${up.endpoints().page}backlog?view=board`);
    await column('In progress').getByText('ITEM-3').waitFor();
    await column('In progress').getByText('1 of at most 0').waitFor();
    await drag('ITEM-1', await middle('In progress'));
    await page
      .getByRole('alert')
      .getByText(/It was put back: .*in progress/)
      .waitFor();
    await column('Open').getByText('ITEM-1', { exact: true }).waitFor();
    expect(await statusOf('ITEM-1')).toBe('open');
    await say('wip', 'set', 'board=3');
    await drag('ITEM-1', await middle('In progress'));
    await column('In progress').getByText('ITEM-1', { exact: true }).waitFor();
    await until('the server to have it', async () => (await statusOf('ITEM-1')) === 'in-progress');
    await accessible(page, 'board');
  });

  it('asks why when something is put off or opened again; what is put back stays', async () => {
    await drag('ITEM-1', await middle('Deferred'));
    const dialog = page.getByRole('dialog', { name: 'ITEM-1: Deferred' });
    await dialog.waitFor();
    await accessible(page, 'board-why');
    await dialog.getByRole('button', { name: 'Put it back' }).click();
    expect(await statusOf('ITEM-1')).toBe('in-progress');
    await drag('ITEM-2', await middle('Open'));
    await page.getByRole('dialog', { name: 'ITEM-2: Open' }).getByLabel('Why').fill('it broke again');
    await page.keyboard.press('Enter');
    await column('Open').getByText('ITEM-2').waitFor();
    await until('the server to have it', async () => (await statusOf('ITEM-2')) === 'open');
  });

  it('moves and ranks by keyboard, announced in words', async () => {
    const said = (text: string) => page.getByText(text).waitFor({ state: 'attached' });
    await lift('ITEM-2');
    await said('ITEM-2 is over the place of ITEM-2.');
    await page.keyboard.press('ArrowRight');
    await said('ITEM-2 is over In progress.');
    await page.keyboard.press('Space');
    await column('In progress').getByText('ITEM-2').waitFor();
    await until('the server to have it', async () => (await statusOf('ITEM-2')) === 'in-progress');
    const inOrder = async () =>
      (await column('In progress').locator('.board-card').allInnerTexts()).map(
        (text) => /ITEM-\d/.exec(text)![0],
      );
    const before = await inOrder();
    await lift(before[0]!);
    await said(`${before[0]} is over the place of ${before[0]}.`);
    await page.keyboard.press('ArrowDown');
    await said(`${before[0]} is over the place of ${before[1]}.`);
    await page.keyboard.press('Space');
    const expected = [before[1], before[0], before[2]];
    await until('the new order', async () => (await inOrder()).join() === expected.join());
    await until('the server to have it', async () => {
      const { items } = JSON.parse((await cli(up, 'item', 'list', '--status', 'in-progress', '--json')).out);
      return items.map((item: { key: string }) => item.key).join() === expected.join();
    });
  });
});

describe('a hundred thousand items', () => {
  const many = 100_000;
  beforeAll(async () => {
    const database = new pg.Client({ connectionString: up.endpoints().databaseOwnerUrl });
    await database.connect();
    // Without their announcements: it is how many there are that matters here.
    await database.query('ALTER TABLE backlog_items DISABLE TRIGGER USER');
    await database.query(
      `INSERT INTO backlog_items (title, priority, owner)
       SELECT 'item ' || n, (ARRAY['critical', 'high', 'medium', 'low'])[1 + n % 4], 'owner ' || n % 50
         FROM generate_series(1, $1::integer) AS n`,
      [many],
    );
    await database.query('ALTER TABLE backlog_items ENABLE TRIGGER USER');
    await database.query('ANALYZE backlog_items');
    await database.end();
  });

  it('are scrolled to any place; only what is in sight is read and drawn', async () => {
    const read: string[] = [];
    page.on('request', (request) => {
      if (request.url().includes('/backlog-items?')) read.push(request.url());
    });
    await page.goto(`${up.endpoints().page}backlog`);
    await page.getByText(/^100,003 items: /).waitFor();
    const rows = page.getByRole('region', { name: 'Items in order' });
    for (const part of [0.5, 0.99, 0.25]) {
      await rows.evaluate((box, share) => {
        box.scrollTop = box.scrollHeight * share;
      }, part);
      const n = Math.round(many * part);
      await until(`items near ${n}`, async () => {
        const titles = await page.locator('.item .title').allInnerTexts();
        return titles.some((title) => Math.abs(Number(title.slice(5)) - n) < 30);
      });
      expect(await page.locator('.item').count()).toBeLessThan(80);
    }
    // What changes elsewhere is read again, of what is in sight alone, and nothing jumps.
    const [top, reads] = [await rows.evaluate((box) => box.scrollTop), read.length];
    await say('item', 'edit', 'ITEM-1', '--title', 'Show all departures');
    await until('it to be read again', () => read.length > reads);
    expect(await rows.evaluate((box) => box.scrollTop)).toBe(top);
    await rows.evaluate((box) => (box.scrollTop = box.scrollHeight));
    await page.locator('.item').filter({ hasText: 'item 100000' }).waitFor();
    // The address leads to where one was.
    await page.waitForURL(/at=99\d{3}$/);
    await page.reload();
    await page.locator('.item').filter({ hasText: 'item 100000' }).waitFor();
    // A fast way down does not read everything that it passes.
    expect(read.length).toBeLessThan(40);
    await accessible(page, 'backlog-many');
  });

  it('are ranked in the middle, by keyboard, as the server has it', async () => {
    const rows = page.getByRole('region', { name: 'Items in order' });
    await rows.evaluate((box) => (box.scrollTop = 50_000 * 44));
    const item = page.locator('.item').filter({ hasText: 'item 50005' });
    await item.waitFor();
    const key = await item.locator('.key').innerText();
    await lift(key);
    await page.getByText(`${key} is over place 50008 of`).waitFor({ state: 'attached' });
    await page.keyboard.press('ArrowDown');
    await page.getByText(`${key} is over place 50009 of`).waitFor({ state: 'attached' });
    await page.keyboard.press('Space');
    await until('it behind the next one', async () => {
      const [above] = await page.locator('.item').filter({ hasText: 'item 50006' }).all();
      const [tops] = await Promise.all([
        Promise.all([above, item].map(async (row) => (await row!.boundingBox())!.y)),
      ]);
      return tops![0]! < tops![1]!;
    });
    const entries = (await cli(up, 'audit', 'list', '--subject', key, '--json')).out;
    expect(entries).toMatch(/after ITEM-/);
  });
});

it('nothing went wrong in the page', async () => {
  expect(browser.problems).toEqual([]);
  await stopUp(up);
});
