import {
  deploymentKey,
  parseChangeRequestKey,
  parseDeploymentKey,
  parsePromotionKey,
} from '../../domain/keys';

it('reads what it writes', () => {
  expect(parsePromotionKey('CP-7')).toBe(7);
  expect(parseChangeRequestKey('RFC-12')).toBe(12);
  // As people type it.
  expect(parsePromotionKey('cp-7')).toBe(7);
  expect(parseDeploymentKey(deploymentKey(7, 2))).toEqual({ promotion: 7, attempt: 2 });
});

it.each([
  'CP-0',
  'CP-01',
  'CP-7.1',
  'CP-',
  'CP-1e3',
  'CP-9999999999',
  ' CP-7',
  'CP-7\n',
  'RFC-7',
  '__proto__',
])('refuses %j as a promotion, saying what one looks like', (key) => {
  expect(() => parsePromotionKey(key)).toThrow(/CP-7/);
});
