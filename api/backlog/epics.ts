import { editEpicBody, epicsQuery, epicView, newEpicBody } from '../../domain/backlog/schemas';
import { notFound } from '../../domain/errors';
import { parseEpicKey } from '../../domain/keys';
import { reasonBody } from '../../domain/schemas';
import {
  addEpic,
  changeEpic,
  epics,
  findEpic,
  removeEpic,
  viewEpic,
  type EpicRow,
} from '../../db/backlog/epics';
import type { ApiDeps } from '../deps';
import { page, pageView } from '../page';
import { route, type Route } from '../route';
import { moveOf } from './items';

/** Epics: what their items are for. Status and progress are derived from these. */
export function epicRoutes({ db }: ApiDeps): Route[] {
  const view = async (key: string) => {
    const row = await findEpic(db, parseEpicKey(key));
    if (!row) throw notFound(key);
    return { body: viewEpic(row) };
  };
  return [
    route({
      method: 'get',
      path: '/epics',
      summary: 'Epics with their progress, newest first',
      permission: 'read',
      query: epicsQuery,
      answers: { status: 200, schema: pageView(epicView) },
      handle: async ({ query }) => ({
        body: await page(
          db,
          epics(db).modify((q) => {
            if (query.status) void q.where({ status: query.status });
            if (query.owner) void q.where({ owner: query.owner });
          }),
          'id',
          query,
          (rows: EpicRow[]) => Promise.resolve(rows.map(viewEpic)),
        ),
      }),
    }),
    route({
      method: 'post',
      path: '/epics',
      summary: 'Add an epic',
      permission: 'backlog',
      body: newEpicBody,
      answers: { status: 201, schema: epicView },
      async handle(call) {
        const id = Number(await call.once(async (tx) => String(await addEpic(tx, call.body, moveOf(call)))));
        return { status: 201, body: viewEpic((await findEpic(db, id))!) };
      },
    }),
    route({
      method: 'get',
      path: '/epics/:key',
      summary: 'One epic with its progress',
      permission: 'read',
      answers: { status: 200, schema: epicView },
      handle: ({ params }) => view(params.key!),
    }),
    route({
      method: 'patch',
      path: '/epics/:key',
      summary: 'Change an epic',
      ifMatch: true,
      permission: 'backlog',
      body: editEpicBody,
      answers: { status: 200, schema: epicView },
      async handle(call) {
        const { reason, ...fields } = call.body;
        const id = parseEpicKey(call.params.key!);
        await call.once(async (tx) => {
          await changeEpic(tx, id, fields, moveOf(call, reason), call.ifMatch);
          return 'changed';
        });
        return view(call.params.key!);
      },
    }),
    route({
      method: 'delete',
      path: '/epics/:key',
      summary: 'Remove an epic that has no items',
      ifMatch: true,
      permission: 'backlog',
      body: reasonBody,
      answers: { status: 200, schema: epicView },
      async handle(call) {
        const id = parseEpicKey(call.params.key!);
        const before = await view(call.params.key!);
        return call.write(async (tx) => {
          await removeEpic(tx, id, moveOf(call, call.body.reason), call.ifMatch);
          return before;
        });
      },
    }),
  ];
}
