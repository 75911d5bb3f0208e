import { ApplicationFailure, Context } from '@temporalio/activity';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { createActivities, type Activities } from '../../activities';
import { findChangeRequest } from '../../db/change-requests';
import { sayDecision } from '../../db/words';
import { workflowNow } from '../../activities/lost';
import { changeRequestWorkflowId, recoverWorkflowId } from '../../workflows/messages';
import { controlQueue } from '../../temporal-config/names';
import { completionsOf } from '../helpers/history';
import { reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** What an operator does to a workflow in Temporal is no loss of it: pause, reset; and a loss in a chain of runs is one. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop'] });
  await world.deploy('v1');
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

/** Whatever a test holds ends with it, however that ends: a worker waits for its activities, also of runs that are gone. */
const endings: (() => void)[] = [];
afterEach(() => endings.splice(0).forEach((letGo) => letGo()));

/** Holds an activity until it is let go or cancelled; each of its tries is told of. */
function hold(name: keyof Activities) {
  let go = false;
  endings.push(() => (go = true));
  const tries: { attempt: number; run: string }[] = [];
  world.faults[name] = async (run) => {
    const { info, cancellationSignal } = Context.current();
    tries.push({ attempt: info.attempt, run: info.workflowExecution!.runId });
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    while (!go && !cancellationSignal.aborted) await sleep(20);
    clearInterval(beat);
    if (cancellationSignal.aborted) throw new Error('interrupted');
    return run();
  };
  return { tries, go: () => (go = true), there: () => world.until('it to be held', () => tries.length > 0) };
}
/** One pass, with rows old enough to be looked at. @returns what it did about attempts. */
async function reconcileAttempts(): Promise<string[]> {
  return (await reconcile(world)).filter((line) => line.startsWith('CP-'));
}

it('a paused workflow is not lost; its attempt says who paused it and how it goes on', async () => {
  const held = hold('build');
  const d = await world.start(await world.approved('v2'));
  await held.there();
  const { workflowId } = d.handle;
  await world.byHand('workflow', 'pause', '--workflow-id', workflowId, '--reason', 'let me look');
  expect(await reconcileAttempts()).toEqual([]);
  const row = await d.row();
  expect(row).toMatchObject({ status: 'running', owner: workflowId });
  expect(row.paused).toMatch(/paused in Temporal by .*let me look.*temporal workflow unpause --workflow-id/);
  await world.byHand('workflow', 'unpause', '--workflow-id', workflowId);
  expect(await reconcileAttempts()).toEqual([]);
  expect((await d.row()).paused).toBeNull();
  held.go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
});

it('a paused workflow, or one that no worker takes up, is not signalled in every pass', async () => {
  const id = await world.shipped('v2');
  const workflowId = changeRequestWorkflowId(id, 1, '');
  const handle = await world.client.workflow.start('changeRequest', {
    workflowId,
    taskQueue: controlQueue,
    args: [world.keyring.sign('submit', workflowId, { changeRequest: id, submission: 1, by: 'carla' })],
  });
  const request = () => findChangeRequest(world.db, id);
  await world.until('it to be submitted', async () => (await request())?.status === 'submitted');
  await world.byHand('workflow', 'pause', '--workflow-id', workflowId, '--reason', 'let me look');
  // Its signal was lost.
  const said = { id: randomUUID(), approver: 'amir', decision: 'approve' as const };
  await sayDecision(world.db, { id, submission: 1 }, said);
  await world.owner('words').update({ created_at: world.db.raw(`now() - interval '1 minute'`) });
  const signals = async () =>
    (await handle.fetchHistory()).events!.filter((event) => event.workflowExecutionSignaledEventAttributes)
      .length;
  for (let pass = 0; pass < 2; pass++) await reconcileAttempts();
  expect(await signals()).toBe(0);
  await world.byHand('workflow', 'unpause', '--workflow-id', workflowId);
  await world.until('it to go on', async () => {
    const { status, raw } = await handle.describe();
    return status.name === 'RUNNING' && !raw.pendingWorkflowTask && !raw.pendingActivities?.length;
  });

  await world.stopWorkers();
  const { mend } = createActivities(world.deps);
  const alone = () =>
    new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: Date.now() }).run(mend);
  await alone();
  await sleep(7_000);
  await alone();
  expect(await signals()).toBe(1);
  await world.startWorkers();
  await world.until('it to be decided', async () => (await request())?.status === 'approved');
});

