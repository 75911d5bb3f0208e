import { generateKeyBetween, generateNKeysBetween } from 'fractional-indexing';

/**
 * The order of the backlog: each item has a rank, a key of a fractional index that sorts as text by its bytes, so that
 * moving an item writes one row. New items get the next whole number, `h` and eight hexadecimal digits, from a
 * sequence of the database; what is moved gets a key between its neighbours, which never is a whole number: one that
 * the sequence gave may be on its way into the table. A stretch in which keys have grown long is renewed.
 */

/** Keys that are longer make the stretch around them be renewed. */
export const longestRank = 40;
/** What a renewal has to get its keys down to; else it takes a longer stretch. */
export const renewedRank = 20;

/**
 * A rank between two neighbours.
 * @param lower rank of the one before; null: it becomes the first.
 * @param upper rank of the one after; null: it becomes the last.
 */
export const rankBetween = (lower: string | null, upper: string | null): string =>
  fraction(generateKeyBetween(lower, upper ?? endOf(lower)), upper);

/** As many ranks in order between two, as short as they can be. */
export const ranksBetween = (lower: string | null, upper: string | null, count: number): string[] =>
  generateNKeysBetween(lower, upper ?? endOf(lower), count).map((rank, n, all) =>
    fraction(rank, all[n + 1] ?? upper),
  );

/** Instead of a whole number one a little above it, still below what comes next. */
function fraction(rank: string, next: string | null): string {
  if (rank !== wholePart(rank)) return rank;
  const end = endOf(rank)!;
  return generateKeyBetween(rank, next !== null && next < end ? next : end);
}

/** The next whole number: what follows is for new items. */
export const endOf = (rank: string | null): string | null =>
  rank === null ? null : generateKeyBetween(wholePart(rank), null);

/** Its head says how many characters the whole part has: a is two, b three; Z is two, Y three. */
function wholePart(rank: string): string {
  const head = rank.charCodeAt(0);
  return rank.slice(0, rank[0]! >= 'a' ? head - 95 : 92 - head);
}
