/** Who waits for whom. Pure: links in, answers out. */
export interface Link {
  /** Number of the blocker. */
  id: number;
  /** The item that waits. */
  item: number;
  /** The item it waits for; null: something outside of the backlog. */
  blockedBy: number | null;
}

/**
 * The way from one item to another along what each waits for; undefined when there is none.
 * @returns the items on it, both ends with them.
 */
export function wayBetween(links: readonly Link[], from: number, to: number): number[] | undefined {
  const before = new Map<number, number>([[from, from]]);
  const queue = [from];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if (next === to) {
      const way = [next];
      while (way[0] !== from) way.unshift(before.get(way[0]!)!);
      return way;
    }
    for (const { item, blockedBy } of links)
      if (item === next && blockedBy !== null && !before.has(blockedBy)) {
        before.set(blockedBy, next);
        queue.push(blockedBy);
      }
  }
  return undefined;
}

/** Where a chain ends: an item that itself waits for nothing, or something outside. */
export interface Root {
  /** The item; undefined for something outside. */
  item?: number;
  /** Number of the blocker, of something outside. */
  blocker?: number;
  /** Items that wait for it, directly or through others. */
  holds: number[];
  /** Those of them that wait for nothing else. */
  frees: number[];
}

/** The ends of all chains, those that free most first. */
export function rootsOf(links: readonly Link[]): Root[] {
  const waiting = new Set(links.map(({ item }) => item));
  const dependents = new Map<number, number[]>();
  for (const { item, blockedBy } of links)
    if (blockedBy !== null) dependents.set(blockedBy, [...(dependents.get(blockedBy) ?? []), item]);
  const behind = (starts: readonly number[]) => {
    const seen = new Set(starts);
    const queue = [...starts];
    for (let next = queue.pop(); next !== undefined; next = queue.pop())
      for (const item of dependents.get(next) ?? [])
        if (!seen.has(item)) {
          seen.add(item);
          queue.push(item);
        }
    return seen;
  };
  const roots: Root[] = [];
  for (const item of dependents.keys())
    if (!waiting.has(item)) roots.push({ item, holds: [...behind(dependents.get(item)!)], frees: [] });
  for (const { id, item, blockedBy } of links)
    if (blockedBy === null) roots.push({ blocker: id, holds: [...behind([item])], frees: [] });
  const reasons = new Map<number, number>();
  for (const { holds } of roots) for (const item of holds) reasons.set(item, (reasons.get(item) ?? 0) + 1);
  for (const root of roots) root.frees = root.holds.filter((item) => reasons.get(item) === 1);
  return roots.sort((a, b) => b.frees.length - a.frees.length || b.holds.length - a.holds.length);
}
