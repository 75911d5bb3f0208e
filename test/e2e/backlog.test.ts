import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { cleanUp, cli, newFolder, startUp, stopUp, until, type Up } from '../helpers/up';

/** The backlog by the command line, on the real stack. */
afterAll(cleanUp);

const sayTo =
  (up: Up) =>
  async (...args: string[]) => {
    const { out, err, code } = await cli(up, ...args);
    return { text: `${out}${err}`, code };
  };

it('a feature from the idea to where it runs', async () => {
  const up = await startUp();
  await up.says('Running. Ctrl-C');
  const say = sayTo(up);
  const told = async (...args: string[]) => (await say(...args)).text;
  expect(
    await told('epic', 'add', 'Timetables', '--outcome', 'people find trains', '--target', '2999-01-01'),
  ).toContain('EPIC-1 "Timetables" is open: 0 of 0 done');
  await say(
    'item',
    'add',
    'Show departures',
    '--epic',
    'EPIC-1',
    '--owner',
    'omar',
    '--label',
    'web',
    'rail',
  );
  await say('item', 'add', 'Read the feed', '--epic', 'EPIC-1', '--priority', 'high', '--due', '2020-01-01');
  await say('item', 'add', 'Unrelated');
  expect(await told('item', 'move', 'ITEM-2', '--before', 'ITEM-1')).toContain(
    'ITEM-2 "Read the feed" is open.',
  );
  const order = (text: string) => [...text.matchAll(/│ (ITEM-\d+)/g)].map(([, key]) => key);
  expect(order(await told('item', 'list'))).toEqual(['ITEM-2', 'ITEM-1', 'ITEM-3']);
  expect(order(await told('item', 'list', '--epic', 'EPIC-1', '--sort', 'priority', '--overdue'))).toEqual([
    'ITEM-2',
  ]);

  expect(await told('item', 'block', 'ITEM-1', '--by', 'ITEM-2', '--reason', 'needs its data')).toContain(
    'item unblock 1',
  );
  const cycle = await say('item', 'block', 'ITEM-2', '--by', 'ITEM-1', '--reason', 'x');
  expect([cycle.code, cycle.text]).toEqual([
    1,
    expect.stringContaining('ITEM-2 is blocked by ITEM-1 is blocked by ITEM-2'),
  ]);
  expect(await told('item', 'blocked')).toContain(
    'ITEM-2 "Read the feed" holds 1; resolving it frees ITEM-1.',
  );
  const blocked = await say('ship', 'shop', 'v2', '--item', 'ITEM-1');
  expect([blocked.code, blocked.text]).toEqual([
    1,
    expect.stringContaining('Refused (blocked): ITEM-1 is blocked by ITEM-2'),
  ]);

  expect(await told('wip', 'set', 'board=1', 'owner:omar=1')).toMatch(/board +│ 0 +│ 1/);
  await say('item', 'move', 'ITEM-2', '--to', 'in-progress');
  const full = await say('item', 'move', 'ITEM-1', '--to', 'in-progress');
  expect([full.code, full.text]).toEqual([
    1,
    expect.stringContaining('the board may have 1 in progress and has 1: ITEM-2 (nobody)'),
  ]);
  await say('item', 'move', 'ITEM-2', '--to', 'done');
  expect(await told('item', 'show', 'ITEM-1')).toContain('resolved by carla: ITEM-2 is done');
  await say('item', 'move', 'ITEM-1', '--to', 'in-progress');
  expect(await told('wip', 'show')).toMatch(/owner:omar +│ 1 +│ 1 +│ full +│ ITEM-1 \(omar\)/);
  expect((await say('item', 'move', 'ITEM-1', '--to', 'deferred')).text).toContain(
    'To defer ITEM-1, say why',
  );

  await say('ship', 'shop', 'v2', '--item', 'ITEM-1', '--title', 'departures');
  await say('approve', 'CP-2');
  expect((await say('deploy', 'CP-2', '--wait')).code).toBe(0);
  const shown = await told('item', 'show', 'ITEM-1');
  expect(shown).toContain('Carried by CP-2 "departures" to shop: deployed.');
  expect(shown).toContain('Runs on shop.');
  expect(await told('item', 'set', 'ITEM-1', 'ITEM-3', '--to', 'done', '--add-label', 'spring')).toContain(
    'done',
  );
  expect(await told('epic', 'list')).toMatch(/EPIC-1 +│ Timetables +│ done +│ 2\/2 \(100 %\)/);
  expect(await told('item', 'history', 'ITEM-1')).toMatch(
    /carla {2}backlog-item\.in-progress {2}status: "open" -> "in-progress"/,
  );
  expect((await say('item', 'edit', 'ITEM-1', '--title', 'x', '--if-version', '1')).text).toContain(
    'Refused (stale-version)',
  );
  expect((await say('item', 'remove', 'ITEM-1')).text).toContain(
    'Refused (still-used): ITEM-1 is carried by CP-2',
  );
  await stopUp(up);
});

it('a file is imported whole or not at all, also through kill -9 in the middle of it', async () => {
  const first = await startUp({ args: ['--no-sample'] });
  await first.says('Running. Ctrl-C');
  const folder = newFolder();
  const [file, map, out] = ['in.csv', 'map.yaml', 'out.csv'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const lines = Array.from({ length: 3_000 }, (_, n) => `SH-${n},Item ${n},To Do`);
  writeFileSync(file, `Nr,Summary,State\n${lines.join('\n')}\n`);
  writeFileSync(
    map,
    'columns: { Nr: externalId, Summary: title, State: status }\nvalues: { status: { To Do: open } }\n',
  );

  const say = sayTo(first);
  const dry = await say('item', 'import', file, '--map', map, '--dry-run');
  expect(dry.text).toContain('line 3001: create "Item 2999"');
  expect(dry.text).toContain('Nothing was written. It would be: 3000 created, 0 updated, 0 unchanged.');
  expect((await say('item', 'import', file)).text).toContain('(--map on the command line)');
  expect((await say('item', 'import', join(folder, 'none.csv'))).text).toContain(
    'none.csv could not be read',
  );

  const killed = say('item', 'import', file, '--map', map);
  // It works on the lines: some are written in its transaction, none to be seen.
  const database = new pg.Client({ connectionString: first.endpoints().databaseOwnerUrl! });
  await database.connect();
  database.on('error', () => undefined);
  await until('the import to be at work', async () => {
    const { rows } = await database.query(
      `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'INSERT INTO backlog_items%' AND xact_start < now()`,
    );
    return rows.length > 0;
  });
  first.kill('SIGKILL');
  await first.ended;
  await database.end().catch(() => undefined);
  expect((await killed).code).not.toBe(0);

  const second = await startUp({ state: first.state, args: ['--no-sample'] });
  await second.says('Running. Ctrl-C');
  const again = sayTo(second);
  expect((await again('item', 'list')).text).toContain('0 in all');
  expect((await again('item', 'import', file, '--map', map)).text).toContain('Imported: 3000 created');
  expect((await again('item', 'import', file, '--map', map)).text).toContain(
    '0 created, 0 updated, 3000 unchanged',
  );
  await again('item', 'export', '--output', out);
  expect(readFileSync(out, 'utf8').trim().split('\n')).toHaveLength(3_001);
  const piped = await again('item', 'export', '--search', 'ITEM-1');
  expect(piped.text.split('\n')[0]).toBe(
    'key,externalId,title,status,priority,epic,owner,dueDate,labels,description',
  );
  await stopUp(second);
});
