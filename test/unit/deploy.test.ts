import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { onPath } from '../../cli/embedded/fetch-part';
import { readConfig } from '../../cli/settings';
import { runnerQueue } from '../../temporal-config/names';

/** What is shipped for clusters fits the program that it starts. */
it('the example of a configuration is one', () => {
  const { targets, api, identity, retention } = readConfig('deploy/kubernetes/signalbox.config.yaml');
  expect(targets.get('shop')).toMatchObject({ runner: { lostAfterSeconds: 600 } });
  expect([api.publicUrl, retention.logDays]).toEqual(['https://signalbox.example.com', 365]);
  expect(identity?.oidc.roles['change-board']).toEqual(['approver']);
  expect(runnerQueue('shop', 'a')).toBe('target/shop/a');
});

const help = (...args: string[]) =>
  spawnSync(process.execPath, ['cli/bin.js', ...args, '--help'], { encoding: 'utf8' }).stdout;

/** Every command line in the manifests: the words, and the options that the program has for them. */
const commandsIn = (text: string) =>
  [...text.matchAll(/(?:args|command):\s*\[([^\]]*)\]|args:\n((?:\s+- .*\n)+)/g)].map(([, flow, block]) =>
    (flow ?? block!)
      .split(flow === undefined ? '\n' : ',')
      .map((word) =>
        word
          .replace(/^\s*-\s/, '')
          .trim()
          .replace(/^'|'$/g, ''),
      )
      .filter(Boolean),
  );
it.each([
  'compose.yaml',
  'kubernetes/api.yaml',
  'kubernetes/worker.yaml',
  'kubernetes/runner.yaml',
  'kubernetes/setup.yaml',
])('deploy/%s starts commands that there are, with options that they take', (file) => {
  const commands = commandsIn(readFileSync(`deploy/${file}`, 'utf8')).filter(([first]) => first !== 'sh');
  expect(commands.length).toBeGreaterThan(0);
  for (const words of commands) {
    const options = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0]!);
    const known = help(...words.slice(0, words[0] === 'temporal' ? 2 : 1));
    expect(options.length).toBeGreaterThan(0);
    for (const option of options) expect(known).toContain(`${option} `);
  }
});

it('a worker and a runner are given longer to end than their steps', () => {
  for (const [file, kind] of [
    ['worker', 'Deployment'],
    ['runner', 'StatefulSet'],
  ] as const) {
    const [text] = readFileSync(`deploy/kubernetes/${file}.yaml`, 'utf8').split('\n---\n');
    const manifest = parse(text!) as {
      kind: string;
      spec: { template: { spec: { terminationGracePeriodSeconds: number } } };
    };
    expect(manifest.kind).toBe(kind);
    const grace = Number(/--grace-seconds=(\d+)/.exec(text!)![1]);
    expect(manifest.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(grace + 20);
  }
});

const kubectl = onPath('kubectl');
if (!kubectl) console.log('skipped: manifests with kubectl kustomize: it is not installed here');
(kubectl ? it : it.skip)('the manifests fit together', () => {
  const { status, stdout, stderr } = spawnSync(kubectl!, ['kustomize', 'deploy/kubernetes'], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  const kinds = [...stdout.matchAll(/^kind: (\w+)$/gm)].map(([, kind]) => kind).sort();
  expect(kinds).toEqual([
    'ConfigMap',
    'ConfigMap',
    'Deployment',
    'Deployment',
    'Job',
    'Namespace',
    'PodDisruptionBudget',
    'PodDisruptionBudget',
    'Service',
    'StatefulSet',
  ]);
  expect(stdout).not.toMatch(/image: signalbox$/m);
});
