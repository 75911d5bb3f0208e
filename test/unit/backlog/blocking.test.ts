import fc from 'fast-check';
import { rootsOf, wayBetween, type Link } from '../../../domain/backlog/blocking';

/** Who reaches whom, by closing the relation over every item in between: slow, and hard to get wrong. */
function closure(links: Link[], items: number): boolean[][] {
  const reach = Array.from({ length: items }, (_, a) =>
    Array.from({ length: items }, (_x, b) => links.some((l) => l.item === a && l.blockedBy === b)),
  );
  for (let via = 0; via < items; via++)
    for (let a = 0; a < items; a++)
      for (let b = 0; b < items; b++) if (reach[a]![via] && reach[via]![b]) reach[a]![b] = true;
  return reach;
}
const items = 9;
const edge = fc.record({
  item: fc.nat({ max: items - 1 }),
  blockedBy: fc.option(fc.nat({ max: items - 1 }), { nil: null, freq: 5 }),
});
const graph = fc
  .array(edge, { maxLength: 20 })
  .map((edges) => edges.map((e, n): Link => ({ id: n + 1, ...e })));

it('finds a way exactly where the oracle reaches, and each step of it is a link', () => {
  let found = 0;
  let none = 0;
  fc.assert(
    fc.property(graph, fc.nat({ max: items - 1 }), fc.nat({ max: items - 1 }), (links, from, to) => {
      const way = wayBetween(links, from, to);
      expect(way !== undefined).toBe(from === to || closure(links, items)[from]![to]);
      if (!way) return void none++;
      found += 1;
      expect([way[0], way.at(-1)]).toEqual([from, to]);
      for (let n = 1; n < way.length; n++)
        expect(links.some((l) => l.item === way[n - 1] && l.blockedBy === way[n])).toBe(true);
    }),
    { numRuns: 2_000, seed: 7 },
  );
  expect(Math.min(found, none)).toBeGreaterThan(200);
});

/** Links are only added where the oracle finds no way back: the graph stays free of cycles. */
const acyclic = graph.map((links) => {
  const kept: Link[] = [];
  for (const link of links) {
    const { item, blockedBy } = link;
    if (blockedBy !== null && (blockedBy === item || closure(kept, items)[blockedBy]![item])) continue;
    kept.push(link);
  }
  return kept;
});

it('the ends of chains hold and free what the oracle says', () => {
  let freed = 0;
  fc.assert(
    fc.property(acyclic, (links) => {
      const reach = closure(links, items);
      const waits = (item: number) => links.some((l) => l.item === item);
      const outside = links.filter(({ blockedBy }) => blockedBy === null);
      const ends = (item: number) => [
        ...Array.from({ length: items }, (_, n) => n)
          .filter((n) => reach[item]![n] && !waits(n))
          .map((n) => `item ${n}`),
        ...outside.filter((l) => l.item === item || reach[item]![l.item]).map(({ id }) => `blocker ${id}`),
      ];
      const roots = rootsOf(links);
      const name = (root: (typeof roots)[number]) =>
        root.item === undefined ? `blocker ${root.blocker}` : `item ${root.item}`;
      const expected = new Map<string, { holds: number[]; frees: number[] }>();
      for (let item = 0; item < items; item++)
        for (const end of new Set(ends(item))) {
          const entry = expected.get(end) ?? { holds: [], frees: [] };
          expected.set(end, entry);
          entry.holds.push(item);
          if (new Set(ends(item)).size === 1) entry.frees.push(item);
        }
      const order = (a: number, b: number) => a - b;
      expect(
        new Map(roots.map((r) => [name(r), { holds: r.holds.sort(order), frees: r.frees.sort(order) }])),
      ).toEqual(expected);
      roots.reduce((before, root) => {
        expect(before.frees.length).toBeGreaterThanOrEqual(root.frees.length);
        return root;
      }, roots[0]!);
      freed += roots.reduce((sum, root) => sum + root.frees.length, 0);
    }),
    { numRuns: 1_000, seed: 7 },
  );
  expect(freed).toBeGreaterThan(1_000);
});
