import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { redactor } from '../../activities/redact';

const mark = '[secret KEY]';
const secret = fc
  .string({ minLength: 6, maxLength: 60, unit: 'grapheme' })
  .filter((s) => s.length >= 6 && s.isWellFormed() && !/[\r\n]/.test(s) && !mark.includes(s));
/** What of a value's base64 does not depend on what stands beside it, computed bit by bit. */
function base64Core(value: string, before: string): string {
  const whole = Buffer.from(before + value + 'zzz').toString('base64');
  const start = Math.ceil((Buffer.byteLength(before) * 8) / 6);
  const end = Math.floor(((Buffer.byteLength(before) + Buffer.byteLength(value)) * 8) / 6);
  return whole.slice(start, end);
}

/** What programs print of this text, as they printed it. */
const odd = 'pa"ss\'w\\ord/<é€😀>&$x y\t(!~`z)';
it.each([
  ['python repr', 'pa"ss\\\'w\\\\ord/<é€😀>&$x y\\t(!~`z)'],
  ['python ascii', 'pa"ss\\\'w\\\\ord/<\\xe9\\u20ac\\U0001f600>&$x y\\t(!~`z)'],
  ['python bytes', 'pa"ss\\\'w\\\\ord/<\\xc3\\xa9\\xe2\\x82\\xac\\xf0\\x9f\\x98\\x80>&$x y\\t(!~`z)'],
  ['python json', 'pa\\"ss\'w\\\\ord/<\\u00e9\\u20ac\\ud83d\\ude00>&$x y\\t(!~`z)'],
  ['python quote', 'pa%22ss%27w%5Cord/%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E%26%24x%20y%09%28%21~%60z%29'],
  ['python quote_plus', 'pa%22ss%27w%5Cord%2F%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E%26%24x+y%09%28%21~%60z%29'],
  ['python html', 'pa&quot;ss&#x27;w\\ord/&lt;é€😀&gt;&amp;$x y\t(!~`z)'],
  ['python shlex', 'pa"ss\'"\'"\'w\\ord/<é€😀>&$x y\t(!~`z)'],
  ['go json', 'pa\\"ss\'w\\\\ord/\\u003cé€😀\\u003e\\u0026$x y\\t(!~`z)'],
  ['go %q', 'pa\\"ss\'w\\\\ord/<é€😀>&$x y\\t(!~`z)'],
  ['go %+q', 'pa\\"ss\'w\\\\ord/<\\u00e9\\u20ac\\U0001f600>&$x y\\t(!~`z)'],
  ['go %x', '706122737327775c6f72642f3cc3a9e282acf09f98803e26247820790928217e607a29'],
  ['go QueryEscape', 'pa%22ss%27w%5Cord%2F%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E%26%24x+y%09%28%21~%60z%29'],
  ['go PathEscape', 'pa%22ss%27w%5Cord%2F%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E&$x%20y%09%28%21~%60z%29'],
  ['go html', 'pa&#34;ss&#39;w\\ord/&lt;é€😀&gt;&amp;$x y\t(!~`z)'],
  // Of PHP 8.2.
  ['PHP json_encode', 'pa\\"ss\'w\\\\ord\\/<\\u00e9\\u20ac\\ud83d\\ude00>&$x y\\t(!~`z)'],
  ['PHP json_encode, unescaped', 'pa\\"ss\'w\\\\ord/<é€😀>&$x y\\t(!~`z)'],
  [
    'PHP json_encode for HTML',
    'pa\\u0022ss\\u0027w\\\\ord\\/\\u003C\\u00e9\\u20ac\\ud83d\\ude00\\u003E\\u0026$x y\\t(!~`z)',
  ],
  ['PHP var_export', 'pa"ss\\\'w\\\\ord/<é€😀>&$x y\t(!~`z)'],
  ['PHP addslashes', 'pa\\"ss\\\'w\\\\ord/<é€😀>&$x y\t(!~`z)'],
  ['PHP var_dump, print_r, serialize', odd],
  ['PHP htmlspecialchars', 'pa&quot;ss&#039;w\\ord/&lt;é€😀&gt;&amp;$x y\t(!~`z)'],
  ['PHP urlencode', 'pa%22ss%27w%5Cord%2F%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E%26%24x+y%09%28%21%7E%60z%29'],
  ['PHP rawurlencode', 'pa%22ss%27w%5Cord%2F%3C%C3%A9%E2%82%AC%F0%9F%98%80%3E%26%24x%20y%09%28%21~%60z%29'],
  ['PHP escapeshellarg', "pa\"ss'\\''w\\ord/<é€😀>&$x y\t(!~`z)"],
  ['bash set -x', "pa\"ss'\\''w\\ord/<é€😀>&$x y\t(!~`z)"],
  ['bash %q', 'pa"ss\\\'w\\\\ord/<é€😀>&$x y\\t(!~`z)'],
  ['bash %q in C', 'pa"ss\\\'w\\\\ord/<\\303\\251\\342\\202\\254\\360\\237\\230\\200>&$x y\\t(!~`z)'],
  ['JavaScript encodeURI', encodeURI(odd)],
  ['JavaScript URLSearchParams', new URLSearchParams({ a: odd }).toString().slice(2)],
])('knows what %s makes of a secret', (_program, printed) => {
  expect(redactor({ KEY: odd })(`a ${printed} b`)).toBe('a [secret KEY] b');
});
it.each([
  ['bash %q', String.raw`pa\"ss\'w\\ord/\<é€😀\>\&\$x\ y\(\!~` + '\\`z\\)'],
  ['bash declare', String.raw`pa\"ss'w\ord/<é€😀>&\$x y(!~` + '\\`z)'],
])('knows what %s makes of one without a tab', (_program, printed) => {
  expect(redactor({ KEY: odd.replace('\t', '') })(`a ${printed} b`)).toBe('a [secret KEY] b');
});

