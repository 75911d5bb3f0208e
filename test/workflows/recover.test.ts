import { ApplicationFailure, Context } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { hold, reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';
import { recoverWorkflowId } from '../../workflows/messages';
import { controlQueue } from '../../temporal-config/names';
import { createActivities, type Activities } from '../../activities';

/** What happens when a workflow is terminated, which skips its compensation; and the lane between attempts. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'other'] });
  await world.deploy('v1');
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

it.each([
  ['build', false, 'v1', 'rolled-back'],
  ['swap', false, 'v1', 'rolled-back'],
  ['swap', true, 'v1', 'rolled-back'],
  ['healthCheck', false, 'v2', 'succeeded'],
  ['undoSwap', false, 'v1', 'rolled-back'],
] as const)(
  'terminated in %s (effect done: %s): the target ends at %s, the record at %s',
  async (step, done, version, status) => {
    const before = world.current();
    const { there } = hold(world, step, { effectFirst: done });
    const d = await world.start(await world.approved(step === 'undoSwap' ? 'sick' : 'v2'));
    await there;
    await d.handle.terminate('by hand');
    delete world.faults[step];
    if (step === 'healthCheck') {
      // Its step began, so recovery observes the target: current and healthy is finished.
      const { id } = await d.row();
      await world
        .db('deployment_steps')
        .insert({ deployment: id, name: 'health-check', status: 'running', round: 1, attempt: 1 });
    }
    const mended = await reconcile(world);
    expect(mended.join()).toContain('ended as terminated');
    const row = await d.row();
    await world.client.workflow.getHandle(recoverWorkflowId(row.promotion, row.attempt, '')).result();
    const after = await d.row();
    expect(after).toMatchObject({ status, owner: recoverWorkflowId(row.promotion, row.attempt, '') });
    expect(after.outcome).toContain('ended as terminated');
    expect(world.version()).toBe(version);
    await world.checkEnded(after);
    expect(await reconcile(world)).toEqual([]);
    if (version !== 'v1') {
      const back = await world.start(row.promotion, 'rollback');
      await back.handle.result();
    }
    expect(world.current()).toBe(before);
  },
);

it('its rollback had failed when it was terminated: the recovery waits for an SRE, and tries nothing by itself', async () => {
  let undos = 0;
  world.faults.undoSwap = async (run) => {
    undos += 1;
    if (undos === 1) throw ApplicationFailure.nonRetryable('it can not be undone');
    return run();
  };
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  await d.handle.terminate('by hand');
  await reconcile(world);
  const { promotion, attempt } = await d.row();
  const recovery = recoverWorkflowId(promotion, attempt, '');
  const handle = world.client.workflow.getHandle(recovery);
  await world.until('the recovery to have it', async () => (await d.row()).owner === recovery);
  // Its first task is over: whatever it wanted to do by itself it has asked for.
  await world.until('it to wait', async () =>
    (await handle.fetchHistory()).events?.some((event) => event.workflowTaskCompletedEventAttributes),
  );
  expect(await d.row()).toMatchObject({
    status: 'rollback-failed',
    waiting_for: expect.stringContaining('an SRE'),
  });
  expect(undos).toBe(1);
  // Forged, it changes nothing.
  await handle.signal('resolveRollback', { action: 'accept', by: 'sven', reason: 'forged' });
  await handle.signal('resolveRollback', world.resolutionOf(recovery, 'retry'));
  await handle.result();
  expect(undos).toBe(2);
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('terminated'),
  });
  expect(world.version()).toBe('v1');
  await world.checkEnded(await d.row());
  const taken = await world
    .db('audit')
    .where({ action: 'deployment.taken-over', subject: `CP-${promotion}.${attempt}` });
  expect(taken).toHaveLength(1);
});

it('an admission that comes late, after a recovery took the attempt over, leaves its workspace alone', async () => {
  const { there } = hold(world, 'build');
  const d = await world.start(await world.approved('v2'));
  await there;
  const row = await d.row();
  const workspace = join(world.deps.stateDir, 'work', `CP-${row.promotion}.${row.attempt}`);
  mkdirSync(workspace, { recursive: true });
  await world.db('deployments').where({ id: row.id }).update({ owner: 'recover/x' });
  const late = new MockActivityEnvironment({
    workflowExecution: { workflowId: row.owner, runId: row.run_id },
  });
  const request = world.keyring.sign('start', row.owner, {
    promotion: row.promotion,
    attempt: row.attempt,
    trigger: 'deploy',
    startedBy: 'rosa',
  });
  expect(await late.run(createActivities(world.deps).admit, request, row.run_id)).toMatchObject({
    status: 'running',
  });
  expect(existsSync(workspace)).toBe(true);
  await world.db('deployments').where({ id: row.id }).update({ owner: row.owner });
  delete world.faults.build;
  await d.handle.cancel();
  await d.handle.result();
  await world.checkEnded(await d.row());
});

it('terminated while it waited: nothing was touched, and the next one gets the lane', async () => {
  const { there } = hold(world, 'build');
  const first = await world.start(await world.approved('v2'));
  await there;
  delete world.faults.build;
  const second = await world.start(await world.approved('v2'));
  await world.until('the second to wait', async () =>
    (await second.row())?.waiting_for?.includes('position 1'),
  );
  const third = await world.start(await world.approved('v3'));
  await world.until('the third to wait', async () =>
    (await third.row())?.waiting_for?.includes('position 2'),
  );
  await second.handle.terminate();
  await first.handle.cancel();
  await first.handle.result();
  // The signal went to the terminated one, which is still first in line until it is reconciled.
  await reconcile(world);
  const row = await second.row();
  await world.client.workflow.getHandle(recoverWorkflowId(row.promotion, row.attempt, '')).result();
  const cancelled = await second.row();
  expect(cancelled).toMatchObject({ status: 'cancelled' });
  // As where the task in which it recorded the end is lost, and done again.
  const again = await world.client.workflow.execute('recoverDeployment', {
    taskQueue: controlQueue,
    workflowId: recoverWorkflowId(row.promotion, row.attempt, ''),
    args: [{ deployment: row.id, key: `CP-${row.promotion}.${row.attempt}`, why: 'It was lost.' }],
  });
  expect(again).toMatchObject({ status: 'cancelled', outcome: cancelled.outcome });
  await third.handle.result();
  expect(await third.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v3');
  await world.checkEnded(await third.row());
});

it('different targets are deployed side by side', async () => {
  const { there } = hold(world, 'build');
  const held = await world.start(await world.approved('v2', 'shop'));
  await there;
  delete world.faults.build;
  const other = await world.deploy('v1', 'other');
  expect(await other.row()).toMatchObject({ status: 'succeeded' });
  expect(await held.row()).toMatchObject({ status: 'running' });
  await held.handle.cancel();
  await held.handle.result();
});

it('workers stopped in mid-build and started again: the deployment goes on to its end', async () => {
  let builds = 0;
  world.faults.build = async (run) => {
    builds += 1;
    if (builds > 1) return run();
    const { cancelled, cancellationSignal } = Context.current();
    setTimeout(() => void world.stopWorkers(), 10);
    await cancelled.catch(() => undefined);
    expect(cancellationSignal.aborted).toBe(true);
    throw new Error('the worker went away');
  };
  const d = await world.start(await world.approved('v2'));
  await world.until('the workers to stop', () => builds === 1);
  await world.stopWorkers();
  await world.startWorkers();
  await d.handle.result();
  expect(builds).toBe(2);
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v2');
});
