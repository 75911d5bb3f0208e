import { printable } from './printable';

/**
 * Colours that programs write into what they print (ECMA-48, "select graphic rendition"). Of all that a terminal can be
 * told only these mean something in a log; whatever else is shown as the characters it consists of.
 */
const rendition = /\u001b\[([0-9;:]*)m/g;
export const hues = ['red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'grey'] as const;
export type Hue = (typeof hues)[number];
/** A part of a line; without a hue it has the colour of all text. */
export interface Part {
  text: string;
  hue?: Hue;
  bold?: boolean;
}

/** By the digit behind 3 or 9. Black and white would vanish on one of two backgrounds: they are the text's own. */
const byDigit: (Hue | undefined)[] = [
  undefined,
  'red',
  'green',
  'yellow',
  'blue',
  'magenta',
  'cyan',
  undefined,
];

/** The line in parts of one look each. */
export function partsOf(line: string): Part[] {
  const parts: Part[] = [];
  let look: Omit<Part, 'text'> = {};
  let from = 0;
  const add = (text: string) => {
    const last = parts.at(-1);
    if (last && last.hue === look.hue && last.bold === look.bold) last.text += printable(text);
    else if (text) parts.push({ text: printable(text), ...look });
  };
  for (const found of line.matchAll(rendition)) {
    add(line.slice(from, found.index));
    from = found.index + found[0].length;
    look = after(look, found[1]!);
  }
  add(line.slice(from));
  return parts;
}
/** Without any colour. */
export const uncoloured = (line: string): string => printable(line.replace(rendition, ''));

/** For a terminal: its colours as a terminal takes them, and nothing else that could act there. */
export const coloured = (line: string): string => {
  const text = partsOf(line).map(({ text, hue, bold }) => {
    const codes = [
      ...(bold ? ['1'] : []),
      ...(hue ? [hue === 'grey' ? '90' : `3${byDigit.indexOf(hue)}`] : []),
    ];
    return codes.length > 0 ? `\u001b[${codes.join(';')}m${text}\u001b[0m` : text;
  });
  return text.join('');
};

function after(look: Omit<Part, 'text'>, codes: string): Omit<Part, 'text'> {
  const rest = codes.split(/[;:]/).map(Number);
  let { hue, bold } = look;
  while (rest.length > 0) {
    const code = rest.shift()!;
    if (code === 0) [hue, bold] = [undefined, undefined];
    else if (code === 1) bold = true;
    else if (code === 2) hue = 'grey';
    else if (code === 22) [hue, bold] = [hue === 'grey' ? undefined : hue, undefined];
    else if ((code >= 30 && code <= 37) || (code >= 91 && code <= 97)) hue = byDigit[code % 10];
    else if (code === 90) hue = 'grey';
    else if (code === 39) hue = undefined;
    else if (code === 38) hue = mixed(rest);
    else if (code === 48) mixed(rest);
  }
  return { ...(hue ? { hue } : {}), ...(bold ? { bold } : {}) };
}

/** The hue nearest to one of 256 colours (`5;n`), or to red, green and blue (`2;r;g;b`); takes what it reads away. */
function mixed(rest: number[]): Hue | undefined {
  const way = rest.shift();
  if (way === 2) return nearest(rest.splice(0, 3));
  const n = way === 5 ? (rest.shift() ?? 0) : 0;
  if (n < 16) return n === 8 ? 'grey' : byDigit[n % 8];
  if (n >= 232) return n < 250 ? 'grey' : undefined;
  const level = (part: number) => (part === 0 ? 0 : 55 + 40 * part);
  return nearest([
    level(Math.floor((n - 16) / 36)),
    level(Math.floor((n - 16) / 6) % 6),
    level((n - 16) % 6),
  ]);
}
function nearest([r = 0, g = 0, b = 0]: number[]): Hue | undefined {
  const [most, least] = [Math.max(r, g, b), Math.min(r, g, b)];
  if (most - least < 40) return most > 60 && most < 200 ? 'grey' : undefined;
  const strong = (part: number) => part > (most + least) / 2;
  // As the digits count: red is 1, green 2, blue 4.
  return byDigit[(strong(r) ? 1 : 0) + (strong(g) ? 2 : 0) + (strong(b) ? 4 : 0)];
}