/** What the documentation says is not known. One that becomes known is to be struck out there. */
describe('what is not recognised', () => {
  const text = 'Canary-0123456789-abcdefghijklmnop';
  const bytes = [...Buffer.from(text)];
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0'));
  const rot13 = (c: string) => String.fromCharCode(c.charCodeAt(0) + (c.toLowerCase() < 'n' ? 13 : -13));
  it.each([
    ['upper or lower case', text.toUpperCase()],
    ['backwards', [...text].reverse().join('')],
    ['characters in between', [...text].join(' ')],
    ['hex with colons', hex.join(':')],
    ['a piece of fewer than 16 characters', text.slice(3, 18)],
    ['rot13', text.replace(/[a-z]/gi, rot13)],
    ['decimal or octal numbers', bytes.join(' ')],
    ['UTF-16', Buffer.from(text, 'utf16le').toString('latin1')],
    ['base64 of base64', Buffer.from(Buffer.from(text).toString('base64')).toString('base64')],
    ['compressed or encrypted', gzipSync(text).toString('base64')],
    ['quoted-printable', hex.map((two) => `=${two.toUpperCase()}`).join('')],
  ])('%s is said to be so', (name, form) => {
    expect(readFileSync('docs/security.md', 'utf8').replace(/\s+/g, ' ')).toContain(name);
    expect(redactor({ KEY: text })(form)).toBe(form);
  });
});

describe('redaction', () => {
  it('leaves no secret standing in any form, whatever is around it', () => {
    fc.assert(
      fc.property(secret, fc.string(), fc.string(), (value, before, after) => {
        const redact = redactor({ KEY: value });
        const forms = [
          value,
          encodeURIComponent(value),
          encodeURIComponent(value).replaceAll('%20', '+'),
          encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
          JSON.stringify(value).slice(1, -1),
          Buffer.from(value).toString('hex'),
        ];
        for (const form of forms)
          expect(redact(`${before}${form}${after}`).split(mark).join('\n')).not.toContain(form);
      }),
      { numRuns: 500 },
    );
  });
  it('knows base64 at every alignment, in both alphabets', () => {
    fc.assert(
      fc.property(
        secret,
        fc.string({ maxLength: 7 }),
        fc.string({ maxLength: 7 }),
        (value, before, after) => {
          const redact = redactor({ KEY: value });
          for (const alphabet of ['base64', 'base64url'] as const) {
            const text = Buffer.from(before + value + after).toString(alphabet);
            const core = base64Core(value, before);
            const form = alphabet === 'base64' ? core : core.replaceAll('+', '-').replaceAll('/', '_');
            expect(text).toContain(form);
            expect(redact(text)).not.toContain(form);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
  it('knows the pieces of a long one, as programs wrap them', () => {
    const value = Buffer.from(Array.from({ length: 200 }, (_, n) => (n * 37 + 11) % 251)).toString('latin1');
    const redact = redactor({ KEY: value });
    for (let before = 0; before < 6; before++) {
      const wrapped = Buffer.from('x'.repeat(before) + value)
        .toString('base64')
        .match(/.{1,76}/g)!;
      for (const line of wrapped.slice(1, -1)) expect(redact(`  ${line}`)).toBe(`  ${mark}`);
    }
  });
  it('knows each line of one that has several, and the longest first', () => {
    const redact = redactor({ KEY: 'first-line\nsecond-line', PART: 'second' });
    expect(redact('a first-line b')).toBe('a [secret KEY] b');
    expect(redact('a second-line b')).toBe('a [secret KEY] b');
    expect(redact('a second b')).toBe('a [secret PART] b');
  });
  it('keeps what has only begun at the end of a text until the rest of it is there, wherever that is cut', () => {
    const value = 'canary-0123456789-abcdefghijklmnop';
    const redact = redactor({ KEY: value });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(value), fc.string({ maxLength: 20 })), { maxLength: 20 }),
        fc.array(fc.nat({ max: 90 }), { minLength: 1, maxLength: 20 }),
        (parts, sizes) => {
          const text = parts.join('');
          let out = '';
          let rest = '';
          for (let at = 0, n = 0; at < text.length; n++) {
            const size = sizes[n % sizes.length]! + 1;
            rest += text.slice(at, at + size);
            at += size;
            const front = redact.front(rest);
            out += front.done;
            rest = front.rest;
            expect(rest.length).toBeLessThanOrEqual(redact.longest);
          }
          expect(out + redact(rest)).toBe(text.replaceAll(value, mark));
        },
      ),
      { numRuns: 2_000 },
    );
  });
  it('leaves other text as it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        expect(redactor({ KEY: '\u4e00\u4e01\u4e02\u4e03\u4e04\u4e05' })(text)).toBe(text);
      }),
    );
    expect(redactor({})('all fine')).toBe('all fine');
  });
});
