import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, type Result } from './result';
import type { Servers } from './servers';
import { startSignalbox, token } from './signalbox';

/** From the commit in PostgreSQL to the event in each of 500 connected clients, which are a process of their own. */
export async function events(servers: Servers, quick: boolean): Promise<Result[]> {
  const clients = 500;
  const commits = quick ? 10 : 100;
  const signalbox = await startSignalbox(servers, ['watched']);
  const watchers = fork(join(__dirname, 'event-clients.js'), [signalbox.api, token, String(clients)]);
  await once(watchers, 'message');
  const committed = new Map<number, number>();
  for (let n = 0; n < commits; n++) {
    // Before it is sent: the commit itself counts too.
    const sent = Number(process.hrtime.bigint()) / 1e6;
    const [row] = await servers
      .db('targets')
      .where({ name: 'watched' })
      .update({ version: servers.db.raw('version + 1') })
      .returning('version');
    committed.set((row as { version: number }).version, sent);
    await sleep(100);
  }
  await sleep(1_000);
  watchers.send('report');
  const [seen] = (await once(watchers, 'message')) as [[version: number, at: number][]];
  watchers.kill();
  await once(watchers, 'exit');
  await signalbox.stop();

  const delays = seen.map(([version, at]) => at - committed.get(version)!);
  if (delays.length !== clients * commits)
    throw new Error(`${delays.length} events arrived, not ${clients * commits}`);
  return [
    {
      what: `commit to event in ${clients} clients, p99`,
      ours: `p50 ${percentile(delays, 0.5).toFixed(0)} ms, p99 ${percentile(delays, 0.99).toFixed(0)} ms`,
      peer: `none; ${delays.length} events, none lost`,
      value: percentile(delays, 0.99),
      unit: ' ms',
      goal: { most: 100 },
    },
  ];
}
