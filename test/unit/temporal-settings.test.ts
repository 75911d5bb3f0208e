import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { developmentServerArgs } from '../../temporal-config/development-server';

/** What the development server is given by arguments, the production server reads from a file: the same settings. */
it('both kinds of Temporal server have the same settings of their own', () => {
  const args = developmentServerArgs({ port: 1, uiPort: 2, file: 'f', namespace: 'n' });
  const given = args
    .filter((_, n) => args[n - 1] === '--dynamic-config-value')
    .map((setting) => setting.split('=') as [string, string])
    .map(([name, value]) => [name, JSON.parse(value)] as const);
  const file = parse(readFileSync('temporal-config/server/dynamic.yaml', 'utf8')) as Record<
    string,
    { value: unknown }[]
  >;
  expect(given.length).toBeGreaterThan(3);
  expect(Object.entries(file).map(([name, [setting]]) => [name, setting!.value])).toEqual(given);
});
