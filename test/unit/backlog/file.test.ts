import fc from 'fast-check';
import { parse } from 'csv-parse/sync';
import { csvHead, csvOf, mostLines, readFile } from '../../../domain/backlog/file';
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
  ['no JSON', 'json', '{', {}, 'no JSON'],
  ['JSON that is no array', 'json', '{"title":"a"}', {}, 'JSON array'],
  ['JSON of nothing', 'json', '[]', {}, 'No column'],
  ['a binary file', 'csv', '\u0000\u0001\u0002', {}, 'No column'],
] as [string, 'csv' | 'json', string, Mapping, string][])('%s', (_name, format, content, mapping, told) => {
  expect(() => readFile(format, content, mapping)).toThrow(told);
});

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
])('says on which line is %s', (_name, content, line, told) => {
  const bad = csv(content).lines.filter(({ problems }) => problems.length > 0);
  expect(bad).toHaveLength(1);
  expect(bad[0]!.line).toBe(line);
  expect(bad[0]!.problems.join('; ')).toContain(told);
});

it('counts the entries of JSON, and takes its types', () => {
  const file = json('[{"title":"a","labels":["x"],"epic":null},7,{"title":1},{"title":"b","labels":"x"}]');
  expect(file.lines.map(({ line, item }) => [line, item])).toEqual([
    [1, { title: 'a', labels: ['x'], epic: null }],
    [2, undefined],
    [3, undefined],
    [4, { title: 'b', labels: ['x'] }],
  ]);
});

it('maps columns and values', () => {
  const mapping: Mapping = {
    columns: { Summary: 'title', 'Issue key': 'externalId', State: 'status', Tags: 'labels' },
    values: { status: { 'To Do': 'open', Doing: 'in-progress' } },
  };
  const file = csv(
    '\uFEFFIssue key,Summary,State,Tags,Sprint\r\nSH-1,Pay by card,Doing,"a; b,c",9\r\nSH-2,x,To Do,,9\r\n',
    mapping,
  );
  expect(file.ignoredColumns).toEqual(['Sprint']);
  expect(file.lines.map(({ item }) => item)).toEqual([
    { externalId: 'SH-1', title: 'Pay by card', status: 'in-progress', labels: ['a', 'b', 'c'] },
    { externalId: 'SH-2', title: 'x', status: 'open', labels: [] },
  ]);
});

it('an empty cell takes away what may be missing, and leaves the rest', () => {
  const [line] = csv(
    'key,title,status,priority,epic,owner,dueDate,labels,description\nITEM-1,,,,,,,,\n',
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

it('no exported cell begins as a formula, and every one is read back as it was', () => {
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
  fc.assert(
    fc.property(nasty, nasty, nasty, (title, owner, description) => {
      if (![title, owner, description].every(fit)) return;
      const text = csvHead + csvOf([view({ title, owner, description })]);
      const [, cells] = parse(text) as string[][];
      for (const cell of cells!) expect(cell).not.toMatch(/^[=+\-@\t\r＋－＝＠]/);
      expect(csv(text).lines[0]!.item).toMatchObject({ title, owner, description });
    }),
    { numRuns: 3_000, seed: 7 },
  );
});
