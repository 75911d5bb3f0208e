import { names } from '../../activities/health-check';
import { messageOf } from '../../domain/errors';
import { printable } from '../../domain/printable';

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

it('shows control characters instead of sending them to a terminal', () => {
  expect(printable('\u001b[2J\u001b]0;title\u0007 a\tb\nc\r\u009b1m \u007f')).toBe(
    '\\x1b[2J\\x1b]0;title\\x07 a\tb\nc\\x0d\\x9b1m \\x7f',
  );
  expect(printable('plain ümlaut 日本 🚂')).toBe('plain ümlaut 日本 🚂');
});
