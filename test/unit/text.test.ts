import { names } from '../../activities/health-check';
import { messageOf } from '../../domain/errors';
import { whyTooMuch, whyUnfit } from '../../domain/input';
import { printable } from '../../domain/printable';
import { sentence } from '../../domain/sentence';
import { troubleInWords } from '../../domain/trouble';

describe('matching a version in an answer', () => {
  it.each([
    ['{"version":"v1"}', 'v1', true],
    ['v1', 'v1', true],
    ['release v1.', 'v1', true],
    ['v10', 'v1', false],
    ['v1.2', 'v1', false],
    ['v1-rc', 'v1', false],
    ['xv1', 'v1', false],
    ['', 'v1', false],
    ['a+b', 'a+b', true],
    ['aab', 'a+b', false],
  ])('%j names %j: %s', (text, version, expected) => expect(names(text, version)).toBe(expected));
});

it('tells an error with its causes, once each', () => {
  const error = new Error('swap failed', {
    cause: new Error('rename failed', { cause: new Error('EACCES') }),
  });
  expect(messageOf(error)).toBe('swap failed: rename failed: EACCES');
  expect(messageOf('text')).toBe('text');
});

it.each([
  [1, '04', 'The host is away. One try met this; the next one begins at 10:00:05 UTC.'],
  [3, '06', 'The host is away. 3 tries in a row met this; another one is being made.'],
])('says what a step met that is tried again', (tries, seconds, said) => {
  const now = `2026-01-05T10:00:${seconds}.000Z`;
  const nextTryAt = '2026-01-05T10:00:05.000Z';
  expect(troubleInWords({ message: 'The host is away.', tries, nextTryAt }, now)).toBe(said);
});

it('ends a sentence once', () => {
  expect(['gone', 'gone.', 'gone!'].map(sentence)).toEqual(['gone.', 'gone.', 'gone!']);
});

it('shows control characters instead of sending them to a terminal', () => {
  expect(printable('\u001b[2J\u001b]0;title\u0007 a\tb\nc\r\u009b1m \u007f')).toBe(
    '\\x1b[2J\\x1b]0;title\\x07 a\tb\nc\\x0d\\x9b1m \\x7f',
  );
  expect(printable('plain ümlaut 日本 🚂')).toBe('plain ümlaut 日本 🚂');
});

it.each([
  [{ a: [{ b: 'x\0' }] }, 'a.0.b: must not contain NUL'],
  [['\ud800'], '0: must be well-formed Unicode'],
  [{ 'a\0': 1 }, 'the whole: must not contain NUL'],
  [{ n: 2 ** 53 }, 'n: is too large a number'],
  [{ n: Number.NaN }, 'n: is too large a number'],
  [{ a: ['b', null, true, 1.5, -7, { c: 'd\ne' }], u: undefined }, undefined],
])('what was parsed is looked through for what no column holds: %j', (value, why) => {
  expect(whyUnfit(value)).toBe(why);
});

it.each([
  ['[1,[2],{"a,[{":"\\"]]]]"}]', 7, undefined],
  ['[1,[2],{"a,[{":"\\"]]]]"}]', 4, 'more than 4 values'],
  ['[]'.repeat(200), 1000, undefined],
  ['['.repeat(101), 1000, 'more than 100 deep'],
  ['"\\', 1, undefined],
])('counts what JSON holds before it is parsed: %j', (json, most, why) => {
  const said = whyTooMuch(json, most);
  expect(why === undefined ? said : said?.includes(why)).toBe(why === undefined ? undefined : true);
});
