import { setTimeout as sleep } from 'node:timers/promises';
import { addWindow, changeWindow } from '../db/windows';
import type { DeploymentWindow } from '../domain/windows/window';
import { scheduleOf } from '../domain/windows/status';
import { registerSchedules } from '../worker/schedules';
import { controlQueue } from '../temporal-config/names';
import { changeRequestWorkflowId, wakeWorkflowId } from '../workflows/messages';
import { cpuMsWhile } from './cpu';
import { bareQueue, startBareWorker } from './peer/bare-worker';
import { median, type Result } from './result';
import type { Servers } from './servers';
import { startSignalbox } from './signalbox';
import { each, until } from './wait';

/**
 * What waiting costs: open change requests and sleeping deployments at rest, and how long an edited window takes to
 * reach every sleeper, against as many bare workflows that are signalled and run one local activity each.
 */
export async function governance(servers: Servers, quick: boolean): Promise<Result[]> {
  const requests = quick ? 500 : 10_000;
  const sleepers = quick ? 100 : 1_000;
  const edits = quick ? 3 : 5;
  const idleMs = quick ? 10_000 : 60_000;
  const { db, temporal } = servers;
  const { workflow } = temporal.client;
  const names = Array.from({ length: 10 }, (_, n) => `governed-${n}`);
  const signalbox = await startSignalbox(servers, names);
  await registerSchedules(temporal.client);
  const looked = new Map<string, number>();
  const bare = await startBareWorker(temporal, async (name) => {
    // As much as a sleeper writes.
    await db('bare_waits')
      .where({ name })
      .update({ looked: db.raw('looked + 1') });
    looked.set(name, performance.now());
  });

  await sleep(quick ? 2_000 : 20_000);
  const empty = (await cpuMsWhile(() => sleep(idleMs))) / idleMs;

  // Sleepers: behind one window that opens in half a year.
  const window: Omit<DeploymentWindow, 'id'> = {
    name: 'bench',
    kind: 'allow',
    scope: {},
    start: local(200),
    timeZone: 'Europe/Berlin',
    durationMinutes: 60,
  };
  const by = { by: 'rosa', why: 'measuring' };
  const id = (await addWindow(db, window, by))!;
  const promotions: number[] = [];
  for (const name of names) promotions.push(...(await signalbox.approved(name, sleepers / names.length)));
  await each(promotions, 50, async (promotion) => {
    await signalbox.start(promotion, { whenOpen: true });
  });
  const asleep = async (where: object) =>
    Number(
      (await db('deployments')
        .where({ status: 'waiting-for-window', ...where })
        .count('* as n')
        .first())!.n,
    );
  await until(async () => (await asleep({})) === sleepers);

  // Open requests: each submitted through its own workflow.
  const { rows } = await db.raw(
    `WITH made AS (
       INSERT INTO promotions (target, title, revision, commit, shipped_by)
       SELECT ?, 'a change', 'v1', repeat('0', 40), 'carla' FROM generate_series(1, ?) RETURNING id)
     INSERT INTO change_requests (id, type, risk, requester) SELECT id, 'normal', 'low', 'carla' FROM made RETURNING id`,
    [names[0]!, requests],
  );
  await each(
    (rows as { id: number }[]).map((row) => row.id),
    50,
    async (request) => {
      const workflowId = changeRequestWorkflowId(request, 1, '');
      await workflow.start('changeRequest', {
        taskQueue: controlQueue,
        workflowId,
        args: [
          signalbox.keyring.sign('submit', workflowId, {
            changeRequest: request,
            submission: 1,
            by: 'carla',
          }),
        ],
      });
    },
  );
  await until(
    async () =>
      Number((await db('change_requests').where({ status: 'submitted' }).count('* as n').first())!.n) ===
      requests,
  );
  await sleep(quick ? 2_000 : 20_000);
  const full = (await cpuMsWhile(() => sleep(idleMs))) / idleMs;

  // The bare peer of the sleepers.
  const peers = Array.from({ length: sleepers }, (_, n) => `bare-waits-${n}`);
  await bareTable(servers, peers);
  await each(peers, 50, (name) =>
    workflow.start('waits', { taskQueue: bareQueue, workflowId: name, args: [name] }),
  );

  const rounds: { ours: number; peer: number }[] = [];
  for (let n = 0; n <= edits; n++) {
    const next = { ...window, start: local(201 + n) };
    const began = performance.now();
    await changeWindow(db, id, next, by, undefined);
    const { revision } = (await db('window_revision').first('revision')) as { revision: number };
    await workflow.start('wakeSleepers', { workflowId: wakeWorkflowId(revision), taskQueue: controlQueue });
    await until(async () => (await asleep({ window_revision: revision })) === sleepers);
    const ours = performance.now() - began;

    looked.clear();
    const signalled = performance.now();
    await each(peers, 50, (name) => workflow.getHandle(name).signal('look'));
    await until(() => Promise.resolve(looked.size === sleepers));
    // The first round warms up both.
    if (n > 0) rounds.push({ ours, peer: performance.now() - signalled });
  }
  await each(peers, 50, (name) => workflow.getHandle(name).terminate());
  await bare.stop();
  await signalbox.stop();

  const evaluated = evaluations();
  const percent = (cpu: number) => `${(cpu * 100).toFixed(1)} %`;
  return [
    {
      what: `CPU at rest, ${requests.toLocaleString('en')} open requests and ${sleepers.toLocaleString('en')} sleepers`,
      ours: `${percent(full)} of a core`,
      peer: `${percent(empty)}, the same servers with nothing in them`,
      value: (full - empty) * 100,
      unit: ' % more',
      goal: { most: 5 },
    },
    {
      what: `an edited window reaches ${sleepers.toLocaleString('en')} sleepers`,
      ours: `${(median(rounds.map((r) => r.ours)) / 1000).toFixed(2)} s`,
      peer: `${(median(rounds.map((r) => r.peer)) / 1000).toFixed(2)} s, bare workflows signalled`,
      value: median(rounds.map((r) => r.ours / r.peer)),
      goal: { most: 1.5 },
    },
    {
      what: 'window status among 3,000 windows, a year ahead',
      ours: `${evaluated.warm.toFixed(1)} ms; ${evaluated.cold.toFixed(0)} ms the first time`,
      peer: 'none',
      value: evaluated.warm,
      unit: ' ms',
      goal: { most: 10 },
    },
  ];
}

