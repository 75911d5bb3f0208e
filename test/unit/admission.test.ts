import { ownChange, switchedOff, whyNotNow, type Asked, type No, type Place } from '../../domain/admission';
import type { TargetConfig } from '../../domain/config';
import { statesOf, triggers, type PromotionStatus } from '../../domain/machines';
import type { WindowStatus } from '../../domain/windows/status';

/** The rule as full tables, written down by hand. */
const config = { promotionsEnabled: true } as TargetConfig;
const asked: Asked = {
  id: 7,
  target: 'shop',
  title: 'a change',
  revision: 'v1',
  commit: 'c',
  promotion: 'approved',
  changeRequest: 'approved',
  type: 'normal',
  risk: 'medium',
  approvalStands: true,
  overridden: [],
  windowRevision: 1,
  windowStamp: '',
  recipe: '',
  acts: null,
  recipeBinds: true,
  backlogItems: [],
  blockers: [],
  conflictsAccepted: null,
  lastAttempt: 1,
  open: null,
  live: { promotion: 7, before: 3 },
  returnsTo: 3,
  cameAfter: null,
  now: 1_000_000,
  trigger: 'deploy',
  startedBy: 'rosa',
  grants: ['release-manager'],
  whenOpen: false,
  calendar: [],
  usualMs: 600_000,
  window: undefined,
};
/** Where each kind of attempt starts from, and where it is at each place. */
const places = ['click', 'admission', 'lane', 'migrate', 'swap'] as const;
const allRequests = statesOf('changeRequest');
const may = new Set(
  [
    ...allRequests.flatMap((change) => [
      `deploy click approved ${change}`,
      `deploy admission approved ${change}`,
    ]),
    'retry click rolled-back approved',
    'retry admission rolled-back approved',
    ...(['deploy', 'retry'] as const).flatMap((trigger) =>
      allRequests.flatMap((change) => [
        `${trigger} lane approved ${change}`,
        `${trigger} migrate executing ${change}`,
        `${trigger} swap executing ${change}`,
      ]),
    ),
    ...(['click', 'admission', 'lane'] as const).flatMap((place) =>
      allRequests.flatMap((change) => [
        `rollback ${place} deployed ${change}`,
        // Its rollback failed and was accepted: what it left can still be rolled back.
        `rollback ${place} rolled-back ${change}`,
      ]),
    ),
    // What it returns to was settled with the lane.
    ...(['migrate', 'swap'] as const).flatMap((place) =>
      statesOf('promotion').flatMap((p) => allRequests.map((change) => `rollback ${place} ${p} ${change}`)),
    ),
  ].sort(),
);

it.each(triggers.flatMap((trigger) => places.map((at) => [trigger, at] as const)))(
  '%s at %s: of every state of promotion and change request',
  (trigger, at) => {
    for (const promotion of statesOf('promotion'))
      for (const changeRequest of allRequests) {
        const no = whyNotNow({ ...asked, trigger, promotion, changeRequest }, config, at);
        const name = `${trigger} ${at} ${promotion} ${changeRequest}`;
        expect([name, no === undefined]).toEqual([name, may.has(name)]);
        if (no) expect(no.message).toMatch(/CP-7|RFC-7/);
      }
  },
);

const closed: WindowStatus = {
  open: false,
  reason: 'Freeze',
  windows: ['f'],
  nextOpen: 9_000_000,
  nextClose: null,
};
const planned = {
  kind: 'planned',
  id: 8,
  attempt: null,
  target: 'shop',
  title: 'b',
  from: 0,
  to: 2_000_000,
} as const;
const scheduled = { ...planned, kind: 'scheduled', attempt: 1, target: 'api' } as const;
const at = (promotion: PromotionStatus, place: Place) =>
  place === 'migrate' || place === 'swap' ? 'executing' : promotion;
