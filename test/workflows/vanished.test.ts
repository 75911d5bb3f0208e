import { WorkflowNotFoundError } from '@temporalio/client';
import type { Activities } from '../../activities';
import { addWindow, removeWindow } from '../../db/windows';
import { recoverWorkflowId } from '../../workflows/messages';
import { hold, reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/**
 * Temporal has lost its data, or a part of it. Nobody ended what waited, so that it goes on waiting, under the same attempt,
 * and is deployed when its time comes. What ran is undone, because nobody knows where in a step it was.
 */
let world: World;
const by = { by: 'rosa' };
beforeAll(async () => {
  world = await makeWorld();
  await world.deploy('v1');
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});
const windows: number[] = [];
afterEach(async () => {
  for (const id of windows.splice(0)) await removeWindow(world.db, id, by, undefined);
});
type Started = Awaited<ReturnType<World['start']>>;

/** One pass of reconciling, with rows old enough to be looked at. */
async function vanish(workflowId: string): Promise<void> {
  const { namespace } = world.client.options;
  await world.client.workflowService.deleteWorkflowExecution({
    namespace,
    workflowExecution: { workflowId },
  });
  await world.until('Temporal to have lost it', () =>
    world.client.workflow
      .getHandle(workflowId)
      .describe()
      .then(
        () => false,
        (thrown: unknown) => thrown instanceof WorkflowNotFoundError,
      ),
  );
}
const recoveryOf = async ({ row }: Started) => {
  const { promotion, attempt } = await row();
  return world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, ''));
};
/** Stops builds until they are let go. */
/** A window that is closed to deployments for the next hours. */
const closeForHours = async () => {
  const id = (await addWindow(
    world.db,
    {
      name: 'later',
      kind: 'allow',
      scope: {},
      timeZone: 'UTC',
      start: new Date(Date.now() + 3_600_000 * 5).toISOString().slice(0, 16),
      durationMinutes: 30,
    },
    by,
  ))!;
  windows.push(id);
};
async function asleep(): Promise<Started> {
  const d = await world.start(await world.approved('v2'), 'deploy', { whenOpen: true });
  await world.until('it to sleep', async () => (await d.row())?.status === 'waiting-for-window');
  return d;
}
const movedOver = async (d: Started) => {
  const recovery = await recoveryOf(d);
  await world.until('its recovery to have it', async () => (await d.row()).owner === recovery.workflowId);
  return recovery;
};

it('a sleeper goes on sleeping, and is deployed when its window opens', async () => {
  await closeForHours();
  const d = await asleep();
  await vanish(d.handle.workflowId);
  expect((await reconcile(world)).join()).toContain('has vanished from Temporal');
  const recovery = await movedOver(d);
  await world.until('it to sleep again', async () => {
    const progress = await recovery.query<{ status: string }>('progress');
    return progress.status === 'waiting-for-window';
  });
  expect(await d.row()).toMatchObject({ status: 'waiting-for-window', outcome: null });
  expect((await reconcile(world)).join()).not.toContain('Recovery was started');
  for (const id of windows.splice(0)) await removeWindow(world.db, id, by, undefined);
  await reconcile(world);
  await recovery.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v2');
  await world.checkEnded(await d.row());
});

it('a sleeper that vanished, and its recovery after it, can still be cancelled: it never began', async () => {
  await closeForHours();
  const before = world.current();
  const d = await asleep();
  await vanish(d.handle.workflowId);
  await reconcile(world);
  const first = await movedOver(d);
  await world.until('it to sleep again', async () => {
    const progress = await first.query<{ status: string }>('progress');
    return progress.status === 'waiting-for-window';
  });
  await vanish(first.workflowId);
  await reconcile(world);
  const second = await recoveryOf(d);
  await world.until('it to sleep once more', async () => {
    const progress = await second.query<{ status: string }>('progress').catch(() => undefined);
    return progress?.status === 'waiting-for-window';
  });
  await second.cancel();
  await second.result();
  expect(await d.row()).toMatchObject({
    status: 'cancelled',
    outcome: expect.stringContaining('It had not begun; nothing was touched.'),
  });
  expect(world.current()).toBe(before);
  await world.checkEnded(await d.row());
});

it('who waited in the queue keeps his place; what ran is undone, and says why', async () => {
  const held = hold(world, 'build');
  const running = await world.start(await world.approved('v1'));
  await held.there;
  const waiting = await world.start(await world.approved('v3'));
  await world.until('it to wait', async () => (await waiting.row())?.waiting_for?.includes('position 1'));
  await vanish(waiting.handle.workflowId);
  await reconcile(world);
  const recovery = await movedOver(waiting);
  expect(await waiting.row()).toMatchObject({ status: 'queued' });

  await vanish(running.handle.workflowId);
  held.go();
  await reconcile(world);
  await (await recoveryOf(running)).result();
  expect(await running.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(/has vanished from Temporal.*Nothing was touched/),
  });
  await recovery.result();
  expect(await waiting.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v3');
  await world.checkEnded(await waiting.row());
});

it('what somebody terminated while it waited does not come back', async () => {
  await closeForHours();
  const d = await asleep();
  await d.handle.terminate('not tonight');
  await reconcile(world);
  await (await recoveryOf(d)).result();
  expect(await d.row()).toMatchObject({ status: 'cancelled' });
});
