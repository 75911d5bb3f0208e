import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { workflowBundle } from '../cli/settings';
import { connectOwner } from '../db/connect';
import { addWindow } from '../db/windows';
import { cpuMsWhile } from './cpu';
import { median, type Result } from './result';
import type { Servers } from './servers';
import { startSignalbox } from './signalbox';
import { each, until } from './wait';
import type { Place } from './worker-process';

/** What a deployment costs while there is more and more of everything; workers are processes of their own. */
export async function growth(servers: Servers, quick: boolean): Promise<Result[]> {
  const lanes = Array.from({ length: 20 }, (_, n) => `grown-${n}`);
  const closed = Array.from({ length: 10 }, (_, n) => `closed-${n}`);
  const perLane = quick ? 1 : 3;
  const rounds = quick ? 2 : 5;
  const many = quick ? 1_000 : 10_000;
  const sleepers = quick ? 100 : 1_000;
  const names = [...lanes, ...closed];
  const { db, folder, databaseUrl, temporalEnv } = servers;
  const signalbox = await startSignalbox(servers, names, { workers: 'elsewhere' });
  const workers: ChildProcess[] = [];
  const place: Place = { folder, databaseUrl, temporalEnv, names };
  const addWorker = async () => {
    const execArgv = ['--expose-gc'];
    const worker = fork(join(__dirname, 'worker-process.js'), [JSON.stringify(place)], { execArgv });
    workers.push(worker);
    await once(worker, 'message');
    return worker;
  };
  const memoryOf = async (worker: ChildProcess) => {
    worker.send('memory');
    const [bytes] = (await once(worker, 'message')) as [number];
    return bytes / 1_048_576;
  };

  interface Cost {
    perSecond: number;
    /** Processor time of everything, per deployment. */
    cpuMs: number;
  }
  /** Deployments one after the other in each lane; the median of the rounds, after one per worker to warm it up. */
  const measure = async (): Promise<Cost> => {
    const costs: Cost[] = [];
    for (let round = 1 - workers.length; round <= rounds; round++) {
      const approved = await Promise.all(lanes.map((lane) => signalbox.approved(lane, perLane)));
      const count = lanes.length * perLane;
      const began = performance.now();
      const cpuMs = await cpuMsWhile(() =>
        Promise.all(
          approved.map(async (promotions) => {
            for (const promotion of promotions) {
              const { status } = (await (await signalbox.start(promotion)).result()) as { status: string };
              if (status !== 'succeeded') throw new Error(`CP-${promotion}.1 ended as ${status}`);
            }
          }),
        ),
      );
      if (round > 0)
        costs.push({ perSecond: (count * 1000) / (performance.now() - began), cpuMs: cpuMs / count });
    }
    return {
      perSecond: median(costs.map((cost) => cost.perSecond)),
      cpuMs: median(costs.map((cost) => cost.cpuMs)),
    };
  };
  const shown = ({ perSecond, cpuMs }: Cost) =>
    `${perSecond.toFixed(1)}/s, ${cpuMs.toFixed(0)} ms of CPU each`;

  const first = await addWorker();
  const atRest = await memoryOf(first);
  const few = await measure();

  await record(servers, lanes, many);
  const grown = await measure();

  // Each closed target is behind a window that opens in half a year.
  const by = { by: 'rosa', why: 'measuring' };
  for (const target of closed)
    await addWindow(
      db,
      {
        name: `closed ${target}`,
        kind: 'allow',
        scope: { target },
        start: new Date(Date.now() + 200 * 86_400_000).toISOString().slice(0, 16),
        timeZone: 'Europe/Berlin',
        durationMinutes: 60,
      },
      by,
    );
  const asleep = async () =>
    Number(
      (await db('deployments')
        .where({ status: 'waiting-for-window' })
        .whereIn('target', closed)
        .count('* as n')
        .first())!.n,
    );
  const fallAsleep = async (count: number) => {
    const promotions = (
      await Promise.all(closed.map((target) => signalbox.approved(target, Math.ceil(count / closed.length))))
    )
      .flat()
      .slice(0, count);
    const before = await asleep();
    await each(promotions, 20, (promotion) => signalbox.start(promotion, { whenOpen: true }));
    await until(async () => (await asleep()) >= before + count);
  };
  await fallAsleep(1);
  const one = await measure();
  const before = await memoryOf(first);
  await fallAsleep(sleepers - 1);
  const after = await memoryOf(first);
  const waiting = await measure();

  for (let n = 1; n < 4; n++) await addWorker();
  const four = await measure();
  for (const worker of workers) {
    worker.send('stop');
    await once(worker, 'exit');
  }
  await signalbox.stop();

  const flat = (what: string, ours: Cost, peer: Cost, than: string): Result => ({
    what: `cost of a deployment, ${what}`,
    ours: shown(ours),
    peer: `${shown(peer)}, ${than}`,
    value: ours.cpuMs / peer.cpuMs,
    goal: { most: 1.1 },
  });
  const number = (n: number) => n.toLocaleString('en');
  return [
    flat(`${number(many)} promotions on record`, grown, few, '10'),
    flat(`${number(sleepers)} that wait`, waiting, one, 'one'),
    flat('four workers', four, waiting, 'one'),
    {
      what: 'memory of a worker per deployment that waits',
      ours: `${before.toFixed(0)} MiB with one, ${after.toFixed(0)} MiB with ${number(sleepers)}`,
      peer: 'none',
      value: ((after - before) * 1024) / (sleepers - 1),
      unit: ' KiB',
    },
    {
      what: 'a worker at rest',
      ours: `workflows' bundle ${(statSync(workflowBundle).size / 1_048_576).toFixed(1)} MiB`,
      peer: 'none',
      value: atRest,
      unit: ' MiB',
    },
  ];
}

/** Promotions that were deployed, with their attempts, steps and 20 lines of log each, written at once. */
async function record({ ownerUrl }: Servers, targets: string[], count: number): Promise<void> {
  const owner = connectOwner(ownerUrl);
  await owner
    .raw(
      `WITH made AS (
       INSERT INTO promotions (target, title, revision, commit, shipped_by, status)
       SELECT (?::text[])[1 + n % ?], 'a change', 'v1', repeat('0', 40), 'carla', 'deployed' FROM generate_series(1, ?) AS n
       RETURNING id, target),
     requested AS (
       INSERT INTO change_requests (id, type, risk, description, requester, status, submission)
       SELECT id, 'normal', 'low', '', 'carla', 'completed', 1 FROM made),
     attempts AS (
       INSERT INTO deployments (promotion, attempt, target, trigger, status, started_by, owner, run_id, log_seq, finished_at)
       SELECT id, 1, target, 'deploy', 'succeeded', 'rosa', 'deploy/CP-' || id || '/1', 'bench', 20, now() FROM made
       RETURNING id),
     steps AS (
       INSERT INTO deployment_steps (deployment, name, status, round, attempt)
       SELECT id, name, 'done', 1, 1 FROM attempts, unnest(ARRAY['build', 'backup', 'swap', 'health-check']) AS name)
     SELECT id FROM attempts`,
      [targets, targets.length, count],
    )
    .then(({ rows }: { rows: { id: number }[] }) =>
      owner.raw(
        `INSERT INTO deployment_log (deployment, seq, at, step, stream, text)
       SELECT id, n, now(), 'build', 'out', 'a line' FROM unnest(?::integer[]) AS id, generate_series(1, 20) AS n`,
        [rows.map(({ id }) => id)],
      ),
    );
  await owner.raw('ANALYZE');
  await owner.destroy();
}
