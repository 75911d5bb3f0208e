import { readFileSync } from 'node:fs';
import { chance, shuffled } from '../faults/chance';
import { mutants } from '../faults/mutant-list';
import { endsOf, failpointOf, matrix, subset } from '../faults/matrix';
import { upperBound } from '../faults/report';

/** What the fault harness itself rests on. */
it('the matrix holds every step, point, victim and fault once', () => {
  const names = matrix.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  // 9 steps on the target with 5 points and 5 on the record with 4: 65 points, each struck in 16 ways; all but the two
  // at which the deployment is over also in 3 that befall the deployment itself.
  expect(names.length).toBe(65 * 16 + 63 * 3);
  expect(subset.filter((name) => !names.includes(name))).toEqual([]);
});

it('where the API is struck at a click it is held itself', () => {
  const cell = (name: string) => matrix.find((one) => one.name === name)!;
  expect(failpointOf(cell('admit/before/api/kill'))).toBe('api-deploy/before');
  expect(failpointOf(cell('admit/before/worker/kill'))).toBe('admit/before');
  expect(endsOf(cell('swap/before/worker/kill'))).toEqual(['succeeded']);
  expect(endsOf(cell('undo-swap/before/deployment/terminate'))).toEqual(['rolled-back']);
});

it('chance can be had again, and differs from cell to cell', () => {
  const draw = (seed: number, name: string) =>
    Array.from({ length: 5 }, () => chance(seed, name).between(0, 1));
  expect(draw(7, 'a')).toEqual(draw(7, 'a'));
  expect(draw(7, 'a')).not.toEqual(draw(8, 'a'));
  expect(draw(7, 'a')).not.toEqual(draw(7, 'b'));
  expect(shuffled([1, 2, 3, 4, 5], 7, String).sort()).toEqual([1, 2, 3, 4, 5]);
});

it.each([
  // Without a violation: 1 - 0.05^(1/n), the rule of three.
  [0, 1, 0.95],
  [0, 100, 0.0295],
  [0, 960, 0.00312],
  // With some: from tables of the exact bound.
  [1, 100, 0.0466],
  [5, 100, 0.1023],
  [3, 3, 1],
  [0, 0, 1],
])('%d violations in %d runs: at most a rate of %d', (violations, runs, bound) => {
  expect(upperBound(violations, runs)).toBeCloseTo(bound, 3);
});

it.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
  'the safeguard that the mutant %s removes stands in its file once',
  (_name, { file, from, to }) => {
    expect(readFileSync(file, 'utf8').split(from)).toHaveLength(2);
    expect(to).not.toBe(from);
  },
);
