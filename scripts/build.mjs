// Builds what runs: the compiled program, the bundled workflows and the Operations page, into dist/.
// Beside it dist-failpoints/ is the same with its failpoints left in, for the fault harness.
// Does nothing when no source has changed since the last build.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitForLock } from 'fs-native-extensions';
import { rooms } from './rooms.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const require = createRequire(import.meta.url);

const hash = createHash('sha256');
const read = (file) => hash.update(file).update(readFileSync(file));
for (const room of [...rooms, 'test/faults', 'test/helpers'])
  for (const entry of readdirSync(room, { recursive: true, withFileTypes: true }).sort((a, b) =>
    join(a.parentPath, a.name).localeCompare(join(b.parentPath, b.name)),
  ))
    if (entry.isFile()) read(join(entry.parentPath, entry.name));
for (const file of [
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build.mjs',
  'scripts/rooms.mjs',
])
  read(file);
const wanted = hash.digest('hex');
// One build at a time; whoever waited finds it done. The lock ends with this process.
mkdirSync('node_modules/.cache', { recursive: true });
await waitForLock(openSync('node_modules/.cache/signalbox-build.lock', 'a+'));
const stamp = 'dist/built';
if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) process.exit(0);

const started = Date.now();
console.log('Building Signalbox (about 20 seconds; only when something changed) ...');
rmSync(stamp, { force: true });
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: 'inherit' });
node(require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json');

const vite = await import('vite');
await vite.build({ root: join(root, 'web'), logLevel: 'warn' });

rmSync('dist', { recursive: true, force: true });
cpSync('dist-failpoints', 'dist', {
  recursive: true,
  filter: (file) => !/failpoint\.js|tsbuildinfo|dist-failpoints\/test(\/|$)/.test(file),
});
for (const file of readdirSync('dist', { recursive: true }).filter((name) => name.endsWith('.js'))) {
  const path = join('dist', file);
  const text = readFileSync(path, 'utf8');
  // Each takes a line of its own; emptied lines keep the source maps true.
  const without = text
    .replace(/^ *await \(0, failpoint_1\.failpoint\)\(.*\);$/gm, '')
    .replace(/^const failpoint_1 = require\(.*\);$/m, '');
  if (/failpoint_1/.test(without)) throw new Error(`${file}: a failpoint has to be a statement of its own`);
  if (without !== text) writeFileSync(path, without);
}

const { bundleWorkflowCode } = require('@temporalio/worker');
// Twice: what passes traces on costs something, so it is in the one that a worker with OpenTelemetry loads.
const bundles = {
  'workflow-bundle.js': [],
  'workflow-bundle-traced.js': [
    require.resolve('@temporalio/interceptors-opentelemetry/lib/workflow-interceptors'),
  ],
};
for (const [file, workflowInterceptorModules] of Object.entries(bundles)) {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'dist/workflows/index.js'),
    payloadConverterPath: join(root, 'dist/workflows/payload-converter.js'),
    workflowInterceptorModules,
    logger: { trace() {}, debug() {}, info() {}, log() {}, warn: console.warn, error: console.error },
  });
  for (const place of ['dist', 'dist-failpoints']) writeFileSync(join(place, file), code);
}
writeFileSync(stamp, wanted);
console.log(`Built in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
