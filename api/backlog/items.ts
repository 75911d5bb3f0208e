import { htmlOf } from '../../domain/backlog/markdown';
import { epicOf } from '../../domain/backlog/item';
import {
  editItemBody,
  filterQuery,
  itemDetail,
  itemsQuery,
  itemView,
  newItemBody,
  rankBody,
  totalsView,
  type ItemView,
} from '../../domain/backlog/schemas';
import { notFound } from '../../domain/errors';
import { parseEpicKey, parseItemKey } from '../../domain/keys';
import { reasonBody } from '../../domain/schemas';
import { addItem, changeItems, isPlain, removeItem } from '../../db/backlog/items';
import { itemById, listItems, totalsOf } from '../../db/backlog/list';
import { moveItem } from '../../db/backlog/ranks';
import type { ApiDeps } from '../deps';
import { partView } from '../page';
import { route, type Route } from '../route';

/** Backlog items: listed, counted, added, changed, moved in the order, removed. */
export const moveOf = (call: { person: string; request: string }, why?: string) => ({
  by: call.person,
  request: call.request,
  why,
});
export function itemRoutes({ db }: ApiDeps): Route[] {
  const view = async (id: number, key: string) => {
    const item = await itemById(db, id);
    if (!item) throw notFound(key);
    return { body: item };
  };
  return [
    route({
      method: 'get',
      path: '/backlog-items',
      summary: 'Backlog items by a filter, in the order of rank, priority, due date or the last change',
      permission: 'read',
      query: itemsQuery,
      answers: { status: 200, schema: partView(itemView) },
      handle: async ({ query: { sort, limit, cursor, skip, ...filter } }) => ({
        body: await listItems(db, filter, sort, limit, cursor, skip),
      }),
    }),
    route({
      method: 'get',
      path: '/backlog-items/totals',
      summary: 'How many items a filter finds, by status and priority',
      permission: 'read',
      query: filterQuery,
      answers: { status: 200, schema: totalsView },
      handle: async ({ query }) => ({ body: await totalsOf(db, query) }),
    }),
    route({
      method: 'post',
      path: '/backlog-items',
      summary: 'Add an item at the end of the order',
      permission: 'backlog',
      body: newItemBody,
      answers: { status: 201, schema: itemView },
      async handle(call) {
        const { reason, epic, ...fields } = call.body;
        const item = { ...fields, epic: epic === null ? null : parseEpicKey(epic) };
        let made: ItemView | undefined;
        const key = await call.once(async (tx) => {
          made = await addItem(tx, item, moveOf(call, reason));
          return made.key;
        }, isPlain(item));
        return { status: 201, body: made ?? (await itemById(db, parseItemKey(key)))! };
      },
    }),
    route({
      method: 'get',
      path: '/backlog-items/:key',
      summary: 'One item, with what blocks it, what carries it and where it runs',
      permission: 'read',
      answers: { status: 200, schema: itemDetail },
      async handle({ params }) {
        const { body } = await view(parseItemKey(params.key!), params.key!);
        return { body: { ...body, descriptionHtml: htmlOf(body.description) } };
      },
    }),
    route({
      method: 'patch',
      path: '/backlog-items/:key',
      summary: 'Change an item; limits on work in progress and blockers are enforced',
      ifMatch: true,
      permission: 'backlog',
      body: editItemBody,
      answers: { status: 200, schema: itemView },
      async handle(call) {
        const { reason, epic, ...fields } = call.body;
        const id = parseItemKey(call.params.key!);
        const edit = { ...fields, ...epicOf(epic) };
        await call.once(async (tx) => {
          await changeItems(tx, [{ id, edit, version: call.ifMatch }], reason, moveOf(call));
          return 'changed';
        });
        return view(id, call.params.key!);
      },
    }),
    route({
      method: 'post',
      path: '/backlog-items/:key/rank',
      summary: 'Move an item directly before or after another one',
      ifMatch: true,
      permission: 'backlog',
      body: rankBody,
      answers: { status: 200, schema: itemView },
      async handle(call) {
        const id = parseItemKey(call.params.key!);
        const { before, after } = call.body;
        const place = before ? { before: parseItemKey(before) } : { after: parseItemKey(after!) };
        return call.write(async (tx) => ({
          body: (await moveItem(tx, id, place, moveOf(call), call.ifMatch)) ?? (await itemById(tx, id))!,
        }));
      },
    }),
    route({
      method: 'delete',
      path: '/backlog-items/:key',
      summary: 'Remove an item that no promotion carries; who waited for it waits no more',
      ifMatch: true,
      permission: 'backlog',
      body: reasonBody,
      answers: { status: 200, schema: itemView },
      async handle(call) {
        const id = parseItemKey(call.params.key!);
        const before = await view(id, call.params.key!);
        return call.write(async (tx) => {
          await removeItem(tx, id, call.ifMatch, moveOf(call, call.body.reason));
          return before;
        });
      },
    }),
  ];
}
