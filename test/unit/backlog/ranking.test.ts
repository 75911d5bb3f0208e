import fc from 'fast-check';
import { endOf, longestRank, rankBetween, ranksBetween } from '../../../domain/backlog/ranking';

/** What the database gives to new items, written down once more. */
const numbered = (n: number) => `h${n.toString(16).padStart(8, '0')}`;
const sorted = (ranks: string[]) => [...ranks].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

interface Entry {
  id: number;
  rank: string;
}
/** The order as ranks say it: by bytes, as the database compares them. */
const inOrder = (entries: Entry[]) =>
  [...entries].sort((a, b) => Buffer.compare(Buffer.from(a.rank), Buffer.from(b.rank))).map(({ id }) => id);

it('any sequence of moves, additions and renewals equals a plain list', () => {
  const step = fc.record({
    kind: fc.constantFrom('before', 'after', 'after', 'add', 'renew'),
    which: fc.nat(),
    anchor: fc.nat(),
  });
  let renewals = 0;
  let longest = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 400 }), (steps) => {
      let next = 3;
      const list = [1, 2, 3];
      const entries: Entry[] = list.map((id) => ({ id, rank: numbered(id) }));
      for (const { kind, which, anchor } of steps) {
        if (kind === 'add') {
          next += 1;
          list.push(next);
          entries.push({ id: next, rank: numbered(next) });
        } else if (kind === 'renew') {
          const order = inOrder(entries).map((id) => entries.find((e) => e.id === id)!);
          const ranks = ranksBetween(null, endOf(order.at(-1)!.rank), order.length);
          order.forEach((entry, n) => (entry.rank = ranks[n]!));
          expect(ranks.filter((rank) => /^h[0-9a-f]{8}$/.test(rank))).toEqual([]);
          renewals += 1;
        } else {
          const id = list[which % list.length]!;
          const beside = list[anchor % list.length]!;
          if (id === beside) continue;
          list.splice(list.indexOf(id), 1);
          list.splice(list.indexOf(beside) + (kind === 'after' ? 1 : 0), 0, id);
          const others = inOrder(entries).filter((other) => other !== id);
          const at = others.indexOf(beside) + (kind === 'after' ? 1 : 0);
          const rankOf = (n: number) => entries.find((e) => e.id === others[n])?.rank ?? null;
          const entry = entries.find((e) => e.id === id)!;
          entry.rank = rankBetween(rankOf(at - 1), rankOf(at));
          expect(entry.rank).not.toMatch(/^h[0-9a-f]{8}$/);
          longest = Math.max(longest, entry.rank.length);
        }
        expect(inOrder(entries)).toEqual(list);
        expect(new Set(entries.map(({ rank }) => rank)).size).toBe(list.length);
      }
    }),
    { numRuns: 60, seed: 7 },
  );
  expect(renewals).toBeGreaterThan(100);
  expect(longest).toBeGreaterThan(9);
});

it('a rank at the end stays below every number that the sequence has still to give', () => {
  for (const n of [1, 9, 15, 16, 255, 65_535, 268_435_455]) {
    let last = numbered(n);
    for (let moves = 0; moves < 300; moves++) {
      const rank = rankBetween(last, null);
      expect(rank > last && rank < numbered(n + 1)).toBe(true);
      last = rank;
    }
  }
});

it('moving to one spot again and again grows a rank slowly', () => {
  let upper = numbered(2);
  let moves = 0;
  while (upper.length <= longestRank) {
    upper = rankBetween(numbered(1), upper);
    moves += 1;
  }
  expect(moves).toBeGreaterThan(150);
});

it('a thousand ranks between two neighbours are in order and short', () => {
  const ranks = ranksBetween(numbered(1), numbered(2), 1_000);
  expect(sorted(ranks)).toEqual(ranks);
  expect(ranks[0]! > numbered(1) && ranks.at(-1)! < numbered(2)).toBe(true);
  expect(Math.max(...ranks.map(({ length }) => length))).toBeLessThan(13);
});
