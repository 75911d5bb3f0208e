import { answerIn, excerpt } from '../../domain/excerpt';

const chatter = (n: number, from = 1) => Array.from({ length: n }, (_, i) => `compiled part ${from + i}`);

it.each([
  ['a short text is quoted whole', ['a', 'b'], ['a', 'b']],
  ['nothing that sounds wrong: the end', chatter(10), chatter(6, 5)],
  [
    'what is wrong is in the end',
    [...chatter(8), 'error: no', 'bye'],
    [...chatter(4, 5), 'error: no', 'bye'],
  ],
  [
    'what is wrong stands before',
    [...chatter(20), "src/a.ts(3,1): error TS2304: Cannot find name 'x'.", ...chatter(20, 21)],
    [
      "src/a.ts(3,1): error TS2304: Cannot find name 'x'.",
      ...chatter(2, 21),
      { leftOut: 15 },
      ...chatter(3, 38),
    ],
  ],
  [
    'hardly before',
    [...chatter(3), 'Traceback (most recent call last):', ...chatter(6, 4)],
    ['Traceback (most recent call last):', ...chatter(2, 4), { leftOut: 1 }, ...chatter(3, 7)],
  ],
  [
    'the first of several',
    ['npm ERR! code ENOENT', ...chatter(9), 'npm ERR! failed', ...chatter(9)],
    ['npm ERR! code ENOENT', ...chatter(2), { leftOut: 14 }, ...chatter(3, 7)],
  ],
])('%s', (_name, texts, expected) => expect(excerpt(texts, 6)).toEqual(expected));

it('an answer stands apart from what is said of it', () => {
  const said = 'Unhealthy: http://h/ did not answer 3 times in a row within 5 s. Last: status 500';
  expect(answerIn(`${said}: {"error": "x: status 400: y."}.`)).toEqual({
    said: `${said}.`,
    answer: '{"error": "x: status 400: y."}',
  });
  for (const other of [
    'Unhealthy: http://h/ did not answer once within 5 s. Last: connection refused.',
    'no: status 500: x.',
  ])
    expect(answerIn(other)).toEqual({ said: other });
});