/** The peer's table; the application's role makes none, so its owner does. */
async function bareTable({ ownerUrl, db }: Servers, names: string[]): Promise<void> {
  const { connectOwner } = await import('../db/connect.js');
  const { applicationRole } = await import('../db/rights.js');
  const owner = connectOwner(ownerUrl);
  await owner.raw('CREATE TABLE bare_waits (name text PRIMARY KEY, looked integer NOT NULL DEFAULT 0)');
  await owner.raw(`GRANT SELECT, INSERT, UPDATE ON bare_waits TO ${applicationRole}`);
  await owner.destroy();
  await db('bare_waits').insert(names.map((name) => ({ name })));
}

const local = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 16);

/** One status in milliseconds, with nothing worked out before and again. */
function evaluations(): { cold: number; warm: number } {
  const windows: DeploymentWindow[] = Array.from({ length: 3_000 }, (_, n) => ({
    id: n + 1,
    name: `w${n}`,
    kind: n % 3 === 0 ? 'freeze' : 'allow',
    scope: {},
    start: `2026-01-0${(n % 9) + 1}T${String(n % 24).padStart(2, '0')}:00`,
    timeZone: n % 2 ? 'Europe/Berlin' : 'America/New_York',
    durationMinutes: 30 + (n % 60),
    rrule: n % 3 === 0 ? 'FREQ=DAILY' : 'FREQ=WEEKLY;BYDAY=MO,WE',
  }));
  const schedule = scheduleOf(windows, 1);
  const subject = { target: 't', environment: 'e', type: 'normal', risk: 'low' } as const;
  const time = (at: number) => {
    const began = performance.now();
    schedule.status(subject, at);
    return performance.now() - began;
  };
  const now = Date.now();
  const cold = time(now);
  return { cold, warm: median(Array.from({ length: 50 }, (_, n) => time(now + n * 3_600_000))) };
}
