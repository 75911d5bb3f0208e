import { MockActivityEnvironment } from '@temporalio/testing';
import { createReconcileActivities } from '../../activities/reconcile';
import { addWindow, removeWindow } from '../../db/windows';
import { makeWorld, type World } from '../helpers/world';

/** Targets that must not run beside each other: whatever is started, and however, waits for the other, and goes on. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'api'] });
  world.targets = new Map(
    [...world.targets].map(([name, target]) => [
      name,
      name === 'api' ? { ...target, dependsOn: ['shop'] } : target,
    ]),
  );
  await world.deploy('v1', 'api');
});
afterAll(() => world.stop());

/** Something that runs on shop until it is let go. */
async function shopHeld() {
  const go = world.holdNextBackup();
  const held = await world.start(await world.approved('v1', 'shop'));
  const { promotion } = await world.until('it to run', async () => {
    const row = await held.row();
    return row?.status === 'running' ? row : undefined;
  });
  return { key: `CP-${promotion}.1`, row: held.row, end: async () => (go(), held.handle.result()) };
}
const waits = (started: Awaited<ReturnType<World['start']>>, key: string) =>
  world.until('it to wait for the other target', async () => {
    const row = await started.row();
    return (
      row?.waiting_for ===
        `the lane of api: position 1, behind ${key} on shop, which must not run beside api` &&
      row.status === 'queued'
    );
  });

it.each(['deploy', 'rollback'] as const)(
  'a %s waits, says for what, and goes on when the other one ends',
  async (trigger) => {
    const live = trigger === 'rollback' ? (await world.deploy('v2', 'api')).promotion : undefined;
    const held = await shopHeld();
    const started = await world.start(live ?? (await world.approved('v2', 'api')), trigger);
    await waits(started, held.key);
    await held.end();
    await started.handle.result();
    const row = await started.row();
    expect(row.status).toBe('succeeded');
    expect(row.started_at!.getTime()).toBeGreaterThanOrEqual((await held.row()).finished_at!.getTime());
  },
);

it('one that slept waits when it wakes beside the other', async () => {
  const now = new Date(Date.now() - 3_600_000).toISOString().slice(0, 16);
  const freeze = {
    name: 'freeze',
    kind: 'freeze',
    scope: { target: 'api' },
    start: now,
    timeZone: 'UTC',
    durationMinutes: 600,
  } as const;
  const move = { by: 'rosa' };
  const id = await world.db.transaction((tx) => addWindow(tx, freeze, move));
  const started = await world.start(await world.approved('v3', 'api'), 'deploy', { whenOpen: true });
  await world.until('it to sleep', async () => (await started.row())?.status === 'waiting-for-window');
  const held = await shopHeld();
  await world.db.transaction((tx) => removeWindow(tx, id!, move, undefined));
  await started.handle.signal('windowChanged');
  await waits(started, held.key);
  await held.end();
  await started.handle.result();
  expect((await started.row()).status).toBe('succeeded');
});

it('a signal that was lost is said again by reconcile', async () => {
  const held = await shopHeld();
  const started = await world.start(await world.approved('v1', 'api'));
  await waits(started, held.key);
  // Nobody hears that the lane is free: what it waits for ends behind its back.
  await world
    .owner('deployments')
    .where({ id: (await held.row()).id })
    .update({ target: 'shop', status: 'rolled-back', finished_at: new Date() });
  await new MockActivityEnvironment({ workflowExecution: { workflowId: 'reconcile', runId: 'x' } }).run(() =>
    createReconcileActivities(world.deps).mend(),
  );
  await world.until('it to go on', async () => (await started.row())?.status !== 'queued');
  await started.handle.result();
  expect((await started.row()).status).toBe('succeeded');
  await held.end().catch(() => undefined);
});
