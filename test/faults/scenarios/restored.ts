import { connectOwner } from '../../../db/connect';
import { until } from '../../helpers/until';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';

/** Signalbox's own database goes back to a copy while targets and Temporal have gone on, and whoever notices is killed. */
async function asOwner(stack: Stack, ...statements: string[]): Promise<void> {
  const admin = connectOwner(Object.assign(new URL(stack.databaseUrl), { pathname: '/postgres' }).href);
  try {
    for (const statement of statements) await admin.raw(statement);
  } finally {
    await admin.destroy();
  }
}
/** Nobody is at it. @returns what puts the copy in its place, as another database, as a dump that is restored is. */
async function copied(stack: Stack): Promise<() => Promise<void>> {
  const name = new URL(stack.databaseUrl).pathname.slice(1);
  await until('the database to be left', () =>
    asOwner(stack, `CREATE DATABASE before TEMPLATE ${name}`).then(
      () => true,
      () => false,
    ),
  );
  return () =>
    asOwner(stack, `DROP DATABASE ${name} WITH (FORCE)`, `ALTER DATABASE before RENAME TO ${name}`);
}
async function kill(stack: Stack, ...members: ('worker' | 'api')[]): Promise<void> {
  for (const member of members) {
    stack[member].signal('SIGKILL');
    await stack[member].ended;
  }
}
/** Where a worker stands while it takes note of a restored database, in order. */
const noting = ['restored/middle', 'restored/noted'];
/** And while it compares the record with Temporal: the recovery is started; what the record lacks is ended. */
const reconciling = ['reconcile/recovering', 'health-check/before', 'end-run/recorded'];

export const restored: Scenario[] = [
  {
    name: 'besides/restored-database',
    async run({ stack, demand, start }) {
      const { users, barrier } = stack;
      const ship = async (tag: string) => {
        await stack.commit(tag, 'well');
        const asked = { target: 'shop', revision: tag, title: tag, change: { type: 'normal' }, submit: true };
        return (await users.ask<{ key: string }>('carla', 'POST', '/promotions', asked)).key;
      };
      const audit = (action: string) => stack.withDb((db) => db('audit').where({ action }).select('subject'));

      // Before the copy: a request in its approval, and an attempt in its swap, which succeeds after it.
      const waiting = await ship('waits');
      barrier.arm('swap/before');
      const went = await start();
      await barrier.reached('swap/before');
      await kill(stack, 'worker', 'api');
      const putBack = await copied(stack);
      barrier.open('swap/before');
      [stack.api, stack.worker] = [await stack.startApi(), await stack.startWorker()];
      const first = await users.ended(went.attempt);
      demand(first.status === 'succeeded', `before the restore it ended as ${first.status}`);
      // After it: a request in its approval, and an attempt that has touched nothing yet.
      const asked = await ship('asked');
      await stack.commit('begun', 'well');
      barrier.arm('build/middle');
      const begun = await users.deploy(await users.approved('begun'));
      await barrier.reached('build/middle');
      await kill(stack, 'worker', 'api');
      await putBack();
      barrier.open('build/middle');

      for (const point of noting) {
        barrier.arm(point);
        stack.worker = stack.beginWorker();
        await barrier.reached(point);
        await kill(stack, 'worker');
        barrier.open(point);
      }
      for (const point of reconciling) barrier.arm(point);
      for (const point of reconciling) {
        stack.worker = await stack.startWorker();
        await barrier.reached(point);
        await kill(stack, 'worker');
        barrier.open(point);
      }
      [stack.worker, stack.api] = [await stack.startWorker(), await stack.startApi()];
      await went.ends('succeeded');
      const noted = await audit('database.restored');
      demand(noted.length === 1, `the restore was noted ${noted.length} times`);
      const lost = asked.replace('CP', 'RFC');
      await until(`${lost} to be ended with the reason`, async () =>
        (await audit('workflow.ended')).some(({ subject }) => subject === lost),
      );
      // Ended by that, or by what it asked next.
      await until('the attempt that the record lacks to end', async () => {
        const { status } = await stack.temporal.client.workflow
          .getHandle(`deploy/${begun.replace('.', '/')}`)
          .describe();
        return ['TERMINATED', 'FAILED'].includes(status.name);
      });

      // What waited goes on, and numbers that come again mean something else.
      const rfc = waiting.replace('CP', 'RFC');
      await users.ask('amir', 'POST', `/change-requests/${rfc}/decisions`, { decision: 'approve' });
      const late = await users.ended(await users.deploy(waiting));
      demand(late.status === 'succeeded', `what waited ended as ${late.status}: ${late.outcome}`);
      const again = await start();
      demand(again.promotion === asked, `${again.promotion} came again, not ${asked}`);
      const { temporal } = await again.ends('succeeded');
      demand(/~2-[0-9a-f]{6}$/.test(temporal.workflowId), `its workflow is ${temporal.workflowId}`);
    },
  },
];
