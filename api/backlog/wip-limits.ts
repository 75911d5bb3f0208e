import { wipLimitsBody, wipLimitsView } from '../../domain/backlog/schemas';
import { setWipLimits, viewWipLimits } from '../../db/backlog/wip';
import type { ApiDeps } from '../deps';
import { route, type Route } from '../route';
import { moveOf } from './items';

/** Limits on work in progress: read with what is in progress, and replaced as a whole. */
export const wipLimitRoutes = ({ db }: ApiDeps): Route[] => [
  route({
    method: 'get',
    path: '/wip-limits',
    summary: 'The limits on work in progress, who holds their places, and which are exceeded',
    permission: 'read',
    answers: { status: 200, schema: wipLimitsView },
    handle: async () => ({ body: await viewWipLimits(db) }),
  }),
  route({
    method: 'put',
    path: '/wip-limits',
    summary: 'Replace all limits; what is in progress stays so, also over a lower limit',
    ifMatch: true,
    permission: 'wip-limits',
    body: wipLimitsBody,
    answers: { status: 200, schema: wipLimitsView },
    async handle(call) {
      const { limits, reason } = call.body;
      await call.once(async (tx) => {
        await setWipLimits(tx, limits, moveOf(call, reason), call.ifMatch);
        return 'set';
      });
      return { body: await viewWipLimits(db) };
    },
  }),
];
