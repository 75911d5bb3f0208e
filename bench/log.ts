import { openLog } from '../activities/log';
import { appendLog } from '../db/log';
import { redactor } from '../activities/redact';
import { copyLines } from './peer/bare-copy';
import { median, type Result } from './result';
import type { Servers } from './servers';

/** A build's output into PostgreSQL through the step's log, against one bare COPY of the same lines. */
export async function log({ db, databaseUrl }: Servers, quick: boolean): Promise<Result[]> {
  const count = quick ? 100_000 : 200_000;
  const rounds = quick ? 1 : 5;
  const lines = Array.from({ length: count }, (_, n) =>
    `line ${n}: compiling src/catalogue/page-${n}.ts`.padEnd(100, '.'),
  );
  await db.raw(
    `INSERT INTO targets (name) VALUES ('logs');
     INSERT INTO promotions (target, title, revision, commit, shipped_by, status)
     VALUES ('logs', 'a change', 'v1', repeat('0', 40), 'carla', 'approved');`,
  );
  const [{ id: promotion }] = await db('promotions').where({ target: 'logs' });
  const rates: { ours: number; bare: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [{ id }] = (await db('deployments')
      .insert({
        promotion,
        attempt: round + 1,
        target: 'logs',
        trigger: 'deploy',
        status: 'cancelled',
        started_by: 'rosa',
        owner: 'bench',
        run_id: 'bench',
      })
      .returning('id')) as [{ id: number }];
    const started = performance.now();
    const written = openLog(
      (lines) => appendLog(db, id, 'build', lines),
      redactor({ API_KEY: 'a-secret-value' }),
      new AbortController().signal,
    );
    for (const line of lines) {
      written.write('out', line);
      await written.ready();
    }
    await written.close();
    const ours = (count * 1000) / (performance.now() - started);
    const { log_seq: stored } = await db('deployments').where({ id }).first('log_seq');
    if (stored !== count) throw new Error(`${stored} lines were stored, not ${count}`);
    const bare = await copyLines(databaseUrl, lines);
    // The first round warms up both.
    if (round > 0) rates.push({ ours, bare });
  }
  const rate = (side: 'ours' | 'bare') => `${Math.round(median(rates.map((r) => r[side])) / 1000)},000/s`;
  return [
    {
      what: 'log lines per second into PostgreSQL',
      ours: rate('ours'),
      peer: `${rate('bare')}, bare COPY`,
      value: median(rates.map(({ ours, bare }) => ours / bare)),
      goal: { least: 0.5 },
    },
  ];
}
