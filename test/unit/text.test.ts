import { names } from '../../activities/health-check';
import { messageOf } from '../../domain/errors';

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
