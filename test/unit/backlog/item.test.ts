import { changesOf, type ItemEdit, type ItemFields } from '../../../domain/backlog/item';
import { counts, placesOf, type Holder, type WipLimit } from '../../../domain/backlog/wip';
import type { SignalboxError } from '../../../domain/errors';
import { statesOf, type ItemStatus } from '../../../domain/machines';

const item: ItemFields = {
  title: 't',
  description: '',
  status: 'open',
  priority: 'medium',
  epic: null,
  owner: null,
  dueDate: null,
  labels: [],
  externalId: null,
};
const none = () => placesOf([], []);
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'done';
  } catch (thrown) {
    return (thrown as SignalboxError).code;
  }
};

/** Written by hand: what each move needs. Anything else is illegal. */
const legal: Record<string, 'nothing' | 'a reason'> = {
  'open in-progress': 'nothing',
  'open deferred': 'a reason',
  'open done': 'nothing',
  'in-progress open': 'nothing',
  'in-progress done': 'nothing',
  'in-progress deferred': 'a reason',
  'deferred open': 'nothing',
  'deferred in-progress': 'nothing',
  'done open': 'a reason',
};
const states = statesOf('backlogItem');
it.each(states.flatMap((from) => states.map((to) => [from, to] as [ItemStatus, ItemStatus])))(
  '%s to %s',
  (from, to) => {
    const move = (reason?: string) =>
      codeOf(() => changesOf(7, { ...item, status: from }, { status: to }, reason, [], none()));
    const needs = from === to ? 'nothing' : legal[`${from} ${to}`];
    expect(move('because')).toBe(needs ? 'done' : 'illegal-transition');
    expect(move()).toBe(needs === 'nothing' ? 'done' : needs ? 'invalid-input' : 'illegal-transition');
  },
);

it('names what blocks it, and only done is refused', () => {
  const blockers = [
    { blockedBy: 'ITEM-3', reason: 'needs its API' },
    { blockedBy: null, reason: 'legal looks at it' },
  ];
  const to = (status: ItemStatus) => () => changesOf(7, item, { status }, 'why', blockers, none());
  expect(to('done')).toThrow(
    'ITEM-7 is blocked by ITEM-3 (needs its API) and "legal looks at it". Resolve it first.',
  );
  for (const status of ['in-progress', 'deferred'] as const) expect(codeOf(to(status))).toBe('done');
});

it('tells apart what changes and what does not', () => {
  const edit: ItemEdit = { title: 't', labels: [], owner: 'olga', dueDate: undefined };
  expect(changesOf(7, item, edit, undefined, [], none())).toEqual({ owner: 'olga' });
});

describe('limits', () => {
  const held = (id: number, owner: string | null, epic: number | null): Holder => ({
    id,
    title: `item ${id}`,
    owner,
    epic,
  });
  it.each([
    ['the board, full', [['board', 2]], 'wip-limit'],
    ['the board, one place left', [['board', 3]], 'done'],
    ['its owner, full', [['owner:olga', 1]], 'wip-limit'],
    ['its owner, full, in other letters', [['owner:OLGA', 1]], 'wip-limit'],
    ['another owner, full', [['owner:omar', 1]], 'done'],
    ['its epic, full', [['epic:EPIC-3', 1]], 'wip-limit'],
    ['another epic, full', [['epic:EPIC-4', 0]], 'done'],
    ['nothing may begin', [['board', 0]], 'wip-limit'],
    [
      'all with room',
      [
        ['board', 9],
        ['owner:olga', 2],
        ['epic:EPIC-3', 2],
      ],
      'done',
    ],
  ] as [string, [string, number][], string][])('%s', (_name, limits, expected) => {
    const places = placesOf(
      limits.map(([scope, limit]): WipLimit => ({ scope, limit })),
      [held(1, 'olga', null), held(2, 'omar', 3)],
    );
    const mine = { ...item, owner: 'olga', epic: 3 };
    expect(codeOf(() => changesOf(7, mine, { status: 'in-progress' }, undefined, [], places))).toBe(expected);
  });

  it('say who holds the places', () => {
    const places = placesOf([{ scope: 'owner:olga', limit: 1 }], [held(1, 'olga', null)]);
    expect(() => places.take({ id: 7, title: 't', owner: 'olga', epic: null })).toThrow(
      'ITEM-7 can not be in progress: olga may have 1 in progress and has 1: ITEM-1 (olga). Finish or defer one of them first, or let an admin raise the limit.',
    );
  });

  it('count who goes to another owner, and nobody twice', () => {
    const limits = [
      { scope: 'board', limit: 2 },
      { scope: 'owner:omar', limit: 1 },
    ];
    const places = placesOf(limits, [held(1, 'olga', null), held(2, 'omar', null)]);
    const mine = { ...item, status: 'in-progress' as const, owner: 'olga' };
    const give = (owner: string) => codeOf(() => changesOf(1, mine, { owner }, undefined, [], places));
    expect(give('omar')).toBe('wip-limit');
    expect(give('oleg')).toBe('done');
    places.leave(2);
    expect(give('omar')).toBe('done');
  });

  it('of an item are those of board, owner and epic', () => {
    const scopes = ['board', 'owner:a b', 'owner:A  B', 'owner:c', 'epic:EPIC-3', 'epic:EPIC-4'];
    const counting = (item: Pick<Holder, 'owner' | 'epic'>) => scopes.filter((scope) => counts(scope, item));
    expect(counting({ owner: 'a b', epic: 3 })).toEqual(['board', 'owner:a b', 'owner:A  B', 'epic:EPIC-3']);
    expect(counting({ owner: null, epic: null })).toEqual(['board']);
  });
});
