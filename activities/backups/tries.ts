/**
 * What a try makes carries its name: its step, round and attempt, and when it was scheduled, because one that was reset
 * counts from one again. Undefined: no try made it.
 */
function numbersOf(name: string): readonly [round: number, scheduled: number, attempt: number] | undefined {
  const [, round, attempt, scheduled] = /^[a-z-]+-(\d+)-(\d+)(?:-([0-9a-z]+))?(?:\.|$)/.exec(name) ?? [];
  if (round === undefined) return undefined;
  return [Number(round), parseInt(scheduled ?? '0', 36), Number(attempt)];
}

/**
 * Whether a later try made it, which may have gone on while this one stood still: then it is not this one's to remove.
 * @param name begins with that of the try that made it. @param mine a try of the same step.
 */
export function isLaterTry(name: string, mine: string): boolean {
  const [of, own] = [numbersOf(name), numbersOf(mine)];
  // Whoever made that is not known.
  if (!of || !own) return true;
  const at = of.findIndex((number, n) => number !== own[n]);
  return at !== -1 && of[at]! > own[at]!;
}