it('a workflow whose task fails again and again says so, and goes on with a worker that can', async () => {
  const held = hold('build');
  const d = await world.start(await world.approved('v2'));
  await held.there();
  await world.stopWorkers();
  // As after a downgrade: what its history has would not be asked for.
  const code = readFileSync(process.env.TEST_WORKFLOWS!, 'utf8').replaceAll('.build(', '.buildOtherwise(');
  const unable = await Worker.create({
    connection: world.temporal.connection,
    namespace: world.temporal.namespace,
    taskQueue: controlQueue,
    workflowBundle: { code },
    dataConverter: { payloadConverterPath: require.resolve('../../workflows/payload-converter.ts') },
  });
  const ended = unable.run();
  const stop = async () => {
    if (unable.getState() === 'RUNNING') unable.shutdown();
    await ended;
  };
  endings.push(() => void stop());
  await d.handle.signal('windowChanged');
  await world.owner('deployments').update({ created_at: new Date(Date.now() - 60_000) });
  const { mend } = createActivities(world.deps);
  const row = await world.until('it to be told of', async () => {
    await new MockActivityEnvironment().run(mend);
    const now = await d.row();
    return now.paused ? now : undefined;
  });
  expect(row).toMatchObject({ status: 'running', owner: d.handle.workflowId });
  expect(row.paused).toMatch(/its workflow task fails again and again.*worker of the newest version/);
  await stop();
  await world.startWorkers();
  await world.until('it to go on', async () => {
    await reconcileAttempts();
    return (await d.row()).paused === null;
  });
  held.go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
});

