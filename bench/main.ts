import { backlog } from './backlog';
import { deployments } from './deployments';
import { events } from './events';
import { governance } from './governance';
import { growth } from './growth';
import { log } from './log';
import { page } from './page';
import { table, type Result } from './result';
import { startServers } from './servers';
import { startUp } from './start-up';
import { swaps } from './swaps';

/** `npm run bench`: every figure of docs/performance.md; `-- --quick` in under two minutes, `-- log` one part of it. */
async function main(): Promise<void> {
  const quick = process.argv.includes('--quick');
  const only = process.argv.slice(2).find((name) => !name.startsWith('--'));
  const started = Date.now();
  const servers = await startServers();
  console.log(`On ${servers.kind}.`);
  const results: Result[] = [];
  try {
    const part = async (what: string, run: () => Promise<Result[]>) => {
      if (only && only !== what) return;
      const began = Date.now();
      results.push(...(await run()));
      console.log(`${what}: ${((Date.now() - began) / 1000).toFixed(0)} s`);
    };
    await part('deployments', () => deployments(servers, quick));
    await part('events', () => events(servers, quick));
    await part('log', () => log(servers, quick));
    await part('growth', () => growth(servers, quick));
    await part('swaps', () => swaps(quick));
    await part('backlog', () => backlog(servers, quick));
    await part('governance', () => governance(servers, quick));
    await part('start-up', () => startUp(quick));
    await part('page', () => page(quick));
  } catch (thrown) {
    console.log(table(results));
    // What was being measured may still hold the servers; the first error is the one to read.
    await servers.stop().catch(() => undefined);
    throw thrown;
  }
  await servers.stop();
  console.log(table(results));
  console.log(`${((Date.now() - started) / 1000).toFixed(0)} s`);
}

main().catch((thrown: unknown) => {
  console.error(thrown);
  process.exitCode = 1;
});
