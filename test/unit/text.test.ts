import fc from 'fast-check';
import { redactor } from '../../activities/log';
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

describe('redaction', () => {
  const secret = fc
    .string({ minLength: 4, maxLength: 40 })
    .filter((s) => s.trim() === s && !'[secret KEY]'.includes(s));
  it('leaves no secret standing, plain, base64 or URL-encoded', () => {
    fc.assert(
      fc.property(secret, fc.string(), fc.string(), (value, before, after) => {
        const redact = redactor({ KEY: value });
        for (const form of [
          value,
          Buffer.from(value).toString('base64').replace(/=+$/, ''),
          encodeURIComponent(value),
        ])
          expect(redact(`${before}${form}${after}`).split('[secret KEY]').join('\n')).not.toContain(form);
      }),
    );
  });
  it('leaves other text as it is', () => expect(redactor({ KEY: 'hunter22' })('all fine')).toBe('all fine'));
});

it('tells an error with its causes, once each', () => {
  const error = new Error('swap failed', {
    cause: new Error('rename failed', { cause: new Error('EACCES') }),
  });
  expect(messageOf(error)).toBe('swap failed: rename failed: EACCES');
  expect(messageOf('text')).toBe('text');
});
