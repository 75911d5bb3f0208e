import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scenario } from '../scenario';

/** What is asked again of what waits, whatever dies meanwhile. */
export const rules: Scenario[] = [
  {
    name: 'besides/switched-off-while-it-waits',
    async run({ stack, demand, start }) {
      const file = join(stack.folder, 'config.yaml');
      const on = readFileSync(file, 'utf8');
      const reread = async (text: string) => {
        writeFileSync(file, text);
        for (const member of [stack.worker, stack.api]) member.signal('SIGHUP');
        await Promise.all([stack.worker, stack.api].map((member) => member.says(/Targets file read again/)));
      };
      stack.barrier.arm('health-check/before');
      const holder = await start();
      await stack.barrier.reached('health-check/before');
      await stack.commit('waits', 'well');
      const waiting = await stack.users.deploy(await stack.users.approved('waits'));
      stack.barrier.arm('lane/before');
      // Who holds the lane has been asked for the last time; it goes on.
      await reread(
        on.replace(
          '    undoAlarmSeconds',
          '    promotionsEnabled: false\n    promotionsDisabledReason: an incident\n    undoAlarmSeconds',
        ),
      );
      stack.barrier.open('health-check/before');
      await stack.barrier.reached('lane/before');
      stack.worker.signal('SIGKILL');
      await stack.worker.ended;
      stack.barrier.open('lane/before');
      stack.worker = await stack.startWorker();
      const end = await stack.users.ended(waiting, 180_000);
      demand(end.status === 'refused', `what waited ended as ${end.status}: ${end.outcome}`);
      demand(/switched off: an incident/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
      demand(end.steps.length === 0, `it began ${end.steps.map(({ name }) => name).join(', ')}`);
      await holder.ends('succeeded');
      await reread(on);
    },
  },
];