it('what an older version began older and newer workers share', async () => {
  const newer = process.env.TEST_WORKFLOWS!;
  const older = join(world.folder, 'older.js');
  const code = readFileSync(newer, 'utf8');
  writeFileSync(older, code.replace(/\(0, ?[\w.]+\)\(['"]acts-outside-of-tasks['"]\)/, 'false'));
  expect(readFileSync(older, 'utf8')).not.toBe(code);
  const takenBy = async (workflows: string) => {
    await world.stopWorkers();
    process.env.TEST_WORKFLOWS = workflows;
    await world.startWorkers();
    process.env.TEST_WORKFLOWS = newer;
  };
  await takenBy(older);
  const held = hold('build');
  const first = await world.start(await world.approved('v2'));
  await held.there();
  const d = await world.start(await world.approved('v3'));
  await world.until('it to wait', async () => (await d.row())?.waiting_for?.includes('position 1'));

  await takenBy(newer);
  let asked = 0;
  world.faults.acquireLane = (run) => run().finally(() => (asked += 1));
  await d.handle.signal('windowChanged');
  await world.until('the newer one to ask for its lane', () => asked > 0);
  await takenBy(older);
  await d.handle.signal('cancelDeployment', world.cancelOf(d.handle.workflowId));
  const ended = await world.until('it to end, or to stand still', async () => {
    const { events } = await d.handle.fetchHistory();
    if (events!.some((event) => event.workflowTaskFailedEventAttributes)) return 'stands still';
    return (await d.handle.describe()).status.name === 'COMPLETED' && (await d.row()).status;
  });
  await takenBy(newer);
  expect(ended).toBe('cancelled');
  held.go();
  await first.handle.result();
  expect(await first.row()).toMatchObject({ status: 'succeeded' });
});

it('a paused step is told of as well', async () => {
  const held = hold('build');
  const d = await world.start(await world.approved('v2'));
  await held.there();
  const { pendingActivities } = (await d.handle.describe()).raw;
  const step = ['--workflow-id', d.handle.workflowId, '--activity-id', pendingActivities![0]!.activityId!];
  await world.byHand('activity', 'pause', ...step, '--identity', 'olga', '--reason', 'wait');
  expect(await reconcileAttempts()).toEqual([]);
  expect((await d.row()).paused).toMatch(/build is paused in Temporal by olga \(wait\).*activity unpause/);
  await world.byHand('activity', 'unpause', ...step);
  held.go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
});

it('a run that continued and was terminated before it was admitted is found lost; the next one gets the lane', async () => {
  const held = hold('build');
  const first = await world.start(await world.approved('v3'));
  await held.there();
  const second = await world.start(await world.approved('v2'));
  await world.until('it to wait', async () => (await second.row())?.waiting_for?.includes('position 1'));
  const { run_id: known } = await second.row();
  let admitting = false;
  let over = false;
  endings.push(() => (over = true));
  world.faults.admit = async () => {
    admitting = true;
    while (!over) await sleep(20);
    throw new Error('its workflow was terminated');
  };
  const latest = () => world.client.workflow.getHandle(second.handle.workflowId).describe();
  // As often as it takes: each makes the history longer. Few at once: Temporal fails a task beside which a hundred came.
  await world.until('another run', async () => {
    for (let n = 0; n < 20; n++) await second.handle.signal('laneFree');
    return (await latest()).runId !== known;
  });
  await world.until('its admission', () => admitting);
  await world.client.workflow.getHandle(second.handle.workflowId).terminate('by hand');
  delete world.faults.admit;
  over = true;
  expect((await reconcileAttempts()).join()).toContain('ended as terminated');
  const row = await second.row();
  await world.client.workflow.getHandle(recoverWorkflowId(row.promotion, row.attempt, '')).result();
  expect(await second.row()).toMatchObject({ status: 'cancelled' });
  held.go();
  await first.handle.result();
  await world.deploy('v1');
  expect(world.version()).toBe('v1');
});

it('a reset of a running attempt goes on in its new run, and is not recovered beside it', async () => {
  const held = hold('build');
  const d = await world.start(await world.approved('v2'));
  await held.there();
  const { run_id: before } = await d.row();
  const { workflowId } = d.handle;
  await world.byHand(
    'workflow',
    'reset',
    '--workflow-id',
    workflowId,
    '--type',
    'LastWorkflowTask',
    '--reason',
    'x',
  );
  await world.until('a try of the new run', () => held.tries.some(({ run }) => run !== before));
  expect(await reconcileAttempts()).toEqual([]);
  const now = await workflowNow(world.client, workflowId, before);
  expect(now.lost).toBeUndefined();
  expect(await d.row()).toMatchObject({ status: 'running', owner: workflowId, run_id: now.runId });
  expect(now.runId).not.toBe(before);
  held.go();
  await world.client.workflow.getHandle(workflowId).result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  await world.checkEnded(await d.row());
});

it('a run that a reset left to an attempt that had ended is ended, with the reason', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  const { workflowId } = d.handle;
  // Its history has that the failure was recorded: from there it waits for an answer.
  const waiting = await world.until('it to wait', async () => {
    const { events } = await d.handle.fetchHistory();
    return completionsOf(events!, 'rollbackFailed')[0];
  });
  delete world.faults.undoSwap;
  await d.handle.signal('resolveRollback', world.resolutionOf(workflowId, 'retry'));
  await d.handle.result();
  const before = await d.row();
  expect(before.status).toBe('rolled-back');
  // To where it waited for an answer, and the answer is not applied again.
  const { events } = await d.handle.fetchHistory();
  const task = events!.find(
    ({ eventId, workflowTaskCompletedEventAttributes }) =>
      Number(eventId) > Number(waiting.eventId) && workflowTaskCompletedEventAttributes,
  )!;
  await world.byHand(
    'workflow',
    'reset',
    '--workflow-id',
    workflowId,
    '--event-id',
    String(task.eventId),
    '--reapply-exclude',
    'All',
    '--reason',
    'x',
  );
  const handle = world.client.workflow.getHandle(workflowId);
  await sleep(6_000);
  expect((await handle.describe()).status.name).toBe('RUNNING');
  const lines = await world.until('it to be ended', async () => {
    const done = await reconcileAttempts();
    return done.length > 0 && done;
  });
  expect(lines.join()).toContain('was ended, because the attempt had ended as rolled-back');
  const left = await handle.describe();
  expect(left.status.name).toBe('TERMINATED');
  const last = (await handle.fetchHistory()).events!.at(-1)!;
  expect(last.workflowExecutionTerminatedEventAttributes!.reason).toMatch(/ended as rolled-back.*by a reset/);
  expect(await d.row()).toMatchObject({ status: 'rolled-back', version: before.version, owner: workflowId });
  expect(await world.db('audit').where({ action: 'deployment.run-ended' })).toHaveLength(1);
  // And nobody recovers what had ended.
  expect(await reconcileAttempts()).toEqual([]);
  await world.deploy('v1');
  expect(world.version()).toBe('v1');
});

it('all that runs is listed once in half an hour, and what began lately in each pass', async () => {
  const asked: string[] = [];
  const workflow = new Proxy(world.client.workflow, {
    get(real, name) {
      if (name === 'list')
        return (options: { query: string }) => (asked.push(options.query), real.list(options));
      const value = Reflect.get(real, name) as unknown;
      return typeof value === 'function' ? (value as () => unknown).bind(real) : value;
    },
  });
  const { mend } = createActivities({ ...world.deps, temporal: { workflow } as typeof world.client });
  const halfAnHour = 1_800_000;
  const from = Math.floor(Date.now() / halfAnHour) * halfAnHour;
  const unbounded: number[] = [];
  for (let pass = 0; pass < 3; pass++) {
    asked.length = 0;
    await new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: from + pass * 30_000 }).run(mend);
    unbounded.push(asked.filter((query) => !/(Start|Close)Time >/.test(query)).length);
  }
  expect(unbounded).toEqual([1, 0, 0]);
});

it('a run that has just recorded the end itself is left to tidy up', async () => {
  let tidy = false;
  world.faults.recordEnd = async (run) => {
    const outcome = await run();
    while (!tidy) await sleep(20);
    return outcome;
  };
  const d = await world.start(await world.approved('v2'));
  await world.until('its end', async () => (await d.row())?.status === 'succeeded');
  await sleep(6_000);
  const done = await reconcileAttempts();
  tidy = true;
  expect(done).toEqual([]);
  await d.handle.result();
  expect((await d.handle.describe()).status.name).toBe('COMPLETED');
});
