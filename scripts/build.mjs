// Builds what runs: the compiled program, the bundled workflows and the Operations page, into dist/.
// Does nothing when no source has changed since the last build.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const require = createRequire(import.meta.url);
const rooms = ['domain', 'workflows', 'activities', 'db', 'api', 'worker', 'temporal-config', 'cli', 'web'];

const hash = createHash('sha256');
const read = (file) => hash.update(file).update(readFileSync(file));
for (const room of rooms)
  for (const entry of readdirSync(room, { recursive: true, withFileTypes: true }).sort((a, b) =>
    join(a.parentPath, a.name).localeCompare(join(b.parentPath, b.name)),
  ))
    if (entry.isFile()) read(join(entry.parentPath, entry.name));
for (const file of ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'])
  read(file);
const wanted = hash.digest('hex');
const stamp = 'dist/built';
if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) process.exit(0);

const started = Date.now();
console.log('Building Signalbox (about 20 seconds; only when something changed) ...');
rmSync(stamp, { force: true });
mkdirSync('dist', { recursive: true });
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: 'inherit' });
node(require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json');

const { bundleWorkflowCode } = require('@temporalio/worker');
const { code } = await bundleWorkflowCode({
  workflowsPath: join(root, 'dist/workflows/index.js'),
  logger: { trace() {}, debug() {}, info() {}, log() {}, warn: console.warn, error: console.error },
});
writeFileSync('dist/workflow-bundle.js', code);

const vite = await import('vite');
await vite.build({ root: join(root, 'web'), logLevel: 'warn' });
writeFileSync(stamp, wanted);
console.log(`Built in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
