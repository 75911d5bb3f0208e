import { setTimeout as sleep } from 'node:timers/promises';
import { chance } from '../chance';
import type { Scenario, Scene } from '../scenario';
import type { Stack } from '../stack';

/** Many deployments, side by side and one after the other, also while servers come and go. */
const hundred = 100;

/** Everything that was started has ended well, once. */
async function allDeployed({ stack, demand }: Scene, keys: string[], withinMs: number): Promise<void> {
  const ends = await Promise.all(keys.map((key) => stack.users.ended(key, withinMs)));
  const wrong = ends.filter(({ status }) => status !== 'succeeded');
  demand(
    wrong.length === 0,
    `${wrong.length} of ${keys.length} did not succeed: ${wrong[0]?.status}, ${wrong[0]?.outcome}`,
  );
  const { rows } = await stack.withDb((db) =>
    db.raw(
      `SELECT subject FROM audit WHERE entry::jsonb -> 'after' ->> 'status' IN ('succeeded', 'rolled-back')
        GROUP BY subject HAVING count(*) > 1`,
    ),
  );
  demand(rows.length === 0, `I5: ${rows.length} ended more than once`);
}

/** Ships, approves and starts so many, a few people at a time. */
async function startMany(stack: Stack, count: number, targetOf: (n: number) => string): Promise<string[]> {
  const keys: string[] = [];
  let next = 0;
  const person = async () => {
    for (let n = next++; n < count; n = next++)
      keys.push(await stack.users.deploy(await stack.users.approved('first', targetOf(n))));
  };
  await Promise.all(Array.from({ length: 6 }, person));
  return keys;
}

/** Restarts a server again and again, at moments that the seed chooses, until it is told to stop. */
function restarting(stack: Stack, server: 'postgres' | 'temporal', every: () => number) {
  let restarts = 0;
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      for (const until = Date.now() + every(); Date.now() < until && !stopped;) await sleep(100);
      if (stopped) return;
      const [pid] = stack.pidsOf(server);
      if (pid === undefined) continue;
      process.kill(pid, restarts % 2 ? 'SIGKILL' : server === 'postgres' ? 'SIGINT' : 'SIGTERM');
      restarts += 1;
      await (server === 'postgres' ? stack.postgresAnswers() : stack.temporalAnswers());
    }
  })();
  return {
    async stop() {
      stopped = true;
      await done;
      return restarts;
    },
  };
}

export const many: Scenario[] = [
  {
    name: 'besides/a-hundred-on-a-hundred-targets',
    stack: { targets: hundred },
    async run(scene) {
      const keys = await startMany(scene.stack, hundred, (n) => `shop-${n + 1}`);
      await allDeployed(scene, keys, 600_000);
    },
  },
  {
    name: 'besides/a-hundred-on-one-target',
    async run(scene) {
      const { stack, demand } = scene;
      const keys = await startMany(stack, hundred, () => 'shop');
      await allDeployed(scene, keys, 600_000);
      // One at a time, in the order of their clicks.
      const { rows } = await stack.withDb((db) =>
        db.raw(
          `SELECT count(*)::int AS overlaps FROM deployments a JOIN deployments b ON b.target = a.target AND b.id > a.id
            WHERE b.started_at < a.finished_at`,
        ),
      );
      demand(rows[0].overlaps === 0, `${rows[0].overlaps} ran side by side or overtook on one target`);
    },
  },
  {
    name: 'besides/two-thousand-while-servers-restart',
    stack: { targets: 20 },
    alone: true,
    async run(scene) {
      const { stack, seed, demand } = scene;
      const dice = chance(seed, 'two-thousand');
      const servers = {
        postgres: restarting(stack, 'postgres', () => dice.between(5_000, 10_000)),
        temporal: restarting(stack, 'temporal', () => 20_000),
      };
      const keys = await startMany(stack, 2_000, (n) => `shop-${(n % 20) + 1}`);
      await allDeployed(scene, keys, 3_600_000);
      const restarts = { postgres: await servers.postgres.stop(), temporal: await servers.temporal.stop() };
      console.log(
        `        PostgreSQL was restarted ${restarts.postgres} times, Temporal ${restarts.temporal} times`,
      );
      demand(restarts.postgres > 10 && restarts.temporal > 4, 'the servers were hardly restarted');
    },
  },
];
