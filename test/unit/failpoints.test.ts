import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Failpoints: all there for the fault harness, none in what users run. */
const textOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js') && !name.startsWith('web'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');

it('what users run has none', () => {
  expect(textOf('dist')).not.toMatch(/failpoint|signalboxBarrier/i);
  expect(existsSync('dist/domain/failpoint.js')).toBe(false);
});

it('the harness has these', () => {
  const found = [...textOf('dist-failpoints').matchAll(/failpoint_1\.failpoint\)\(['"`](.*)['"`]\)/g)];
  expect(found.map(([, name]) => name).sort()).toEqual([
    '${context.step}/middle',
    '${context.step}/switched',
    '${name}/asked',
    '${name}/before',
    '${name}/begun',
    '${name}/effect-unreported',
    '${name}/recorded-unreported',
    '${step}/middle',
    'admit/before',
    'admit/middle',
    'admit/recorded-unreported',
    'adopt/middle',
    'api-decide/before',
    'api-decide/sent-unanswered',
    'api-deploy/before',
    'api-deploy/started-unanswered',
    'backup/middle',
    'backup/middle',
    'backup/proof',
    'begin-rollback/before',
    'begin-rollback/middle',
    'begin-rollback/recorded-unreported',
    'build/middle',
    'decide/before',
    'decide/recorded-unreported',
    'end-run/recorded',
    'heard/before',
    'hold/recorded-unreported',
    'lane/before',
    'lane/middle',
    'lane/recorded-unreported',
    'migrate/middle',
    'prune/middle',
    'reconcile/recovering',
    'record/before',
    'record/middle',
    'record/recorded-unreported',
    'restored/middle',
    'restored/noted',
    'tidy/before',
    'tidy/prune',
    'undo-migrate/middle',
    'unpack/middle',
  ]);
});
