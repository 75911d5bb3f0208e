import { cleanUp, cli, startUp, stopUp, until } from '../helpers/up';

/** Governed by the command line, on the real stack; what waits, waits through the death of everything. */
afterAll(cleanUp);

it('a deployment sleeps, and a request waits, through kill -9 of everything', async () => {
  const first = await startUp();
  await first.says('Running. Ctrl-C');
  const say = async (...args: string[]) => {
    const { out, err, code } = await cli(first, ...args);
    return { text: `${out}${err}`, code };
  };
  const freeze = [
    'freeze',
    'Year end',
    '--target',
    'shop',
    '--start',
    '2026-01-01T00:00',
    '--zone',
    'Europe/Berlin',
  ];
  const lasting = [
    ...freeze,
    '--minutes',
    '527040',
    '--rrule',
    'FREQ=YEARLY',
    '--reason',
    'the books are closed',
  ];
  await say('ship', 'shop', 'v2', '--title', 'timetables', '--rollback-plan', 'swap back');
  await say('approve', 'CP-2');
  expect((await say('window', 'preview', ...lasting)).text).toMatch(
    /would hold 1:\n {2}CP-2 timetables on shop \(approved\)/,
  );
  expect((await say('window', 'add', ...lasting)).text).toContain('Window 1: freeze "Year end": shop');
  expect((await say('window', 'list')).text).toContain('FREQ=YEARLY');
  const closed = await say('window', 'status', 'CP-2');
  expect([closed.code, closed.text]).toEqual([
    1,
    expect.stringContaining('CP-2 is closed: Freeze "Year end"'),
  ]);
  const refused = await say('deploy', 'CP-2');
  expect([refused.code, refused.text]).toEqual([
    1,
    expect.stringContaining('Refused (window-closed): shop is closed'),
  ]);

  // A freeze without an end in sight never opens: there is nothing to wait for.
  const hopeless = await say('deploy', 'CP-2', '--when-open');
  expect([hopeless.code, hopeless.text]).toEqual([
    1,
    expect.stringContaining('No window opens within a year'),
  ]);
  expect((await say('window', 'edit', 'Year end', '--rrule', 'FREQ=YEARLY;COUNT=1')).code).toBe(0);
  const asleep = await say('deploy', 'CP-2', '--when-open');
  expect([asleep.code, asleep.text]).toEqual([
    0,
    expect.stringContaining('CP-2.1 is waiting-for-window, waiting for its window: Freeze "Year end"'),
  ]);
  await say('ship', 'shop', 'broken', '--title', 'a hasty one');
  expect((await say('calendar', 'show', '--days', '60')).text).toContain('CP-2.1 timetables');
  const feed = await say('calendar', 'feed', '--label', 'phone');
  const url = /http\S+/.exec(feed.text)![0];
  expect(await (await fetch(url)).text()).toContain('SUMMARY:Freeze: Year end');

  first.kill('SIGKILL');
  await first.ended;
  const second = await startUp({ state: first.state });
  const again = async (...args: string[]) => (await cli(second, ...args)).out;
  expect(await again('status', 'CP-2.1')).toContain(
    'CP-2.1 deploy by rosa: waiting-for-window\n  waits for its window: Freeze "Year end"',
  );
  // The request that waited takes its decision, revised and submitted anew.
  expect(await again('reject', 'CP-3', '--comment', 'not like this')).toContain('RFC-3 is rejected');
  expect(await again('revise', 'CP-3')).toContain('RFC-3 is a draft again');
  expect(await again('edit', 'CP-3', '--title', 'a careful one', '--risk', 'critical')).toContain(
    'RFC-3 is draft, revision 2',
  );
  expect(await again('submit', 'CP-3')).toContain('RFC-3 is submitted');
  expect(await again('approve', 'CP-3')).toContain('RFC-3 is approved');
  expect(await again('withdraw-approval', 'CP-3', '--reason', 'second thoughts')).toContain(
    'RFC-3 is submitted',
  );
  expect(await again('window', 'remove', 'Year end')).toContain('Whoever waits for a window looks again');
  await until('it to be deployed', async () => (await again('status', 'CP-2.1')).includes(': succeeded'));
  expect(await again('window', 'status', 'shop')).toContain(
    'shop is open: No deployment window restricts shop.',
  );
  await stopUp(second);
});
