import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createStepRunner } from '../../activities/step';
import { hold } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** The lease on a step: of several tries only the newest records what it did. */
let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => world.stop());

it.each([
  ['a newer try has begun', { attempt: 9 }],
  ['it was closed when the rollback began', { status: 'failed' }],
  ['a recovery has taken the attempt over', undefined],
])('what a try did is not recorded once %s', async (_what, step) => {
  const { there } = hold(world, 'build');
  const d = await world.start(await world.approved('v1'));
  await there;
  const before = await d.row();
  const mock = new MockActivityEnvironment({
    workflowExecution: { workflowId: before.owner, runId: before.run_id },
  });
  const input = { deployment: before.id, key: `CP-${before.promotion}.1`, target: 'shop', round: 1 };
  const runStep = createStepRunner(world.deps);
  const late = mock.run(() =>
    runStep('backup', ['running'], input, async () => {
      if (step)
        await world.db('deployment_steps').where({ deployment: before.id, name: 'backup' }).update(step);
      else await world.db('deployments').where({ id: before.id }).update({ owner: 'recover/x' });
      return {
        value: undefined,
        detail: 'late',
        made: { kind: 'release', release: 'of a late try' },
      };
    }),
  );
  await expect(late).rejects.toThrow('has taken over');
  expect((await d.row()).to_release).toBeNull();
  await world.db('deployments').where({ id: before.id }).update({ owner: before.owner });
  await d.handle.cancel();
  await d.handle.result();
});

/** A deployment whose backup has lost two reports and holds in its third try, until it is let go. */
async function held() {
  delete world.faults.build;
  let open = false;
  const attempts: number[] = [];
  world.faults.backup = async (run) => {
    const { info, cancellationSignal } = Context.current();
    const value = await run();
    attempts.push(info.attempt);
    if (attempts.length < 3) throw new Error('its report was lost');
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    while (!open && !cancellationSignal.aborted) await sleep(20);
    clearInterval(beat);
    if (cancellationSignal.aborted) throw new Error('interrupted');
    return value;
  };
  const d = await world.start(await world.approved('v2'));
  await world.until('its third try', () => attempts.length === 3);
  return { d, attempts, go: () => (open = true) };
}

it('a step whose count of attempts an operator reset goes on', async () => {
  const { d, attempts, go } = await held();
  const [pending] = (await d.handle.describe()).raw.pendingActivities!;
  expect(pending!.attempt).toBe(3);
  const step = ['--workflow-id', d.handle.workflowId, '--activity-id', pending!.activityId!];
  await world.byHand('activity', 'reset', ...step);
  go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  // Temporal counts from the beginning again, and hands out another try once the one that runs is overdue.
  expect(attempts.slice(0, 3)).toEqual([1, 2, 3]);
  expect(attempts.at(-1)).toBeLessThan(3);
  await world.checkEnded(await d.row());
});

it('a late try with the number of its successor neither acts nor decides', async () => {
  const { d, go } = await held();
  const row = await d.row();
  const input = { deployment: row.id, key: `CP-${row.promotion}.1`, target: 'shop', round: 2 };
  const runStep = createStepRunner(world.deps);
  /** @param scheduled when Temporal asked for it. */
  const tryOf = (scheduled: number, work: Parameters<typeof runStep>[3]) =>
    new MockActivityEnvironment({
      workflowExecution: { workflowId: row.owner, runId: row.run_id },
      currentAttemptScheduledTimestampMs: scheduled,
    }).run(() => runStep('build', ['running'], input, work) as Promise<unknown>);
  const nothing = () => Promise.resolve({ value: undefined, detail: 'of the newer one' });
  // Its successor begins and ends while it still works.
  const late = tryOf(1_000, async (context) => {
    await tryOf(2_000, nothing);
    await expect(context.fence()).rejects.toThrow('taken over');
    throw ApplicationFailure.nonRetryable('the release is sick', 'Unhealthy');
  });
  await expect(late).rejects.toMatchObject({
    message: expect.stringContaining('taken over'),
    nonRetryable: false,
  });
  // It had not begun when its successor did.
  await expect(tryOf(1_000, nothing)).rejects.toMatchObject({ nonRetryable: false });
  expect(
    await world.db('deployment_steps').where({ deployment: row.id, name: 'build' }).first(),
  ).toMatchObject({
    status: 'done',
    detail: 'of the newer one',
  });
  await expect(tryOf(3_000, nothing)).resolves.toBeUndefined();
  go();
  await d.handle.cancel();
  await d.handle.result();
});
