import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApplicationFailure, Context } from '@temporalio/activity';
import { run } from '../../cli/embedded/fetch-part';
import { controlQueue } from '../../temporal-config/names';
import { changeRequestWorkflowId, recoverWorkflowId } from '../../workflows/messages';
import { makeWorld } from '../helpers/world';

/** What tells where it was recorded, and by whom. */
const hidden: Record<string, string> = { identity: 'worker', stackTrace: '' };

/**
 * Records one history per outcome into `histories/`: RECORD_HISTORIES=1 npm test -- replay. Needed when a change
 * of a workflow is meant to be incompatible; otherwise the old ones have to go on replaying.
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
    await world.db('deployments').update({ created_at: new Date(0) });
    await world.client.workflow.execute('reconcile', {
      taskQueue: controlQueue,
      workflowId: 'reconcile-recorded',
    });
    const { promotion, attempt } = await lost.row();
    await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt)).result();
    await save('recovered', recoverWorkflowId(promotion, attempt));
    await save('reconciled', 'reconcile-recorded');

    const request = await world.shipped('v3');
    const id = changeRequestWorkflowId(request, 1);
    const handle = await world.client.workflow.start('changeRequest', {
      workflowId: id,
      taskQueue: controlQueue,
      args: [world.keyring.sign('submit', id, { changeRequest: request, submission: 1, by: 'carla' })],
    });
    const decision = {
      id: '6f6a2a55-5b0e-4a0e-9d5b-0d2f5d1f7c11',
      approver: 'amir',
      decision: 'reject',
      comment: 'no',
    };
    await handle.signal('approvalDecision', world.keyring.sign('decision', id, decision));
    await handle.result();
    await save('change-request-rejected', id);
  } finally {
    await world.stop();
  }
}
