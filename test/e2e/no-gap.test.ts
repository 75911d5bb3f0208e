import { setTimeout as sleep } from 'node:timers/promises';
import { cleanUp, cli, startUp, stopUp, type Up } from '../helpers/up';

/** The site answers through swaps and rollbacks: asked every 10 ms, never an error, never an unknown version. */
let up: Up;
beforeAll(async () => {
  up = await startUp();
  await up.says('Running. Ctrl-C');
});
afterAll(cleanUp);

it('a prober and a load see exactly one known version at every moment', async () => {
  const { site } = up.endpoints();
  const seen: string[] = [];
  const failures: string[] = [];
  let stop = false;
  const ask = async () => {
    try {
      const response = await fetch(`${site}/version`);
      const { version } = (await response.json()) as { version: string };
      seen.push(version);
      if (response.status !== 200) failures.push(`status ${response.status}`);
    } catch (thrown) {
      failures.push(String(thrown));
    }
  };
  const prober = (async () => {
    while (!stop) {
      await ask();
      await sleep(10);
    }
  })();
  let orders = 0;
  const load = Promise.all(
    [1, 2, 3, 4].map(async () => {
      while (!stop) {
        const answer = await fetch(`${site}/`).catch(() => undefined);
        if (answer?.status !== 200) failures.push(`load: ${answer?.status}`);
        await answer?.text();
        orders += 1;
        await sleep(5);
      }
    }),
  );

  const deploy = async (revision: string, key: string) => {
    await cli(up, 'ship', 'shop', revision);
    await cli(up, 'approve', key);
    return (await cli(up, 'deploy', key, '--wait')).code;
  };
  expect(await deploy('v2', 'CP-2')).toBe(0);
  expect(await deploy('broken', 'CP-3')).toBe(3);
  expect((await cli(up, 'rollback', 'CP-2', '--wait')).code).toBe(0);
  stop = true;
  await prober;
  await load;

  console.log(`prober: ${seen.length} samples, load: ${orders} requests, failures: ${failures.length}`);
  expect(failures).toEqual([]);
  expect(seen.length).toBeGreaterThan(300);
  const runs = seen.filter((version, n) => version !== seen[n - 1]);
  expect(runs).toEqual(['v1', 'v2', 'broken', 'v2', 'v1']);
  await stopUp(up);
});
