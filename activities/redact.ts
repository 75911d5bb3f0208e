/**
 * Keeps the values of secrets out of everything that Signalbox writes: log, errors, workflow history, record. A
 * secret is known as it is, line by line, quoted as JSON, shells, Go, PHP and Python print it (`quotedForms`), in hex,
 * URL-encoded, as HTML, and in base64 at each of its three alignments. Of a long one, each piece of 16 characters is
 * known too, because programs wrap long lines. It is not known encrypted, compressed, reversed, in base32, as quoted-printable
 * or with named entities such as &eacute;, in quotes for a pattern (PHP's preg_quote, quotemeta, escapeshellcmd), or with a
 * mixture of these around it.
 */
export interface Redactor {
  (text: string): string;
  /**
   * Takes what can be decided from the front of a text that goes on: all but the last `longest` characters, and never
   * a part of a secret without the rest of it.
   * @returns that front, redacted, and what has to stay until more of the text is there.
   */
  front(text: string): { done: string; rest: string };
  /** Longest text that has to be seen in one piece to be known. */
  longest: number;
}
interface Span {
  from: number;
  to: number;
  mark: string;
}

/** Shorter values could not be told from other text. */
export const shortestSecret = 6;
const pieceLength = 16;
/** Of two texts that share a piece, a sample at every eighth place of one hits the piece. */
const gram = 8;

/** @param secrets values by name. */
export function redactor(secrets: Record<string, string>): Redactor {
  const forms = Object.entries(secrets)
    .flatMap(([name, value]) => formsOf(value).map((form) => ({ form, mark: `[secret ${name}]` })))
    // The longest first, so that a secret inside another does not leave the rest of it standing.
    .sort((a, b) => b.form.length - a.form.length);
  const pieces = forms.filter(({ form }) => form.length >= pieceLength);
  const grams = new Map<string, { form: string; mark: string; at: number }[]>();
  for (const { form, mark } of pieces)
    for (let at = 0; at + gram <= form.length; at++) {
      const key = form.slice(at, at + gram);
      grams.set(key, [...(grams.get(key) ?? []), { form, mark, at }]);
    }
  const longest = forms[0]?.form.length ?? 0;
  const redact = (text: string): string => without(text, found(text));
  return Object.assign(redact, {
    longest,
    front(text: string) {
      let cut = Math.max(0, text.length - longest);
      const spans = found(text).filter(({ from }) => from < cut);
      cut = Math.max(cut, spans.at(-1)?.to ?? 0);
      return { done: without(text.slice(0, cut), spans), rest: text.slice(cut) };
    },
  });

  /** Where secrets stand, in order; none overlaps another. */
  function found(text: string): Span[] {
    const spans = forms.flatMap(({ form, mark }) => everyPlace(text, form, mark));
    if (grams.size > 0 && text.length >= pieceLength) spans.push(...piecesIn(text));
    const apart: Span[] = [];
    for (const span of spans.sort((a, b) => a.from - b.from || b.to - a.to)) {
      const last = apart.at(-1);
      if (last && span.from < last.to) last.to = Math.max(last.to, span.to);
      else apart.push(span);
    }
    return apart;
  }

  function piecesIn(text: string): Span[] {
    const spans: Span[] = [];
    let done = 0;
    for (let at = 0; at + gram <= text.length; at += gram) {
      if (at < done) continue;
      for (const { form, mark, at: place } of grams.get(text.slice(at, at + gram)) ?? []) {
        let before = 0;
        while (place > before && at > before && text[at - before - 1] === form[place - before - 1]) before++;
        let after = gram;
        while (text[at + after] !== undefined && text[at + after] === form[place + after]) after++;
        if (before + after < pieceLength) continue;
        spans.push({ from: at - before, to: at + after, mark });
        done = Math.max(done, at + after);
      }
    }
    return spans;
  }
}

function everyPlace(text: string, form: string, mark: string): Span[] {
  const spans: Span[] = [];
  for (let from = text.indexOf(form); from >= 0; from = text.indexOf(form, from + form.length))
    spans.push({ from, to: from + form.length, mark });
  return spans;
}

function without(text: string, spans: Span[]): string {
  let out = '';
  let done = 0;
  for (const { from, to, mark } of spans) {
    out += text.slice(done, from) + mark;
    done = to;
  }
  return done === 0 ? text : out + text.slice(done);
}

function formsOf(value: string): string[] {
  const parts = [value, ...value.split(/\r?\n/)].filter((part) => part.length >= shortestSecret);
  const forms = parts.flatMap((part) => {
    const urls = safeInUrls.flatMap((safe) => percentEncoded(part, safe));
    const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
    const bytes = Buffer.from(part);
    const hex = bytes.toString('hex');
    return [
      part,
      ...quotedForms(part),
      ...urls,
      ...urls.map(lower),
      hex,
      hex.toUpperCase(),
      ...[0, 1, 2].flatMap((offset) => base64At(bytes, offset)),
    ];
  });
  return [...new Set(forms)].filter((form) => form.length >= shortestSecret);
}

