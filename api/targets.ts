import { notFound } from '../domain/errors';
import { adoptBody, meView, targetView } from '../domain/schemas';
import { databaseNow } from '../db/clock';
import type { Db } from '../db/connect';
import { listPeople } from '../db/people';
import { viewTarget } from '../db/targets';
import { permissionsOf } from '../domain/permissions';
import { adopt } from './adopt';
import type { ApiDeps } from './deps';
import { pageView, whole } from './page';
import { route, type Route } from './route';

/** Targets as the operator's file declares them, with what they run; and who is asking. */
export function targetRoutes(deps: ApiDeps): Route[] {
  const { db, targets, signIn, windows } = deps;
  const viewAll = async () => {
    const [schedule, now] = [await windows.current(), await databaseNow(db)];
    return Promise.all([...targets().values()].map((target) => viewTarget(db, target, schedule, now)));
  };
  return [
    route({
      method: 'get',
      path: '/targets',
      summary: 'All targets',
      permission: 'read',
      answers: { status: 200, schema: pageView(targetView) },
      handle: async () => ({
        body: whole(await viewAll()),
      }),
    }),
    route({
      method: 'get',
      path: '/targets/:name',
      summary: 'One target',
      permission: 'read',
      answers: { status: 200, schema: targetView },
      async handle({ params }) {
        const target = targets().get(params.name!);
        if (!target) throw notFound(`target ${params.name!.slice(0, 80)}`);
        return { body: await viewTarget(db, target, await windows.current(), await databaseNow(db)) };
      },
    }),
    route({
      method: 'post',
      path: '/targets/:name/adopt',
      summary:
        'Take what is live into the record: a directory is packed into a release, whoever put it there',
      permission: 'adopt',
      target: ({ params }) => Promise.resolve(params.name),
      body: adoptBody,
      answers: { status: 200, schema: targetView },
      handle: (call) => adopt(deps, call),
    }),
    route({
      method: 'get',
      path: '/me',
      summary: 'Who is asking, by which credential, and what they may do',
      permission: 'read',
      answers: { status: 200, schema: meView },
      handle: async ({ person, grants, credential, session }) => ({
        body: {
          person,
          roles: grants,
          may: permissionsOf(grants),
          credential,
          canBe: signIn?.kind === 'local' && session?.kind === 'local' ? await canBe(db, signIn.people) : [],
        },
      }),
    }),
  ];
}

const canBe = async (db: Db, names: readonly string[]) =>
  (await listPeople(db))
    .filter(({ name, disabled_at }) => names.includes(name) && !disabled_at)
    .map(({ name, grants }) => ({ person: name, roles: grants }));
