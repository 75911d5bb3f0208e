import { distance } from 'fastest-levenshtein';

/** Names that may have been meant, the nearest first. @param most how many of them. */
export const nearestOf = (names: readonly string[], wanted: string, most: number): string[] =>
  names
    .map((name) => ({ name, far: distance(name, wanted) }))
    .sort((a, b) => a.far - b.far || a.name.localeCompare(b.name))
    .slice(0, most)
    .map(({ name }) => name);

const mostListed = 10;

/** What there is instead of something that there is not, in words: all of a few, of many those that may have been meant. */
export const insteadOf = (wanted: string, names: readonly string[]): string =>
  names.length <= mostListed
    ? `There are: ${names.join(', ') || 'none'}.`
    : `Nearest of ${names.length}: ${nearestOf(names, wanted, 3).join(', ')}.`;
