import { Context } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createStepRunner } from '../../activities/step';
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
  let reached!: () => void;
  const there = new Promise<void>((resolve) => (reached = resolve));
  world.faults.build = async () => {
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    reached();
    await Context.current().cancelled.finally(() => clearInterval(beat));
  };
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
