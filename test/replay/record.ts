import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { run } from '../../cli/embedded/fetch-part';
import { controlQueue } from '../../temporal-config/names';
import { defaultChain } from '../../domain/approval';
import { findChangeRequest } from '../../db/change-requests';
import { withdraw } from '../../db/promotions';
import { leftOnHost } from '../../db/left';
import { heardOf, takenBy } from '../../db/runners';
import { addWindow, removeWindow, windowRevision } from '../../db/windows';
import { changeRequestWorkflowId, recoverWorkflowId, wakeWorkflowId } from '../../workflows/messages';
import { startRunner } from '../../worker/runner';
import { makeWorld } from '../helpers/world';

/** What tells where it was recorded, and by whom. */
const hidden: Record<string, string> = { identity: 'worker', stackTrace: '' };

/**
 * Records one history per outcome: RECORD_HISTORIES=FOLDER npm test -- replay. What is new belongs into the folder of the
 * version at work, `histories/<major.minor>/`; a release begins the next folder with a whole set. What is there is never
 * replaced: it is what runs somewhere.
 */
export async function recordHistories(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const world = await makeWorld({ targets: ['shop', 'fresh'] });
  const save = async (name: string, workflowId: string) => {
    const show = ['workflow', 'show', '--output', 'json', '--workflow-id', workflowId];
    const { stdout } = await run(process.env.TEST_TEMPORAL!, [...show, '--address', world.temporal.address], {
      maxBuffer: 64 * 1024 * 1024,
    });
    // Who ran it and where says nothing about the workflow.
    const text = JSON.stringify(JSON.parse(stdout), (key, value: unknown) => hidden[key] ?? value);
    writeFileSync(join(folder, `${name}.json`), `${text}\n`);
  };
  try {
    const first = await world.deploy('v1');
    await save('deployed', first.handle.workflowId);
    await save('rolled-back', (await world.deploy('sick')).handle.workflowId);
    await save('rolled-back-first', (await world.deploy('sick', 'fresh')).handle.workflowId);

    // By a runner on the target's host; and undone by another one when the first was lost.
    const runner = (id: string) =>
      startRunner({
        temporal: world.temporal,
        target: 'fresh',
        id,
        host: 'host',
        version: 'recorded',
        remote: {
          journal: world.deps.journal,
          hello: async ({ startedAt, acts = null, sandbox = null, ...about }) => {
            const row = { ...about, acts, sandbox, target: 'fresh', started_at: new Date(startedAt) };
            await heardOf(world.db, row);
          },
          claim: (...asked) => takenBy(world.db, ...asked),
          left: (key, owner) => leftOnHost(world.db, world.targets, { key, owner, target: 'fresh' }),
        },
        deps: world.deps,
        graceMs: 0,
      });
    world.targets.get('fresh')!.runner = { lostAfterSeconds: 2 };
    const one = await runner('one');
    await save('deployed-by-a-runner', (await world.deploy('v1', 'fresh')).handle.workflowId);
    const left = await world.start(await world.approved('hangs', 'fresh'));
    await world.until('the build to hang', async () => {
      const row = await left.row();
      return row && (await world.log(row)).some((line) => line.text === 'hanging');
    });
    await one.stop();
    const another = await runner('another');
    await left.handle.result();
    await another.stop();
    await save('runner-lost', left.handle.workflowId);

    const second = await world.deploy('v2');
    const back = await world.start(second.promotion, 'rollback');
    await back.handle.result();
    await save('rolled-back-by-hand', back.handle.workflowId);

    const refused = await world.start(second.promotion, 'retry');
    await refused.handle.result();
    await save('refused', refused.handle.workflowId);

    const running = await world.start(await world.approved('hangs'));
    await world.until('the build to hang', async () => {
      const row = await running.row();
      return row && (await world.log(row)).some((line) => line.text === 'hanging');
    });
    const waiting = await world.start(await world.approved('v3'));
    await world.until('it to wait', async () => (await waiting.row())?.waiting_for?.includes('position 1'));
    await waiting.handle.signal('cancelDeployment', world.cancelOf(waiting.handle.workflowId));
    await waiting.handle.result();
    await save('cancelled-while-waiting', waiting.handle.workflowId);

    const older = await world.start(await world.approved('v2'));
    await world.until('it to wait', async () => (await older.row())?.waiting_for?.includes('position 1'));
    const shop = world.targets.get('shop')!;
    shop.concurrency = 'supersede';
    const newer = await world.start(await world.approved('v3'));
    await older.handle.result();
    shop.concurrency = 'queue';
    await save('superseded', older.handle.workflowId);
    await newer.handle.signal('cancelDeployment', world.cancelOf(newer.handle.workflowId));
    await newer.handle.result();
    await running.handle.cancel();
    await running.handle.result();
    await save('cancelled-in-build', running.handle.workflowId);

    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
    const failed = await world.start(await world.approved('sick'));
    await world.until('the rollback to fail', async () => (await failed.row())?.status === 'rollback-failed');
    delete world.faults.undoSwap;
    await failed.handle.signal(
      'resolveRollback',
      world.resolutionOf(failed.handle.workflowId, 'retry', 'again'),
    );
    await failed.handle.result();
    await save('rollback-failed-retried', failed.handle.workflowId);

    let reached = false;
    world.faults.swap = async () => {
      const beat = setInterval(() => Context.current().heartbeat(), 50);
      reached = true;
      await Context.current().cancelled.finally(() => clearInterval(beat));
    };
    const lost = await world.start(await world.approved('v2'));
    await world.until('the swap', () => reached);
    await lost.handle.terminate();
    delete world.faults.swap;
    await world.owner('deployments').update({ created_at: new Date(0) });
    await world.client.workflow.execute('reconcile', {
      taskQueue: controlQueue,
      workflowId: 'reconcile-recorded',
    });
    const { promotion, attempt } = await lost.row();
    await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, '')).result();
    await save('recovered', recoverWorkflowId(promotion, attempt, ''));
    await save('reconciled', 'reconcile-recorded');
    await world.client.workflow.execute('pruneBackups', {
      taskQueue: controlQueue,
      workflowId: 'prune-recorded',
    });
    await save('pruned', 'prune-recorded');

    // Its rollback has failed when its workflow is lost: the recovery waits for an SRE.
    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('it can not be undone'));
    const beaten = await world.start(await world.approved('sick'));
    await world.until('the rollback to fail', async () => (await beaten.row())?.status === 'rollback-failed');
    await beaten.handle.terminate('recorded');
    delete world.faults.undoSwap;
    await world.owner('deployments').update({ created_at: new Date(0) });
    await world.client.workflow.execute('reconcile', {
      taskQueue: controlQueue,
      workflowId: 'reconcile-again',
    });
    const stuck = await beaten.row();
    const recovery = recoverWorkflowId(stuck.promotion, stuck.attempt, '');
    const recovering = world.client.workflow.getHandle(recovery);
    await world.until('the recovery to have it', async () => (await beaten.row()).owner === recovery);
    await recovering.signal('resolveRollback', world.resolutionOf(recovery, 'retry'));
    await recovering.result();
    await save('recovered-once-resolved', recovery);

    const request = await world.shipped('v3');
    const id = changeRequestWorkflowId(request, 1, '');
    const handle = await world.client.workflow.start('changeRequest', {
      workflowId: id,
      taskQueue: controlQueue,
      args: [world.keyring.sign('submit', id, { changeRequest: request, submission: 1, by: 'carla' })],
    });
    await world.until(
      'it to be submitted',
      async () => (await findChangeRequest(world.db, request))?.submission === 1,
    );
    const decision = {
      id: '6f6a2a55-5b0e-4a0e-9d5b-0d2f5d1f7c11',
      approver: 'amir',
      decision: 'reject',
      comment: 'no',
      digest: (await findChangeRequest(world.db, request))!.digest,
    };
    await handle.signal('approvalDecision', world.keyring.sign('decision', id, decision));
    await handle.result();
    await save('change-request-rejected', id);

    // Several that came while no worker was there.
    const flooded = await world.shipped('v3');
    const floodedId = changeRequestWorkflowId(flooded, 1, '');
    const crowd = await world.client.workflow.start('changeRequest', {
      workflowId: floodedId,
      taskQueue: controlQueue,
      args: [world.keyring.sign('submit', floodedId, { changeRequest: flooded, submission: 1, by: 'carla' })],
    });
    await world.until(
      'it to be submitted',
      async () => (await findChangeRequest(world.db, flooded))?.submission === 1,
    );
    await world.stopWorkers();
    const { digest } = (await findChangeRequest(world.db, flooded))!;
    const approval = { ...decision, decision: 'approve', digest, id: 'b7c1f0c4-52c0-4a63-9a53-2f6a0f3f9a02' };
    const rejection = { ...decision, digest, id: 'c9d24a0e-9d0c-4b1c-8f6e-3a7b1c2d4e03' };
    for (const said of [approval, approval, rejection])
      await crowd.signal('approvalDecision', world.keyring.sign('decision', floodedId, said));
    await crowd.signal('approvalDecision', 'nonsense');
    await world.startWorkers();
    const decided = async () => (await findChangeRequest(world.db, flooded))?.status === 'approved';
    await world.until('it to be decided', decided);
    await withdraw(world.db, flooded, 'withdrawn', { by: 'carla' });
    await crowd.signal('changeRequestMoved');
    await crowd.result();
    await save('change-request-decided-together', floodedId);

    // Windows: asleep until one was edited, held before the swap until the deadline.
    const freeze = {
      name: 'Freeze',
      kind: 'freeze' as const,
      scope: {},
      start: '2026-01-01T00:00',
      timeZone: 'UTC',
      durationMinutes: 60 * 24 * 366,
      rrule: 'FREQ=YEARLY;COUNT=1',
    };
    const by = { by: 'rosa' };
    const wake = async (name: string) => {
      const workflowId = wakeWorkflowId(await windowRevision(world.db));
      await world.client.workflow.execute('wakeSleepers', { workflowId, taskQueue: controlQueue });
      await save(name, workflowId);
    };
    const allow = {
      ...freeze,
      name: 'Allow',
      kind: 'allow' as const,
      start: '2027-01-01T00:00',
      rrule: undefined,
    };
    const window = (await addWindow(world.db, allow, by))!;
    const asleep = await world.start(await world.approved('v1'), 'deploy', { whenOpen: true });
    await world.until('it to sleep', async () => (await asleep.row())?.status === 'waiting-for-window');
    await removeWindow(world.db, window, by, undefined);
    await wake('sleepers-woken');
    await asleep.handle.result();
    await save('slept-and-woken', asleep.handle.workflowId);

    shop.windowHoldSeconds = 1;
    world.faults.backup = async (run) => {
      await run();
      await addWindow(world.db, freeze, by);
    };
    const held = await world.start(await world.approved('v2'));
    await held.handle.result();
    delete world.faults.backup;
    await save('held-and-undone', held.handle.workflowId);

    shop.approval = [{ levels: [...defaultChain] as never, remindHours: 0.0002, expireHours: 0.0005 }];
    const expiring = await world.shipped('v3');
    const expires = changeRequestWorkflowId(expiring, 1, '');
    await world.client.workflow.execute('changeRequest', {
      workflowId: expires,
      taskQueue: controlQueue,
      args: [world.keyring.sign('submit', expires, { changeRequest: expiring, submission: 1, by: 'carla' })],
    });
    await save('change-request-expired', expires);

    await world.client.workflow.execute('deliverNotification', {
      workflowId: 'notify/0/1',
      taskQueue: controlQueue,
      args: [
        {
          delivery: 0,
          round: 1,
          webhook: 'w',
          event: 'e',
          subject: 's',
          retryMs: 1,
          giveUpMs: 1000,
          timeoutMs: 1000,
        },
      ],
    });
    await save('notified', 'notify/0/1');
  } finally {
    await world.stop();
  }
}