type Row = Record<Place, string> & { byHand: string };
const refuse = (code: string) => `refuse ${code}`;
const always = (no: string) => ({ click: no, admission: no, lane: no, migrate: no, swap: no });
/** Rule x place. A rollback by hand brings back what was live: nothing but its starter's right, and that its target is gone, stops it. */
const table: [string, Partial<Asked>, TargetConfig | undefined, Row][] = [
  ['nothing stands in the way', {}, config, { ...always('go'), byHand: 'go' }],
  [
    'its starter may no longer',
    { grants: ['contributor'] },
    config,
    { ...always(refuse('role-required')), byHand: refuse('role-required') },
  ],
  [
    'its starter may on another target',
    { grants: ['release-manager:api'] },
    config,
    { ...always(refuse('role-required')), byHand: refuse('role-required') },
  ],
  [
    'it is switched off',
    {},
    { promotionsEnabled: false } as TargetConfig,
    { ...always(refuse('promotions-disabled')), byHand: 'go' },
  ],
  [
    'no target is there',
    {},
    undefined,
    { ...always(refuse('promotions-disabled')), byHand: refuse('promotions-disabled') },
  ],
  [
    'its approval is void',
    { approvalStands: false },
    config,
    { ...always(refuse('approval-void')), byHand: 'go' },
  ],
  ['it acts otherwise', { recipeBinds: false }, config, { ...always(refuse('approval-void')), byHand: 'go' }],
  [
    'an item is blocked',
    { blockers: [{ item: 3, blockedBy: null, reason: 'the vendor' }] },
    config,
    { ...always(refuse('blocked')), byHand: 'go' },
  ],
  [
    'another change is planned',
    { calendar: [planned] },
    config,
    {
      click: refuse('schedule-conflict'),
      admission: refuse('schedule-conflict'),
      lane: refuse('schedule-conflict'),
      migrate: 'go',
      swap: 'go',
      byHand: 'go',
    },
  ],
  [
    'another deployment is scheduled on a related target',
    { calendar: [scheduled] },
    config,
    {
      click: refuse('schedule-conflict'),
      admission: refuse('schedule-conflict'),
      lane: 'go',
      migrate: 'go',
      swap: 'go',
      byHand: 'go',
    },
  ],
  [
    'an overlap was accepted',
    { calendar: [planned], conflictsAccepted: 'small' },
    config,
    { ...always('go'), byHand: 'go' },
  ],
  [
    'what is planned is over',
    { calendar: [{ ...planned, to: 1_000_000 }] },
    config,
    { ...always('go'), byHand: 'go' },
  ],
  [
    'its window is closed',
    { window: closed },
    config,
    {
      click: refuse('window-closed'),
      admission: refuse('window-closed'),
      lane: 'sleep window-closed',
      migrate: 'hold window-closed',
      swap: 'hold window-closed',
      byHand: 'go',
    },
  ],
  [
    'its window is closed and it may wait',
    { window: closed, whenOpen: true },
    config,
    {
      click: 'sleep window-closed',
      admission: 'sleep window-closed',
      lane: 'sleep window-closed',
      migrate: 'hold window-closed',
      swap: 'hold window-closed',
      byHand: 'go',
    },
  ],
  [
    'no window ever opens',
    { window: { ...closed, nextOpen: null }, whenOpen: true },
    config,
    {
      click: refuse('window-closed'),
      admission: refuse('window-closed'),
      lane: refuse('window-closed'),
      migrate: 'hold window-closed',
      swap: 'hold window-closed',
      byHand: 'go',
    },
  ],
  [
    'its window is closed and its migration has begun',
    { window: closed, migrates: true },
    config,
    { ...always('go'), byHand: 'go' },
  ],
  [
    'it would sleep into what is planned',
    { window: closed, whenOpen: true, calendar: [{ ...planned, from: 9_300_000, to: 9_900_000 }] },
    config,
    {
      click: refuse('schedule-conflict'),
      admission: refuse('schedule-conflict'),
      lane: refuse('schedule-conflict'),
      migrate: 'hold window-closed',
      swap: 'hold window-closed',
      byHand: 'go',
    },
  ],
];
it.each(table)('%s: at every place', (_name, more, target, expected) => {
  const so = (no: No | undefined) => (no ? `${no.then} ${no.code}` : 'go');
  for (const place of places) {
    for (const trigger of ['deploy', 'retry'] as const) {
      const promotion = at(trigger === 'retry' && place !== 'lane' ? 'rolled-back' : 'approved', place);
      const no = whyNotNow({ ...asked, ...more, trigger, promotion }, target, place);
      expect([place, trigger, so(no)]).toEqual([place, trigger, expected[place]]);
    }
    const back = { ...asked, ...more, trigger: 'rollback', promotion: 'deployed' } as const;
    expect([place, so(whyNotNow(back, target, place))]).toEqual([place, expected.byHand]);
  }
});

it.each([
  [{ author: 'carla', part: 'shipped', byToken: false }, /^carla shipped RFC-7; somebody else/],
  [{ author: 'rita', part: 'requested', byToken: false }, /^rita requested RFC-7; somebody else/],
  [{ author: 'bo', part: 'changed', byToken: false }, /^bo changed what RFC-7 says; somebody else/],
  [
    { author: 'ada', part: 'changed', byToken: true },
    /^The token of amir was made by ada, and ada changed what RFC-7 says/,
  ],
] as const)('whose part it was: %j', (own, told) => {
  expect(ownChange('RFC-7', 'amir', own)).toMatchObject({ code: 'own-change', message: told });
  expect(ownChange('RFC-7', 'amir', undefined)).toBeUndefined();
});

it.each([
  ['another promotion is live', { promotion: 8, before: 3 }, 'not-current'],
  ['nothing is live', null, 'not-current'],
  ['it was the first', { promotion: 7, before: null }, 'nothing-to-return-to'],
])('no rollback by hand when %s', (_why, live, code) => {
  const back = { ...asked, trigger: 'rollback', promotion: 'deployed', live, returnsTo: null } as const;
  for (const place of ['click', 'admission', 'lane'] as const)
    expect(whyNotNow(back, config, place)).toMatchObject({ code, then: 'refuse' });
});

it('says why a target is switched off', () => {
  const off = { promotionsEnabled: false, promotionsDisabledReason: 'stocktaking' } as TargetConfig;
  expect(whyNotNow(asked, off, 'click')?.message).toContain('stocktaking');
  expect(switchedOff({ promotionsEnabled: true } as TargetConfig)).toBeUndefined();
  expect(switchedOff(undefined)).toContain('no longer names');
});

it('one that is held goes on by itself, and is not told to be deployed when its window opens', () => {
  const closedNow = { ...asked, window: closed };
  const held = whyNotNow({ ...closedNow, promotion: 'executing' }, config, 'swap')!;
  expect(held.message).toMatch(/It goes on when it opens/);
  expect(held.message).not.toContain('Deploy when it opens');
  expect(whyNotNow(closedNow, config, 'click')!.message).toContain('Deploy when it opens');
});
