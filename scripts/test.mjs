// npm test            everything          npm test -- unit db     some parts
// Prints which parts it ran and closes with "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rooms } from './rooms.mjs';

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));
const bin = (name, file) => join('node_modules', name, file);

const checks = {
  types: [bin('typescript', 'bin/tsc'), '--noEmit', '-p', '.'],
  'types of the page': [bin('typescript', 'bin/tsc'), '--noEmit', '-p', 'web'],
  lint: [bin('eslint', 'bin/eslint.js'), '.'],
  format: [bin('prettier', 'bin/prettier.cjs'), '--check', '--log-level', 'warn', '.'],
  imports: [
    bin('dependency-cruiser', 'bin/dependency-cruise.mjs'),
    '--config',
    '.dependency-cruiser.cjs',
    ...rooms,
  ],
};
const suites = ['unit', 'db', 'activities', 'api', 'workflows', 'replay', 'e2e', 'browser'];

const parts = ['static', ...suites, 'faults'];

const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !parts.includes(part));
if (unknown.length > 0) {
  console.error(`No such part: ${unknown.join(', ')}. Parts: ${parts.join(', ')}.`);
  process.exit(2);
}
const wants = (part) => asked.length === 0 || asked.includes(part);
const ran = [];
let passed = 0;
let failed = 0;
const run = (args, env = {}) =>
  spawnSync(process.execPath, args, { stdio: 'inherit', env: { ...process.env, ...env } }).status === 0;

const started = Date.now();
if (!run(['scripts/build.mjs'])) {
  console.log('The build failed; nothing was tested.\n0 passed, 1 failed');
  process.exit(1);
}
if (wants('static')) {
  for (const [name, args] of Object.entries(checks)) {
    const good = run(args);
    console.log(`static: ${name} ${good ? 'passed' : 'FAILED'}`);
    if (good) passed += 1;
    else failed += 1;
  }
  ran.push('static');
}
const chosen = suites.filter(wants);
if (chosen.length > 0) {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-test-'));
  const report = join(folder, 'jest.json');
  const good = run(
    [
      bin('jest', 'bin/jest.js'),
      '--json',
      `--outputFile=${report}`,
      ...chosen.map((part) => `test/${part}/`),
    ],
    { FORCE_COLOR: '0' },
  );
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    if (!good && failed === 0) failed += 1;
  } catch {
    failed += 1;
  }
  rmSync(folder, { recursive: true, force: true });
  ran.push(...chosen);
}
if (wants('faults')) {
  // A program of its own: it strikes real processes, and closes with "N cells, N violations".
  const { stdout } = spawnSync(process.execPath, ['dist-failpoints/test/faults/main.js', '--subset'], {
    stdio: ['inherit', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  console.log(stdout);
  const [, cells, violations] = /^(\d+) cells, (\d+) violations$/m.exec(stdout) ?? [];
  if (cells === undefined) failed += 1;
  else {
    passed += Number(cells) - Number(violations);
    failed += Number(violations);
  }
  ran.push('faults');
}
console.log(`Parts: ${ran.join(', ')} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
