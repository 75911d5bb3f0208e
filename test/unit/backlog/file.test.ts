import fc from 'fast-check';
import { parse } from 'csv-parse/sync';
import { csvHead, csvOf, mostColumns, mostLines, readFile } from '../../../domain/backlog/file';
import type { ItemView, Mapping } from '../../../domain/backlog/schemas';

/** Files as people have them: read line by line, or refused as a whole with what to do. */
const csv = (content: string, mapping: Mapping = {}) => readFile('csv', content, mapping);
const json = (content: string, mapping: Mapping = {}) => readFile('json', content, mapping);

it.each([
  ['an empty file', 'csv', '', {}, 'The file is empty'],
  ['blank lines', 'csv', '\n\n', {}, 'The file is empty'],
  ['a quote that does not end', 'csv', 'title\n"a\nb', {}, 'no CSV'],
  ['text behind a quote', 'csv', 'title\n"a"b', {}, 'no CSV'],
  ['no column that is known', 'csv', 'Summary,Nr\na,b', {}, 'mapping.columns'],
  ['one column twice', 'csv', 'title,title\na,b', {}, 'two columns "title"'],
  ['two columns for one field', 'csv', 'title,Title\na,b', {}, 'Two columns become title'],
  [
    'a mapped column that is missing',
    'csv',
    'a\nb',
    { columns: { Summary: 'title' } },
    'no column "Summary"',
  ],
  ['a field that there is not', 'csv', 'a\nb', { columns: { a: 'headline' } }, 'there are key, externalId'],
  ['too many lines', 'csv', `title\n${'x\n'.repeat(mostLines + 1)}`, {}, `at most ${mostLines}`],
  ['two million lines', 'csv', `title\n${'x\n'.repeat(2_000_000)}`, {}, `at most ${mostLines}`],
  ['too many columns', 'csv', `title${','.repeat(mostColumns)}\n`, {}, `at most ${mostColumns}`],
  ['a million columns', 'csv', Array.from({ length: 1e6 }, (_, n) => `c${n}`).join(), {}, 'no CSV'],
  [
    'JSON of many columns',
    'json',
    `[{${Array.from({ length: 1e5 }, (_, n) => `"c${n}":1`).join()}}]`,
    {},
    `at most ${mostColumns}`,
  ],
  [
    'a mapping of many columns',
    'csv',
    'a\nb',
    { columns: Object.fromEntries(Array.from({ length: 1e5 }, (_, n) => [`c${n}`, 'title'])) },
    'an item has 10 fields',
  ],
  ['no JSON', 'json', '{', {}, 'no JSON'],
  ['JSON that is no array', 'json', '{"title":"a"}', {}, 'JSON array'],
  ['JSON of nothing', 'json', '[]', {}, 'No column'],
  ['a binary file', 'csv', '\u0000\u0001\u0002', {}, 'No column'],
] as [string, 'csv' | 'json', string, Mapping, string][])(
  '%s',
  async (_name, format, content, mapping, told) => {
    const began = performance.now();
    const lags = holdUps();
    await expect(readFile(format, content, mapping)).rejects.toThrow(told);
    // A hang: 13 minutes for the columns, 10 s in which nobody was answered for the lines.
    expect([performance.now() - began < 20_000, lags() < 2_000]).toEqual([true, true]);
  },
);

/** The longest time in which nothing else was done. */
function holdUps(): () => number {
  let worst = 0;
  let last = performance.now();
  const look = () => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  };
  const timer = setInterval(look, 5);
  return () => {
    look();
    clearInterval(timer);
    return worst;
  };
}

