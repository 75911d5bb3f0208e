import fc from 'fast-check';
import { assess, defaultChain, mayReject, whyNoSeat, type Approval, type Level } from '../../domain/approval';

/** Chains by hand: who approves in which order, what counts, what is missing after it. */
const level = (name: string, groups: string[], quorum = 1, mandatory: string[] = []): Level => ({
  name,
  groups,
  quorum,
  mandatory,
});
const people: Record<string, string[]> = {
  ann: ['dev'],
  ben: ['dev'],
  cid: ['ops'],
  dee: ['dev', 'ops'],
  eve: ['sec'],
  fay: ['ops', 'sec'],
  gus: [],
};
const approval = (approver: string): Approval => ({ approver, groups: people[approver]! });

/** "ann" counts; "ann!code" is refused with that code. */
const cases: [what: string, chain: Level[], given: string[], missing: string[]][] = [
  ['one seat', [level('a', ['dev'])], ['ann'], []],
  ['one seat, somebody of no group', [level('a', ['dev'])], ['gus!not-eligible'], ['one of dev']],
  ['one seat, another group', [level('a', ['dev'])], ['cid!not-eligible'], ['one of dev']],
  ['two of one group', [level('a', ['dev'], 2)], ['ann', 'ann!already-approved'], ['one of dev']],
  ['two of one group, both', [level('a', ['dev'], 2)], ['ann', 'ben'], []],
  ['either group', [level('a', ['dev', 'ops'])], ['cid'], []],
  [
    'two, one of them has to be of sec',
    [level('a', ['dev', 'sec'], 2, ['sec'])],
    ['ann', 'ben!seat-taken'],
    ['one of sec'],
  ],
  ['two, with sec', [level('a', ['dev', 'sec'], 2, ['sec'])], ['ann', 'eve'], []],
  ['sec alone may fill both', [level('a', ['dev', 'sec'], 2, ['sec'])], ['eve', 'fay'], []],
  ['overlap: dee first, cid after', [level('a', ['dev', 'ops'], 2, ['dev', 'ops'])], ['dee', 'cid'], []],
  ['overlap: dee first, ann after', [level('a', ['dev', 'ops'], 2, ['dev', 'ops'])], ['dee', 'ann'], []],
  ['overlap: cid first, dee after', [level('a', ['dev', 'ops'], 2, ['dev', 'ops'])], ['cid', 'dee'], []],
  [
    'overlap: both seats ask dev, dee sits once',
    [level('a', ['dev', 'ops'], 2, ['dev', 'ops'])],
    ['dee'],
    ['one of ops'],
  ],
  ['two levels in order', [level('a', ['dev']), level('b', ['ops'])], ['ann', 'cid'], []],
  [
    'two levels, too early',
    [level('a', ['dev']), level('b', ['ops'])],
    ['cid!not-your-turn', 'ann', 'cid'],
    [],
  ],
  [
    'two levels, one person sits once',
    [level('a', ['dev']), level('b', ['ops'])],
    ['dee', 'dee!already-approved'],
    ['one of ops'],
  ],
  ['two levels: dee moves up when ann comes', [level('a', ['dev']), level('b', ['ops'])], ['dee', 'ann'], []],
  [
    'two levels: another dev does not help twice',
    [level('a', ['dev']), level('b', ['ops'])],
    ['ann', 'ben!seat-taken'],
    ['one of ops'],
  ],
  [
    'three levels, one chain of moves',
    [level('a', ['dev']), level('b', ['ops']), level('c', ['sec'])],
    ['dee', 'fay', 'eve'],
    [],
  ],
  ['complete already', [level('a', ['dev'])], ['ann', 'ben!already-approved'], []],
  ['the default', [...defaultChain], ['gus!not-eligible'], ['one of approvers']],
];

describe('the approval chain', () => {
  it.each(cases)('%s', (_what, chain, given, missing) => {
    const counted: Approval[] = [];
    for (const step of given) {
      const [who, code] = step.split('!') as [string, string?];
      const refusal = whyNoSeat('RFC-7', chain, counted, approval(who));
      expect(refusal?.code).toBe(code);
      if (!refusal) counted.push(approval(who));
    }
    const state = assess(chain, counted);
    expect(state.levels.flatMap((l) => l.missing)).toEqual(missing);
    expect(state.complete).toBe(missing.length === 0);
    const seated = state.levels.flatMap((l) => l.seats.flatMap((s) => s.filledBy ?? []));
    expect(new Set(seated).size).toBe(seated.length);
  });

  it('fills as many seats as there is any way to fill, in the order of the levels', () => {
    const group = fc.constantFrom('a', 'b', 'c');
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            groups: fc.uniqueArray(group, { minLength: 1 }),
            quorum: fc.integer({ min: 1, max: 2 }),
          }),
          { minLength: 1, maxLength: 3 },
        ),
        fc.array(fc.uniqueArray(group), { maxLength: 5 }),
        (levels, groupsOf) => {
          const chain = levels.map(({ groups, quorum }, n) => level(`l${n}`, groups, quorum));
          const approvals = groupsOf.map((groups, n) => ({ approver: `p${n}`, groups }));
          const seats = chain.flatMap((l) => Array.from({ length: l.quorum }, () => l.groups));
          // Every assignment, tried out.
          const most = (seat: number, free: Approval[]): number => {
            if (seat === seats.length) return 0;
            const without = most(seat + 1, free);
            return free.reduce(
              (best, who) =>
                who.groups.some((g) => seats[seat]!.includes(g))
                  ? Math.max(
                      best,
                      1 +
                        most(
                          seat + 1,
                          free.filter((other) => other !== who),
                        ),
                    )
                  : best,
              without,
            );
          };
          const filled = assess(chain, approvals).levels.flatMap((l) =>
            l.seats.filter((s) => s.filledBy !== null),
          );
          expect(filled).toHaveLength(most(0, approvals));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('lets whoever could approve at some level reject', () => {
    const chain = [level('a', ['dev']), level('b', ['ops'])];
    expect(Object.keys(people).filter((who) => mayReject(chain, people[who]!))).toEqual([
      'ann',
      'ben',
      'cid',
      'dee',
      'fay',
    ]);
  });
});
