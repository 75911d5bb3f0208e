import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario';

const minute = 60_000;
/** A worker whose clock is off; its children, such as a build, have the right one. */
const offBy = (ms: number) => ({
  NODE_OPTIONS: `--require ${resolve('test/helpers/clock.cjs')}`,
  SIGNALBOX_TEST_CLOCK_OFF_MS: String(ms),
});
/** More than a sleep and a deployment take; a sleeper that spins adds some twenty each second. */
const mostEvents = 150;

/** A worker whose clock is an hour off neither passes a closed window nor waits beyond its opening. */
export const clocks: Scenario[] = [['ahead', 60 * minute] as const, ['behind', -60 * minute] as const].map(
  ([what, off]) => ({
    name: `besides/worker-with-a-clock-${what}`,
    async run({ stack, demand }) {
      const { users } = stack;
      stack.worker.signal('SIGTERM');
      await stack.worker.ended;
      stack.worker = await stack.startWorker(undefined, offBy(off));
      await stack.commit('sleeper', 'well');
      const promotion = await users.approved('sleeper');
      // It opens with a full minute, at least twenty seconds from now.
      const opens = Math.ceil((Date.now() + 20_000) / minute) * minute;
      const { id } = await users.ask<{ id: number }>('rosa', 'POST', '/deployment-windows', {
        name: 'soon',
        kind: 'allow',
        scope: {},
        start: new Date(opens).toISOString().slice(0, 16),
        timeZone: 'UTC',
        durationMinutes: 60,
      });
      const { key } = await users.ask<{ key: string }>('rosa', 'POST', `/promotions/${promotion}/deploy`, {
        when: 'next-window',
      });
      await sleep(Math.max(0, opens - 3_000 - Date.now()));
      const { status } = await users.ask<{ status: string }>('carla', 'GET', `/deployments/${key}`);
      demand(status === 'waiting-for-window', `it was ${status} before its window opened`);
      const end = await users.ended(key);
      demand(end.status === 'succeeded', `it ended as ${end.status}: ${end.outcome}`);
      const late = Date.parse(end.startedAt!) - opens;
      demand(late >= 0, `it began ${-late} ms before its window opened`);
      demand(late < minute, `it began ${late} ms after its window had opened`);
      const { events } = await stack.temporal.client.workflow
        .getHandle(end.temporal.workflowId)
        .fetchHistory();
      demand(events!.length < mostEvents, `its history has ${events!.length} events`);
      await users.ask('rosa', 'DELETE', `/deployment-windows/${id}`, {});
    },
  }),
);