it.each([
  ['too few cells', 'title,owner\na\n', 2, 'has 1 cells, the first line names 2 columns'],
  ['too many cells', 'title,owner\na,b,c\n', 2, 'has 3 cells'],
  ['an unknown status', 'title,status\na,Doing\n', 2, 'status'],
  ['an unknown priority', 'title,priority\na,P1\n', 2, 'priority'],
  ['a bad date', 'title,dueDate\na,24.12.2026\n', 2, 'a day such as 2026-12-24'],
  ['a day that there is not', 'title,dueDate\na,2026-02-30\n', 2, 'dueDate'],
  ['a bad epic', 'title,epic\na,Checkout\n', 2, 'EPIC-3'],
  ['a bad key', 'title,key\na,CP-1\n', 2, 'ITEM-12'],
  ['a long title', `title\n${'x'.repeat(201)}\n`, 2, 'title'],
  ['a title that moves the cursor', 'title\n"a\u001b[2Jb"\n', 2, 'control characters'],
  ['after a cell of three lines', 'title,description\na,"one\ntwo\nthree"\nb\n', 5, 'has 1 cells'],
  ['after empty lines', 'title,owner\n\n\na\n', 4, 'has 1 cells'],
])('says on which line is %s', async (_name, content, line, told) => {
  const bad = (await csv(content)).lines.filter(({ problems }) => problems.length > 0);
  expect(bad).toHaveLength(1);
  expect(bad[0]!.line).toBe(line);
  expect(bad[0]!.problems.join('; ')).toContain(told);
});

it('counts the entries of JSON, and takes its types', async () => {
  const file = await json(
    '[{"title":"a","labels":["x"],"epic":null},7,{"title":1},{"title":"b","labels":"x"}]',
  );
  expect(file.lines.map(({ line, item }) => [line, item])).toEqual([
    [1, { title: 'a', labels: ['x'], epic: null }],
    [2, undefined],
    [3, undefined],
    [4, { title: 'b', labels: ['x'] }],
  ]);
});

it('maps columns and values', async () => {
  const mapping: Mapping = {
    columns: { Summary: 'title', 'Issue key': 'externalId', State: 'status', Tags: 'labels' },
    values: { status: { 'To Do': 'open', Doing: 'in-progress' } },
  };
  const file = await csv(
    '\uFEFFIssue key,Summary,State,Tags,Sprint\r\nSH-1,Pay by card,Doing,"a; b,c",9\r\nSH-2,x,To Do,,9\r\n',
    mapping,
  );
  expect(file.ignoredColumns).toEqual(['Sprint']);
  expect(file.lines.map(({ item }) => item)).toEqual([
    { externalId: 'SH-1', title: 'Pay by card', status: 'in-progress', labels: ['a', 'b', 'c'] },
    { externalId: 'SH-2', title: 'x', status: 'open', labels: [] },
  ]);
});

it('an empty cell takes away what may be missing, and leaves the rest', async () => {
  const [line] = (
    await csv('key,title,status,priority,epic,owner,dueDate,labels,description\nITEM-1,,,,,,,,\n')
  ).lines;
  expect(line!.item).toEqual({
    key: 'ITEM-1',
    epic: null,
    owner: null,
    dueDate: null,
    labels: [],
    description: '',
  });
});

const view = (item: Partial<ItemView>): ItemView =>
  ({
    key: 'ITEM-1',
    title: 't',
    status: 'open',
    priority: 'medium',
    epic: null,
    owner: null,
    dueDate: null,
    labels: [],
    description: '',
    externalId: null,
    ...item,
  }) as ItemView;

it('no exported cell begins as a formula, and every one is read back as it was', async () => {
  const nasty = fc.oneof(
    fc.constantFrom(
      '=1+1',
      '+1',
      '-1',
      '@x',
      '\tx',
      "'=1",
      "''@a",
      '＝1',
      'a,b;"c"',
      'a\nb',
      "it's",
      'x\r\ny',
    ),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  );
  const fit = (text: string) =>
    text.trim() === text && text !== '' && !/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text);
  await fc.assert(
    fc.asyncProperty(nasty, nasty, nasty, async (title, owner, description) => {
      if (![title, owner, description].every(fit)) return;
      const text = csvHead + csvOf([view({ title, owner, description })]);
      const [, cells] = parse(text) as string[][];
      for (const cell of cells!) expect(cell).not.toMatch(/^[=+\-@\t\r＋－＝＠]/);
      expect((await csv(text)).lines[0]!.item).toMatchObject({ title, owner, description });
    }),
    { numRuns: 1_000, seed: 7 },
  );
});
