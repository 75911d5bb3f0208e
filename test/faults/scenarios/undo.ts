import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { told, type Scenario } from '../scenario';
import type { Stack } from '../stack';
import { until } from '../../helpers/until';

/** Undos that can not be done, for a while or until a person has seen to it: a folder lies where a file has to. */
const inTheWay = (stack: Stack) => join(stack.root, '.signalbox', 'fence.json.new');

export const undos: Scenario[] = [
  {
    name: 'besides/undo-fails-once',
    async run({ stack, start }) {
      stack.barrier.arm('undo-swap/before');
      const started = await start('sick');
      await stack.barrier.reached('undo-swap/before');
      mkdirSync(inTheWay(stack));
      stack.barrier.open('undo-swap/before');
      await told(stack, 'undo-swap met a fault');
      rmdirSync(inTheWay(stack));
      await started.ends('rolled-back');
    },
  },
  {
    name: 'besides/undo-fails-always',
    stack: { undoAlarmSeconds: 3 },
    async run({ stack, start, demand }) {
      stack.barrier.arm('undo-swap/before');
      const started = await start('sick');
      await stack.barrier.reached('undo-swap/before');
      mkdirSync(inTheWay(stack));
      stack.barrier.open('undo-swap/before');
      const failed = await started.ends('rollback-failed');
      demand(/an SRE/.test(failed.waitingFor ?? ''), `nobody is asked: ${failed.waitingFor}`);
      // Its lane stays held: what comes next waits.
      const next = await stack.users.ask<{ status: string }>(
        'rosa',
        'POST',
        `/promotions/${await stack.users.approved('first')}/deploy`,
        { when: 'now' },
      );
      demand(next.status === 'queued', `the next one is ${next.status} beside a failed rollback`);
      rmdirSync(inTheWay(stack));
      await stack.users.ask('sven', 'POST', `/deployments/${started.attempt}/resolve`, {
        action: 'retry',
        reason: 'it is out of the way',
      });
      await started.ends('rolled-back');
      await until('the next one', async () => {
        const { rows } = await stack.withDb((db) =>
          db.raw("SELECT 1 FROM deployments WHERE status = 'queued' OR status = 'running'"),
        );
        return rows.length === 0;
      });
    },
  },
];
