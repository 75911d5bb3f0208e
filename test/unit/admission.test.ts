import { ownChange, switchedOff, whyNot, type Standing } from '../../domain/admission';
import type { TargetConfig } from '../../domain/config';
import { changeRequest, promotion, statesOf, triggers } from '../../domain/machines';

/** The rule as a full table: which promotion may be deployed, retried or rolled back, written down by hand. */
const standing: Standing = {
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
  recipe: '',
  backlogItems: [],
  conflictsAccepted: null,
  anyPlanned: false,
  lastAttempt: 1,
  open: null,
  live: { promotion: 7, before: 3 },
  returnsTo: 3,
};
const may = new Set([
  ...statesOf('changeRequest').map((change) => `deploy approved ${change}`),
  ...statesOf('changeRequest').map((change) => `rollback deployed ${change}`),
  // Its rollback failed and was accepted: what it left can still be rolled back.
  ...statesOf('changeRequest').map((change) => `rollback rolled-back ${change}`),
  'retry rolled-back approved',
]);

it.each(
  triggers.flatMap((trigger) =>
    Object.keys(promotion).flatMap((p) => Object.keys(changeRequest).map((c) => [trigger, p, c] as const)),
  ),
)('%s of a promotion that is %s with a change request that is %s', (trigger, p, c) => {
  const refusal = whyNot(
    { ...standing, promotion: p as never, changeRequest: c as never },
    trigger,
    undefined,
  );
  expect(refusal === undefined).toBe(may.has(`${trigger} ${p} ${c}`));
  if (refusal) expect(refusal.message).toMatch(/CP-7|RFC-7/);
});

it.each(['deploy', 'retry'] as const)('no %s under an approval that does not count any more', (trigger) => {
  const rolledBack = {
    promotion: trigger === 'retry' ? 'rolled-back' : 'approved',
    approvalStands: false,
  } as const;
  expect(whyNot({ ...standing, ...rolledBack }, trigger, undefined)).toMatchObject({ code: 'approval-void' });
  expect(whyNot({ ...standing, ...rolledBack, approvalStands: true }, trigger, undefined)).toBeUndefined();
});

it.each([
  ['carla', undefined, 'own-change'],
  ['rita', undefined, 'own-change'],
  ['amir', undefined, undefined],
  ['amir', 'ada', undefined],
  ['amir', 'carla', 'own-change'],
  ['amir', 'rita', 'own-change'],
])(
  'shipped by carla, requested by rita: a decision by %s with a token minted by %s: %s',
  (approver, mintedBy, code) => {
    expect(ownChange('RFC-7', { approver, ...(mintedBy ? { mintedBy } : {}) }, ['carla', 'rita'])?.code).toBe(
      code,
    );
  },
);

it.each([
  ['another promotion is live', { promotion: 8, before: 3 }, 'not-current'],
  ['nothing is live', null, 'not-current'],
  ['it was the first', { promotion: 7, before: null }, 'nothing-to-return-to'],
])('no rollback by hand when %s', (_why, live, code) => {
  expect(
    whyNot({ ...standing, promotion: 'deployed', live, returnsTo: null }, 'rollback', undefined),
  ).toMatchObject({ code });
});

it('a target that is switched off takes no promotion, but rolls back', () => {
  const off = switchedOff({
    promotionsEnabled: false,
    promotionsDisabledReason: 'stocktaking',
  } as TargetConfig);
  expect(whyNot(standing, 'deploy', off)).toMatchObject({
    code: 'promotions-disabled',
    message: expect.stringContaining('stocktaking'),
  });
  expect(whyNot({ ...standing, promotion: 'deployed' }, 'rollback', off)).toBeUndefined();
  expect(switchedOff({ promotionsEnabled: true } as TargetConfig)).toBeUndefined();
  expect(switchedOff(undefined)).toContain('no longer names');
});
