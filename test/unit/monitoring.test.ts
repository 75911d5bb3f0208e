import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { onPath } from '../../cli/embedded/fetch-part';

/** The alert rules, their runbook and the dashboard fit one another and what is really measured. */
const folder = 'deploy/monitoring';
interface Rule {
  alert: string;
  expr: string;
  annotations: { runbook: string };
}
const rules = (parse(readFileSync(join(folder, 'alerts.yaml'), 'utf8')) as { groups: { rules: Rule[] }[] })
  .groups[0]!.rules;
const dashboard = JSON.parse(readFileSync(join(folder, 'dashboard.json'), 'utf8')) as {
  panels: { title: string; description: string; targets: { expr: string }[] }[];
};
const queries = [
  ...rules.map(({ expr }) => expr),
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
];

it('asks for nothing that Signalbox does not measure', () => {
  const measured = ['api/metrics.ts', 'activities/metrics.ts'].map((file) => readFileSync(file, 'utf8'));
  const names = new Set(measured.join().match(/(?<=')signalbox_\w+/g));
  const asked = queries.flatMap((expr) => expr.match(/signalbox_[a-z_]+/g) ?? []);
  expect(asked.length).toBeGreaterThan(20);
  const unknown = asked.map((name) => name.replace(/_(bucket|count|sum)$/, '')).filter((n) => !names.has(n));
  expect(unknown).toEqual([]);
});

it('has a chapter of the runbook for each alert, and none for others', () => {
  const runbook = readFileSync('docs/runbook.md', 'utf8');
  const chapters = [...runbook.matchAll(/^## (Signalbox\w+)$/gm)].map(([, name]) => name);
  expect(chapters).toEqual(rules.map(({ alert }) => alert));
  for (const { alert, annotations } of rules)
    expect(annotations.runbook).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
});

const promtool = onPath('promtool');
if (!promtool) console.log('skipped: alert rules with promtool: it is not installed here');
(promtool ? describe : describe.skip)('with promtool', () => {
  const check = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(promtool!, args, { encoding: 'utf8' });
    expect([status, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining('SUCCESS')]);
  };
  it('the rules are valid', () => check('check', 'rules', join(folder, 'alerts.yaml')));
  it('the alerts fire when they should', () => check('test', 'rules', join(folder, 'alerts.test.yaml')));
  it('the queries of the dashboard are valid', () => {
    const temporary = mkdtempSync(join(tmpdir(), 'signalbox-dashboard-'));
    const file = join(temporary, 'rules.yaml');
    const asRules = queries.map((expr, n) => ({ record: `panel:${n}`, expr }));
    writeFileSync(file, stringify({ groups: [{ name: 'dashboard', rules: asRules }] }));
    check('check', 'rules', file);
    rmSync(temporary, { recursive: true });
  });
});
