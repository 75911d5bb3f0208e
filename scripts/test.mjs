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

// However this ends, its guardian ends what it started.
const folder = beginRun();
const started = Date.now();
if (!run(['scripts/build.mjs'])) {
  console.log('The build failed; nothing was tested.\n0 passed, 1 failed');
  process.exit(1);
}
/** Runs a program beside others; what it says is kept together. */
const beside = (args) =>
  new Promise((done) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => (output += chunk.toString()));
    child.once('close', (code) => done({ good: code === 0, output }));
  });

// The faults wait for most of their time; so do the checks not wait for them.
const faults = wants('faults') ? beside(['dist-failpoints/test/faults/main.js', '--subset']) : undefined;
if (wants('static')) {
  const queue = Object.entries(checks);
  const lane = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [name, args] = next;
      const { good, output } = await beside(args);
      if (!good) console.log(output);
      console.log(`static: ${name} ${good ? 'passed' : 'FAILED'}`);
      if (good) passed += 1;
      else failed += 1;
    }
  };
  await Promise.all([lane(), lane()]);
  ran.push('static');
}
if (faults) {
  // Closes with "N cells, N violations".
  const { output } = await faults;
  console.log(output);
  const [, cells, violations] = /^(\d+) cells, (\d+) violations$/m.exec(output) ?? [];
  if (cells === undefined) failed += 1;
  else {
    passed += Number(cells) - Number(violations);
    failed += Number(violations);
  }
  ran.push('faults');
}
const chosen = suites.filter(wants);
if (chosen.length > 0) {
  const report = join(folder, 'jest.json');
  const good = run(
    [
      // Most of what a test file runs it runs a few times: compiled later, it costs a sixth less.
      '--interrupt-budget=1500000',
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
  ran.push(...chosen);
}
console.log(`Parts: ${ran.join(', ')} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
