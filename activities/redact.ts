/**
 * Keeps the values of secrets out of everything that Signalbox writes: log, errors, workflow history, record. A
 * secret is known as it is, line by line, inside JSON, in hex, URL-encoded and in base64 at each of its three
 * alignments. Of a long one, each piece of 16 characters is known too, because programs wrap long lines.
 */
export interface Redactor {
  (text: string): string;
  /** Longest text that has to be seen in one piece to be known; what is cut elsewhere keeps so much together. */
  longest: number;
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
  const redact = (text: string): string => {
    let out = text;
    for (const { form, mark } of forms) if (out.includes(form)) out = out.replaceAll(form, mark);
    return grams.size > 0 && out.length >= pieceLength ? withoutPieces(out) : out;
  };
  return Object.assign(redact, { longest: forms[0]?.form.length ?? 0 });

  function withoutPieces(text: string): string {
    let out = '';
    let done = 0;
    for (let at = 0; at + gram <= text.length; at += gram) {
      if (at < done) continue;
      for (const found of grams.get(text.slice(at, at + gram)) ?? []) {
        const { form, mark } = found;
        let before = 0;
        while (
          at - before > done &&
          found.at > before &&
          text[at - before - 1] === form[found.at - before - 1]
        )
          before++;
        let after = gram;
        while (text[at + after] !== undefined && text[at + after] === form[found.at + after]) after++;
        if (before + after < pieceLength) continue;
        out += text.slice(done, at - before) + mark;
        done = at + after;
        break;
      }
    }
    return done === 0 ? text : out + text.slice(done);
  }
}

function formsOf(value: string): string[] {
  const parts = [value, ...value.split(/\r?\n/)].filter((part) => part.length >= shortestSecret);
  const forms = parts.flatMap((part) => {
    const uri = encodeURIComponent(part.toWellFormed());
    const strict = uri.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    const urls = [uri, strict, uri.replaceAll('%20', '+'), strict.replaceAll('%20', '+')];
    const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
    const bytes = Buffer.from(part);
    const hex = bytes.toString('hex');
    return [
      part,
      JSON.stringify(part).slice(1, -1),
      ...urls,
      ...urls.map(lower),
      hex,
      hex.toUpperCase(),
      ...[0, 1, 2].flatMap((offset) => base64At(bytes, offset)),
    ];
  });
  return [...new Set(forms)].filter((form) => form.length >= shortestSecret);
}

/** The characters that this value alone decides, when so many bytes (modulo 3) stand before it. */
function base64At(bytes: Buffer, offset: number): string[] {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  const form = encoded.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
  return [form, form.replaceAll('+', '-').replaceAll('/', '_')];
}
