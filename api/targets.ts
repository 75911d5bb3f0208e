import { notFound } from '../domain/errors';
import { meView, targetView } from '../domain/schemas';
import { viewTarget } from '../db/targets';
import type { ApiDeps } from './deps';
import { pageView } from './page';
import { route, type Route } from './route';

/** Targets as the operator's file declares them, with what they run; and who is asking. */
export const targetRoutes = ({ db, targets }: ApiDeps): Route[] => [
  route({
    method: 'get',
    path: '/targets',
    summary: 'All targets',
    answers: { status: 200, schema: pageView(targetView) },
    handle: async () => ({
      body: {
        items: await Promise.all([...targets().values()].map((target) => viewTarget(db, target))),
        nextCursor: null,
      },
    }),
  }),
  route({
    method: 'get',
    path: '/targets/:name',
    summary: 'One target',
    answers: { status: 200, schema: targetView },
    async handle({ params }) {
      const target = targets().get(params.name!);
      if (!target) throw notFound(`target ${params.name!.slice(0, 80)}`);
      return { body: await viewTarget(db, target) };
    },
  }),
  route({
    method: 'get',
    path: '/me',
    summary: 'Who the token belongs to',
    answers: { status: 200, schema: meView },
    handle: ({ person, roles }) => Promise.resolve({ body: { person, roles } }),
  }),
];
