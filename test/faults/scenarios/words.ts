import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DeploymentView } from '../../../domain/schemas';
import { until } from '../../helpers/until';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';

/** What people said and what was accepted is followed or answered, whatever dies before it is heard. */
const handleOf = (stack: Stack, attempt: string) =>
  stack.temporal.client.workflow.getHandle(`deploy/${attempt.replace('.', '/')}`);
const words = ({ words: all }: DeploymentView) =>
  all.map(({ kind, status }) => `${kind} ${status}`).join(', ');
/** Events after which Temporal suggests a new run, with some to spare. */
const fullHistory = 4_500;

export const said: Scenario[] = [
  {
    name: 'besides/words-cancel-beside-a-kill-and-a-new-run',
    async run({ stack, demand, start }) {
      stack.barrier.arm('health-check/before');
      const holder = await start();
      await stack.barrier.reached('health-check/before');
      await stack.commit('waits', 'well');
      const waiting = await stack.users.deploy(await stack.users.approved('waits'));
      await until('it to wait', async () => {
        const { position } = await stack.users.ask<DeploymentView>('rosa', 'GET', `/deployments/${waiting}`);
        return position === 1;
      });
      // It asks for the lane, slowly; meanwhile its run becomes full, and it is cancelled.
      const handle = handleOf(stack, waiting);
      stack.barrier.arm('lane/before');
      await handle.signal('laneFree');
      await stack.barrier.reached('lane/before');
      for (let n = 0; n < fullHistory; n += 100)
        await Promise.all(Array.from({ length: 100 }, () => handle.signal('windowChanged')));
      await stack.users.ask('rosa', 'POST', `/deployments/${waiting}/cancel`, { reason: 'a second thought' });
      stack.worker.signal('SIGKILL');
      await stack.worker.ended;
      for (const point of ['lane/before', 'health-check/before']) stack.barrier.open(point);
      stack.worker = await stack.startWorker();
      const end = await stack.users.ended(waiting);
      demand(end.status === 'cancelled', `what was cancelled ended as ${end.status}: ${end.outcome}`);
      demand(words(end) === 'cancel done', `its words: ${words(end)}`);
      demand(/a second thought/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
      demand(end.steps.length === 0, `it began ${end.steps.map(({ name }) => name).join(', ')}`);
      await holder.ends('succeeded');
      await until('its workflow to end', async () => {
        const { status } = await handleOf(stack, waiting).describe();
        return status.name === 'COMPLETED';
      });
    },
  },
  {
    name: 'besides/words-answer-to-a-workflow-that-is-gone',
    stack: { undoAlarmSeconds: 3 },
    async run({ stack, demand, start }) {
      const inTheWay = join(stack.root, '.signalbox', 'fence.json.new');
      // The first undo, so that the new release stays live until the recovery undoes all of it.
      stack.barrier.arm('take-out/before');
      const started = await start('sick');
      await stack.barrier.reached('take-out/before');
      mkdirSync(inTheWay);
      stack.barrier.open('take-out/before');
      await started.ends('rollback-failed');
      rmdirSync(inTheWay);
      // Nobody is there to hear it; and who was to hear it never comes back.
      stack.worker.signal('SIGKILL');
      await stack.worker.ended;
      const resolve = (action: string) =>
        stack.users.ask<DeploymentView>('sven', 'POST', `/deployments/${started.attempt}/resolve`, {
          action,
          reason: 'it is out of the way',
        });
      const said = await resolve('retry');
      demand(words(said) === 'resolve waiting', `after it was said: ${words(said)}`);
      await resolve('accept');
      await handleOf(stack, started.attempt).terminate('by hand');
      stack.worker = await stack.startWorker();
      await until('it to be rolled back', async () => {
        const now = await stack.users.ask<DeploymentView>('sven', 'GET', `/deployments/${started.attempt}`);
        return now.status === 'rolled-back';
      });
      const end = await started.ends('rolled-back');
      // The first answer counts, and the other says so.
      demand(words(end) === 'resolve done, resolve expired', `its words: ${words(end)}`);
      demand(!/accepted/.test(end.outcome ?? ''), `it was accepted: ${end.outcome}`);
    },
  },
  {
    name: 'besides/words-decision-to-a-workflow-that-is-gone',
    async run({ stack, demand }) {
      await stack.commit('decided', 'well');
      const { key } = await stack.users.ask<{ key: string }>('carla', 'POST', '/promotions', {
        target: 'shop',
        revision: 'decided',
        title: 'decided',
        change: { type: 'normal' },
        submit: true,
      });
      const rfc = key.replace('CP', 'RFC');
      const read = () =>
        stack.users.ask<{ status: string; decisions: { counted: boolean }[] }>(
          'carla',
          'GET',
          `/change-requests/${rfc}`,
        );
      await until('it to be submitted', async () => (await read()).status === 'submitted');
      stack.worker.signal('SIGKILL');
      await stack.worker.ended;
      const said = await stack.users.ask<{ unheard: unknown[] }>(
        'amir',
        'POST',
        `/change-requests/${rfc}/decisions`,
        { decision: 'approve' },
      );
      demand(said.unheard.length === 1, `${said.unheard.length} decisions wait`);
      await stack.temporal.client.workflow.getHandle(`rfc/${rfc}/1`).terminate('by hand');
      stack.worker = await stack.startWorker();
      await until('it to be approved', async () => (await read()).status === 'approved');
      const { decisions } = await read();
      demand(decisions.length === 1 && decisions[0]!.counted, `${JSON.stringify(decisions)}`);
      const { status } = await stack.users.ended(await stack.users.deploy(key));
      demand(status === 'succeeded', `what was approved ended as ${status}`);
    },
  },
];
