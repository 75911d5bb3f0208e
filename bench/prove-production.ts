import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rememberedPorts } from '../cli/embedded/ports';
import { startPostgres } from '../cli/embedded/postgres-server';
import { createProcesses } from '../cli/embedded/processes';
import { startProduction } from './production';

/**
 * `npm run prove:production`: a released Temporal server, run with the files of temporal-config/server on a real
 * PostgreSQL and behind mutual TLS, is set up by `signalbox temporal setup` and carries the whole story from end to end.
 */
const suites = ['test/e2e/story', 'test/e2e/no-gap', 'test/e2e/kills'];

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-production-'));
  const processes = createProcesses(folder, console.error);
  const ports = rememberedPorts(folder);
  let failed = 0;
  let passed = 0;
  const proves = (what: string, args: string[], env: Record<string, string>, expected: RegExp) => {
    const ran = spawnSync(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    });
    const said = `${ran.stdout}${ran.stderr}`;
    const good = ran.status === 0 && expected.test(said);
    if (good) passed += 1;
    else failed += 1;
    console.log(`${good ? 'passed' : 'FAILED'}  ${what}`);
    console.log((good ? ran.stdout.trim() : said).replace(/^/gm, '        '));
  };
  try {
    const { databaseOwnerUrl } = await startPostgres(folder, await ports.take('postgres'), processes);
    const { env } = await startProduction({ folder, ports, processes, databaseOwnerUrl });
    console.log(`passed  Temporal's schemas, and its server with mutual TLS at ${env.TEMPORAL_ADDRESS}`);
    passed += 1;

    const program = resolve('cli/bin.js');
    const setUp = [program, 'temporal', 'setup', '--retention-days', '3'];
    const own = { ...env, TEMPORAL_NAMESPACE: 'signalbox' };
    proves('signalbox temporal setup', setUp, own, /namespace signalbox: made[^]*SignalboxTarget: made/);
    proves('the same again changes nothing', setUp, own, /^Temporal at \S+ has what Signalbox needs/);
    setUp[setUp.length - 1] = '5';
    proves('a longer retention', setUp, own, /kept for 5 days, before 3/);
    const stranger = { ...own, TEMPORAL_TLS_CLIENT_CERT_PATH: '', TEMPORAL_TLS_CLIENT_KEY_PATH: '' };
    const refused = spawnSync(process.execPath, [program, 'temporal', 'setup'], {
      env: { ...process.env, ...stranger },
      encoding: 'utf8',
    });
    const kept = refused.status !== 0;
    console.log(`${kept ? 'passed' : 'FAILED'}  whoever has no certificate is not let in`);
    if (kept) passed += 1;
    else failed += 1;

    for (const suite of suites)
      proves(
        `npx jest ${suite}`,
        ['node_modules/jest/bin/jest.js', suite, '--colors=false'],
        { ...env, TEMPORAL_NAMESPACE: `proof-${suite.split('/').at(-1)}` },
        /^Tests: +\d+ passed/m,
      );
  } finally {
    for (const name of ['temporal', 'postgres']) await processes.stop(name);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

main().catch((thrown: unknown) => {
  console.error(thrown);
  process.exitCode = 1;
});
