import { createHash } from 'node:crypto';

/** Chance that can be had again: the same seed and name give the same sequence. */
export interface Chance {
  /** From `least` up to, not including, `most`. */
  between(least: number, most: number): number;
  /** One of them. */
  oneOf<T>(choices: readonly T[]): T;
}

export function chance(seed: number, name: string): Chance {
  let drawn = 0;
  const next = () =>
    createHash('sha256').update(`${seed} ${name} ${drawn++}`).digest().readUInt32BE(0) / 2 ** 32;
  return {
    between: (least, most) => least + next() * (most - least),
    oneOf: (choices) => choices[Math.floor(next() * choices.length)]!,
  };
}

/** In an order that the seed decides. */
export function shuffled<T>(items: readonly T[], seed: number, nameOf: (item: T) => string): T[] {
  const place = (item: T) =>
    createHash('sha256')
      .update(`${seed} ${nameOf(item)}`)
      .digest('hex');
  return [...items].sort((a, b) => (place(a) < place(b) ? -1 : 1));
}
