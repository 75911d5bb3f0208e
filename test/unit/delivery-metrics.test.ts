import fc from 'fast-check';
import {
  countedBy,
  figureOf,
  measureNames,
  seriesOf,
  type DeploymentFact,
} from '../../domain/delivery-metrics';

/** The five figures against hand-written expectations, and each against the list of what it counts. */
const hour = 3_600_000;
const fact = (more: Partial<DeploymentFact>): DeploymentFact => ({
  key: 'CP-1.1',
  title: 'a change',
  target: 'shop',
  trigger: 'deploy',
  status: 'succeeded',
  type: 'normal',
  endedAt: 100 * hour,
  swappedAt: 99 * hour,
  leadMs: 10 * hour,
  undoneAt: null,
  ...more,
});
const facts = {
  planned: fact({}),
  emergency: fact({ type: 'emergency', leadMs: hour }),
  'failed its check': fact({ status: 'rolled-back' }),
  'failed to build': fact({ status: 'rolled-back', swappedAt: null }),
  'could not be undone': fact({ status: 'rollback-failed' }),
  'taken back by hand': fact({ undoneAt: 105 * hour }),
  'the rollback by hand': fact({ trigger: 'rollback', leadMs: 50 * hour }),
  'a retry': fact({ trigger: 'retry', leadMs: 30 * hour }),
};

it.each([
  // [what, frequency, lead time, failure rate, recovery time, rework rate]: what each adds; none: it does not count.
  ['planned', 1, 10 * hour, 0, undefined, 0],
  ['emergency', 1, hour, 0, undefined, 1],
  ['failed its check', undefined, undefined, 1, hour, undefined],
  ['failed to build', undefined, undefined, undefined, undefined, undefined],
  ['could not be undone', undefined, undefined, 1, undefined, undefined],
  ['taken back by hand', 1, 10 * hour, 1, 6 * hour, 0],
  ['the rollback by hand', undefined, undefined, undefined, undefined, 1],
  ['a retry', 1, 30 * hour, 0, undefined, 0],
] as const)('%s', (what, ...adds) => {
  const counted = measureNames.map((name) => countedBy(name, [facts[what]])[0]?.value);
  expect(counted).toEqual(adds);
});

it('figures of all of them', () => {
  const all = Object.values(facts);
  const figures = measureNames.map((name) => figureOf(name, all, 2));
  expect(figures).toEqual([2, 10 * hour, 3 / 6, 3.5 * hour, 2 / 5]);
});

it('nothing to count is no figure; but no deployment is a frequency of none', () => {
  expect(measureNames.map((name) => figureOf(name, [], 30))).toEqual([0, null, null, null, null]);
});

it('the course adds up to the figure', () => {
  const status = fc.constantFrom('succeeded', 'rolled-back', 'rollback-failed' as const);
  const any = fc.record({
    status,
    trigger: fc.constantFrom('deploy', 'retry', 'rollback' as const),
    type: fc.constantFrom('normal', 'emergency' as const),
    endedAt: fc.integer({ min: 0, max: 15 * hour - 1 }),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 60 }), (list) => {
      const all = list.map((one) => fact(one as Partial<DeploymentFact>));
      const frequency = seriesOf('deployment-frequency', all, 0, 15 * hour, 15) as number[];
      const sum = frequency.reduce((a, b) => a + b, 0) / 15;
      expect(sum).toBeCloseTo(figureOf('deployment-frequency', all, 15 / 24)!, 9);
      const shares = seriesOf('rework-rate', all, 0, 15 * hour, 15);
      const parts = shares.map((share, n) => {
        const within = all.filter((f) => Math.floor(f.endedAt / hour) === n);
        return [share ?? 0, countedBy('rework-rate', within).length] as const;
      });
      const total = parts.reduce((a, [, count]) => a + count, 0);
      const whole = figureOf('rework-rate', all, 1);
      if (total === 0) expect(whole).toBe(null);
      else expect(parts.reduce((a, [share, count]) => a + share * count, 0) / total).toBeCloseTo(whole!, 9);
    }),
    { numRuns: 200 },
  );
});
