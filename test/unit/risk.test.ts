import { parseTargets } from '../../domain/config';
import { touchedBy } from '../../api/touched';
import { riskOf, type ChangeFacts } from '../../domain/risk';

const policyOf = (yaml: string) =>
  parseTargets(
    `targets: { shop: { repository: /r, build: { argv: [x] }, driver: { kind: directory, root: /d }, backup: { kind: files, paths: [/b] }, health: { kind: http, url: "http://127.0.0.1:1/" }${yaml} } }`,
    'test',
  ).get('shop')!.risk;
const facts = (more: Partial<ChangeFacts> = {}): ChangeFacts => ({
  files: [{ path: 'src/a.ts', added: 3, removed: 1 }],
  lines: 4,
  recent: { deployments: 10, rolledBack: 0 },
  ...more,
});
const file = (path: string) => ({ path, added: 1, removed: 0 });

it.each<[string, string, ChangeFacts, string, string[]]>([
  ['a small change', '', facts(), 'low', []],
  [
    'a migration',
    '',
    facts({ files: [file('db/migrations/7.sql'), file('db/migrations/8.sql')] }),
    'high',
    ['high: touches db/migrations/7.sql and 1 more (a migration)'],
  ],
  [
    'a migration script',
    '',
    facts({ files: [file('migrate.js')] }),
    'high',
    ['high: touches migrate.js (a migration)'],
  ],
  [
    'something that only sounds like one',
    '',
    facts({ files: [file('docs/migrations-guide.md')] }),
    'low',
    [],
  ],
  ['many lines', '', facts({ lines: 700 }), 'medium', ['medium: changes 700 lines']],
  ['very many lines', '', facts({ lines: 7000 }), 'high', ['high: changes 7000 lines']],
  [
    'rolls back often',
    '',
    facts({ recent: { deployments: 10, rolledBack: 3 } }),
    'medium',
    ['medium: 3 of the last 10 deployments to this target rolled back'],
  ],
  ['too few to say', '', facts({ recent: { deployments: 3, rolledBack: 3 } }), 'low', []],
  [
    'rules of its own',
    ', risk: { base: medium, paths: [{ match: "pay/**", risk: critical, reason: payments }], lines: [], rollbackRate: [] }',
    facts({ files: [file('pay/.env')], lines: 9999 }),
    'critical',
    ['critical: touches pay/.env (payments)'],
  ],
  ['nothing over the base', ', risk: { base: high }', facts({ lines: 700 }), 'high', []],
])('%s', async (_what, yaml, given, risk, reasons) => {
  const policy = policyOf(yaml);
  const touched = await touchedBy(
    policy.paths.map(({ match }) => match),
    given.files.map(({ path }) => path),
  );
  expect(riskOf(policy, given, touched)).toEqual({ risk, reasons });
});

it.each([
  ['**/*a*a*a*a*a*b', 'a'.repeat(3_000)],
  ['+(a+)+b', 'a'.repeat(3_000)],
  ['**/**/**/**/x', 'a/'.repeat(1_500)],
])('a pattern that takes forever counts as touched, and holds nobody up: %s', async (match, path) => {
  let answered = 0;
  const others = setInterval(() => answered++, 5);
  const touched = await touchedBy(['*.sql', match, '*.ddl'], ['a.sql', path], 1_000);
  clearInterval(others);
  expect(touched[0]).toEqual({ first: 'a.sql', count: 1 });
  // Not once, were it matched here.
  expect(answered).toBeGreaterThan(0);
  if (touched[1] !== 'late') return expect(touched[1]).toEqual({ first: undefined, count: 0 });
  const policy = policyOf(`, risk: { base: low, paths: [{ match: "${match}", risk: high }] }`);
  expect(riskOf(policy, facts({ files: [file(path)] }), [touched[1]])).toEqual({
    risk: 'high',
    reasons: [expect.stringContaining('counts as touched')],
  });
});
