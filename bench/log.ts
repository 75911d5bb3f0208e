import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLog } from '../activities/log';
import { appendLog } from '../db/log';
import { redactor } from '../activities/redact';
import { copyLines } from './peer/bare-copy';
import { tailAll } from './peer/bare-tail';
import { median, type Result } from './result';
import type { Servers } from './servers';
import { startSignalbox, token } from './signalbox';

/**
 * A build's output into PostgreSQL through the step's log, against one bare COPY of the same lines; out to a reader through the
 * API, part after part as the page reads it, against a bare tail; and what the workflow's history has of it.
 */
export async function log(servers: Servers, quick: boolean): Promise<Result[]> {
  const { db, folder, temporal } = servers;
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
    const bare = await copyLines(servers.ownerUrl, lines);
    // The first round warms up both.
    if (round > 0) rates.push({ ours, bare });
  }
  const signalbox = await startSignalbox(servers, ['quiet', 'loud'], {
    lines: (target) => (target === 'loud' ? count : 0),
  });
  const histories: number[] = [];
  for (const target of ['quiet', 'loud']) {
    const [promotion] = (await signalbox.approved(target, 1)) as [number];
    const { workflowId } = await signalbox.start(promotion);
    const handle = temporal.client.workflow.getHandle(workflowId);
    await handle.result();
    histories.push((await handle.describe()).historySize ?? 0);
  }
  const [{ key: loud }] = await db('deployments')
    .where({ target: 'loud' })
    .select(db.raw(`'CP-' || promotion || '.1' AS key`));
  const file = join(folder, 'bare.log');
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
  const reads: { ours: number; bare: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const ours = await readAll(`${signalbox.api}/deployments/${loud}/log`, count);
    const bare = await tailAll(file, count);
    if (round > 0) reads.push({ ours, bare });
  }
  await signalbox.stop();
  const [quiet, full] = histories as [number, number];

  const thousands = (perSecond: number) => `${Math.round(perSecond / 1000).toLocaleString('en')},000/s`;
  const rate = (side: 'ours' | 'bare', all = rates) => thousands(median(all.map((r) => r[side])));
  return [
    {
      what: 'log lines per second into PostgreSQL',
      ours: rate('ours'),
      peer: `${rate('bare')}, bare COPY`,
      value: median(rates.map(({ ours, bare }) => ours / bare)),
      goal: { least: 0.5 },
    },
    {
      what: 'log lines per second out to a reader',
      ours: rate('ours', reads),
      peer: `${rate('bare', reads)}, bare tail over HTTP`,
      // What matters is that a reader keeps up with what comes in.
      value: median(reads.map(({ ours }) => ours)) / median(rates.map(({ ours }) => ours)),
      unit: ' of what comes in',
      goal: { least: 1 },
    },
    {
      what: `bytes of workflow history, a build of ${count.toLocaleString('en')} lines`,
      ours: full.toLocaleString('en'),
      peer: `${quiet.toLocaleString('en')}, a build without output`,
      value: full / quiet,
      goal: { most: 1.05 },
    },
  ];
}

/** @returns lines per second. */
async function readAll(address: string, count: number): Promise<number> {
  const started = performance.now();
  for (let after = 0; after < count;) {
    const answer = await fetch(`${address}?limit=5000&after=${after}`, {
      headers: { authorization: `Bearer ${token}` },
    });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    after = ((await answer.json()) as { items: { seq: number }[] }).items.at(-1)!.seq;
  }
  return (count * 1000) / (performance.now() - started);
}
