import { machines } from '../../../domain/machines';
import { chance } from '../chance';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';
import { until } from '../../helpers/until';
import { Refused } from '../users';

/** Many hands at once. */
const answerOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 200,
    (thrown: unknown) => {
      if (thrown instanceof Refused) return thrown.status;
      throw thrown;
    },
  );

export const races: Scenario[] = [
  {
    name: 'besides/fifty-clicks',
    async run({ stack, demand }) {
      const { users } = stack;
      await stack.commit('clicked', 'well');
      const promotion = await users.approved('clicked');
      const keys = await Promise.all(Array.from({ length: 50 }, () => users.deploy(promotion)));
      demand(new Set(keys).size === 1, `fifty clicks were answered with ${[...new Set(keys)].join(', ')}`);
      const { status } = await users.ended(keys[0]!);
      demand(status === 'succeeded', `it ended as ${status}`);
      // A click after the end is answered with what it came to, and starts nothing.
      demand((await users.deploy(promotion)) === keys[0], 'a click after the end began something');
      const [attempts, starts] = await stack.withDb((db) =>
        Promise.all([
          db('deployments').where({ promotion: Number(promotion.slice(3)) }),
          db('audit')
            .where({ subject: keys[0]! })
            .whereRaw(`entry::jsonb -> 'after' ->> 'status' = 'running'`),
        ]),
      );
      demand(attempts.length === 1, `${attempts.length} attempts were made`);
      demand(starts.length === 1, `it began ${starts.length} times`);
    },
  },
  {
    name: 'besides/everybody-decides-at-once',
    async run({ stack, seed, demand }) {
      const { users } = stack;
      const dice = chance(seed, 'everybody-decides-at-once');
      let approved = 0;
      for (let round = 0; round < 15; round++) {
        await stack.commit(`round-${round}`, 'well');
        const { key } = await users.ask<{ key: string }>('carla', 'POST', '/promotions', {
          target: 'shop',
          revision: `round-${round}`,
          title: `round ${round}`,
          change: { type: 'normal' },
          submit: true,
        });
        const rfc = `/change-requests/${key.replace('CP', 'RFC')}`;
        const sometimes = [
          () => users.ask('amir', 'POST', `${rfc}/decisions`, { decision: 'reject', comment: 'no' }),
          () => users.ask('carla', 'PATCH', rfc, { description: `edited in round ${round}` }),
          () => users.ask('carla', 'POST', `${rfc}/cancel`, { reason: 'no' }),
        ].filter(() => dice.between(0, 3) < 1);
        const hands = [
          () => users.ask('amir', 'POST', `${rfc}/decisions`, { decision: 'approve' }),
          () => users.ask('rosa', 'POST', `/promotions/${key}/deploy`, { when: 'now' }),
          ...sometimes,
        ];
        const answers = await Promise.all(
          hands.sort(() => dice.between(-1, 1)).map((ask) => answerOf(ask())),
        );
        demand(
          answers.every((status) => status < 500),
          `round ${round}: somebody got ${answers.join(', ')}`,
        );
        const number = Number(key.slice(3));
        await until('what began to end', async () => {
          const { rows } = await stack.withDb((db) =>
            db.raw(
              "SELECT 1 FROM deployments WHERE promotion = ? AND status IN ('queued', 'running', 'rolling-back')",
              [number],
            ),
          );
          return rows.length === 0;
        });
        approved += await consistent(stack, number, demand);
      }
      demand(approved > 0, 'nothing was approved in any round, so nothing raced');
    },
  },
  {
    name: 'besides/forged-signals',
    async run({ stack, start, demand }) {
      stack.barrier.arm('backup/asked');
      const started = await start();
      await stack.barrier.reached('backup/asked');
      const [promotion, attempt] = started.attempt.slice(3).split('.');
      const handle = stack.temporal.client.workflow.getHandle(`deploy/CP-${promotion}/${attempt}`);
      await handle.signal('cancelDeployment', { by: 'rosa', reason: 'forged' });
      await handle.signal('cancelDeployment', { by: 'rosa', signature: { key: 'x', mac: 'y' } });
      await handle.signal('resolveRollback', 'nonsense');
      await handle.signal('noSuchSignal', { a: 1 });
      stack.barrier.open('backup/asked');
      await started.ends('succeeded');
      const refused = await stack.withDb((db) => db('audit').where({ action: 'signal.refused' }));
      demand(
        refused.length >= 2,
        `${refused.length} of the forged cancels are in the audit trail as refused`,
      );
    },
  },
];

/** Promotion, change request and attempts tell one story. @returns 1 when it was approved. */
async function consistent(stack: Stack, id: number, demand: (holds: boolean, otherwise: string) => void) {
  return stack.withDb(async (db) => {
    const promotion = (await db('promotions').where({ id }).first()) as { status: string };
    const request = (await db('change_requests').where({ id }).first()) as { status: string };
    const attempts = (await db('deployments').where({ promotion: id })) as { status: string }[];
    const pairs: Record<string, string[]> = {
      pending: ['draft', 'submitted'],
      approved: ['approved'],
      executing: ['in-progress'],
      deployed: ['completed'],
      'rolled-back': ['approved'],
      rejected: ['rejected'],
      withdrawn: ['cancelled'],
    };
    const story = `CP-${id} is ${promotion.status}, its request ${request.status}`;
    demand(pairs[promotion.status]?.includes(request.status) ?? false, story);
    const deployed = attempts.filter(({ status }) => status === 'succeeded').length;
    demand(deployed === (promotion.status === 'deployed' ? 1 : 0), `${story}, with ${deployed} deployments`);
    for (const table of ['promotion', 'changeRequest'] as const) {
      const subject = table === 'promotion' ? `CP-${id}` : `RFC-${id}`;
      const rows = await db('audit').where({ subject }).orderBy('id').select('entry');
      for (const { entry } of rows) {
        const { before, after } = JSON.parse(entry as string) as {
          before?: { status?: string };
          after?: { status?: string };
        };
        if (!before?.status || !after?.status || before.status === after.status) continue;
        const next = (machines[table] as Record<string, { to: readonly string[] }>)[before.status]!.to;
        demand(next.includes(after.status), `I3: ${subject} moved from ${before.status} to ${after.status}`);
      }
    }
    return Number(['approved', 'executing', 'deployed', 'rolled-back'].includes(promotion.status));
  });
}
