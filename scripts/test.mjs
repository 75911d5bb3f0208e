// npm test            everything          npm test -- unit db     some parts
// Prints which parts it ran and closes with "N passed, N failed".
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beginRun } from '../test/helpers/guardian.cjs';
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

const parts = ['static', 'faults', ...suites];

const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !parts.includes(part));
if (unknown.length > 0) {
  console.error(`No such part: ${unknown.join(', ')}. Parts: ${parts.join(', ')}.`);
  process.exit(2);
}
const wants = (part) => asked.length === 0 || asked.includes(part);
let passed = 0;
let failed = 0;
// However this ends, its guardian ends what it started.
const folder = beginRun();
const started = Date.now();
if (spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' }).status !== 0) {
  console.log('The build failed; nothing was tested.\n0 passed, 1 failed');
  process.exit(1);
}
const ended = (child) => new Promise((done) => child.once('close', (code) => done(code === 0)));
/** Runs a program beside others; what it says is kept together. */
async function beside(args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => (output += chunk.toString()));
  return { good: await ended(child), output };
}

async function runChecks() {
  for (const [name, args] of Object.entries(checks)) {
    const { good, output } = await beside(args);
    if (!good) console.log(output);
    console.log(`static: ${name} ${good ? 'passed' : 'FAILED'}`);
    if (good) passed += 1;
    else failed += 1;
  }
}

async function runFaults() {
  // Closes with "N cells, N violations".
  const { output } = await beside(['dist-failpoints/test/faults/main.js', '--subset']);
  console.log(output);
  const [, cells, violations] = /^(\d+) cells, (\d+) violations$/m.exec(output) ?? [];
  if (cells === undefined) failed += 1;
  else {
    passed += Number(cells) - Number(violations);
    failed += Number(violations);
  }
}

const chosen = suites.filter(wants);
async function runSuites() {
  const report = join(folder, 'jest.json');
  const args = [
    // Most of what a test file runs it runs a few times: compiled later, it costs a sixth less.
    '--interrupt-budget=1500000',
    bin('jest', 'bin/jest.js'),
    '--json',
    `--outputFile=${report}`,
    ...chosen.map((part) => `test/${part}/`),
  ];
  const env = { ...process.env, FORCE_COLOR: '0' };
  const good = await ended(spawn(process.execPath, args, { stdio: 'inherit', env }));
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    const broken = result.numFailedTests + result.numRuntimeErrorTestSuites;
    passed += result.numPassedTests;
    failed += !good && broken === 0 ? 1 : broken;
  } catch {
    failed += 1;
  }
}

// All at once: the suites and the faults wait for most of their time.
await Promise.all([
  wants('static') && runChecks(),
  wants('faults') && runFaults(),
  chosen.length > 0 && runSuites(),
]);
console.log(`Parts: ${parts.filter(wants).join(', ')} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