/**
 * What stays as it is in an address, besides letters, digits, `-`, `.` and `_`: of RFC 3986, JavaScript's
 * encodeURIComponent and encodeURI, forms, Go's paths, Python's quote and PHP's urlencode.
 */
const safeInUrls = ['~', "~!'()*", "~!'()*;/?:@&=+$,#", '*', '~$&+=:@', '~/', ''];
function percentEncoded(part: string, safe: string): string[] {
  const plain = (c: string) => /[A-Za-z0-9._-]/.test(c) || safe.includes(c);
  const encoded = [...Buffer.from(part)]
    .map((byte) => {
      const c = String.fromCharCode(byte);
      return byte < 0x80 && plain(c) ? c : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  return [encoded, encoded.replaceAll('%20', '+')];
}

/** Of JSON: PHP's JSON_HEX_TAG, _AMP, _APOS and _QUOT. */
const phpHex = (json: string) =>
  json
    .replaceAll('\\"', '\\u0022')
    .replace(/[<>&']/g, (c) => `\\u00${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** As programs print a text in quotes, without these. */
function quotedForms(part: string): string[] {
  const json = JSON.stringify(part).slice(1, -1);
  const units = (text: string, form: (hex: string) => string) =>
    text.replace(/[\u007f-\uffff]/g, (c) => form(c.charCodeAt(0).toString(16).padStart(4, '0')));
  const points = (text: string, form: (code: number) => string) =>
    text.replace(/[\u{80}-\u{10ffff}]/gu, (c) => form(c.codePointAt(0)!));
  const hex = (code: number, digits: number) => code.toString(16).padStart(digits, '0');
  const escaped = (c: string, quote: string) =>
    c === '\\' || c === quote ? `\\${c}` : ({ '\n': '\\n', '\r': '\\r', '\t': '\\t' }[c] ?? c);
  const inQuotes = (quote: string) => [...part].map((c) => escaped(c, quote)).join('');
  const controls = (text: string) =>
    text.replace(/[\u0000-\u001f\u007f]/g, (c) => `\\x${hex(c.charCodeAt(0), 2)}`);
  const python = ["'", '"', ''].map((quote) => controls(inQuotes(quote)));
  const bytes = [...Buffer.from(part)];
  const octets = (form: (byte: number) => string) =>
    bytes.map((b) => (b < 0x80 ? escaped(String.fromCharCode(b), "'") : form(b))).join('');
  const html = part.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return [
    // JSON: JavaScript's, Python's and PHP's with ASCII alone, PHP's with escaped slashes, Go's for HTML.
    ...[json, json.replaceAll('/', '\\/')].flatMap((text) => [
      text,
      units(text, (code) => `\\u${code}`),
      text.replace(/[<>&]/g, (c) => `\\u${hex(c.charCodeAt(0), 4)}`),
      units(text, (code) => `\\u${code}`).replace(/[<>&']/g, (c) => `\\u${hex(c.charCodeAt(0), 4)}`),
    ]),
    // PHP's for HTML, as its frameworks send it.
    ...[json, json.replaceAll('/', '\\/')].flatMap((text) => [
      phpHex(text),
      phpHex(units(text, (code) => `\\u${code}`)),
    ]),
    // Python's repr and ascii, Go's %q and %+q, PHP's var_export and addslashes.
    ...python,
    ...python.map((text) =>
      points(text, (code) =>
        code < 0x100 ? `\\x${hex(code, 2)}` : code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`,
      ),
    ),
    points(controls(inQuotes('"')), (code) => (code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`)),
    part.replace(/[\\']/g, '\\$&'),
    part.replace(/[\\'"]/g, '\\$&'),
    // Bytes: Python's b'', bash's $'', in hex or octal.
    octets((b) => `\\x${hex(b, 2)}`),
    octets((b) => `\\${b.toString(8).padStart(3, '0')}`),
    // Shells: `set -x`, printf %q, in double quotes.
    part.replaceAll("'", `'\\''`),
    part.replaceAll("'", `'"'"'`),
    part.replace(/[\s!"$&'()*,;<>?[\\\]^`{|}]/g, '\\$&'),
    part.replace(/[^A-Za-z0-9_]/gu, '\\$&'),
    part.replace(/[$`"\\!]/g, '\\$&'),
    part.replace(/[$`"\\]/g, '\\$&'),
    part.replace(/[$`"]/g, '\\$&'),
    // HTML and XML.
    html,
    html.replaceAll('"', '&quot;').replaceAll("'", '&#39;'),
    html.replaceAll('"', '&#34;').replaceAll("'", '&#39;'),
    html.replaceAll('"', '&quot;').replaceAll("'", '&#039;'),
    html.replaceAll('"', '&quot;').replaceAll("'", '&#x27;'),
    html.replaceAll('"', '&quot;').replaceAll("'", '&apos;'),
  ];
}

/** The characters that this value alone decides, when so many bytes (modulo 3) stand before it. */
function base64At(bytes: Buffer, offset: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  const form = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
  return [form, form.replaceAll('+', '-').replaceAll('/', '_')];
}
