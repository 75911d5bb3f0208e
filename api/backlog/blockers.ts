import { blockedView, blockerView, newBlockerBody, resolveBlockerBody } from '../../domain/backlog/schemas';
import { badInput, notFound, SignalboxError } from '../../domain/errors';
import { itemKey, parseItemKey } from '../../domain/keys';
import { listQuery } from '../../domain/schemas';
import { findBlocker, raiseBlocker, resolveBlocker, viewBlocked } from '../../db/backlog/blockers';
import { viewBlocker } from '../../db/backlog/view';
import type { ApiDeps } from '../deps';
import { cursorAfter, idAfter } from '../page';
import { route, type Route } from '../route';
import { moveOf } from './items';

/** What blocks items: raised, resolved, and seen together. */
export function blockerRoutes({ db }: ApiDeps): Route[] {
  const view = async (id: number) => ({ body: viewBlocker((await findBlocker(db, id))!) });
  return [
    route({
      method: 'get',
      path: '/blockers',
      summary: 'What is blocked, by what, for how long; and what frees most when it is resolved',
      permission: 'read',
      query: listQuery.omit({ target: true }),
      answers: { status: 200, schema: blockedView },
      async handle({ query: { limit, cursor } }) {
        const { items, roots } = await viewBlocked(db, limit + 1, cursor === undefined ? 0 : idAfter(cursor));
        const shown = items.slice(0, limit);
        const nextCursor = items.length > limit ? cursorAfter(shown.at(-1)!.id) : null;
        return { body: { items: shown, roots, nextCursor } };
      },
    }),
    route({
      method: 'post',
      path: '/backlog-items/:key/blockers',
      summary: 'Say that an item is blocked, by another one or by something outside of the backlog',
      permission: 'backlog',
      body: newBlockerBody,
      answers: { status: 201, schema: blockerView },
      async handle(call) {
        const { blockedBy, reason } = call.body;
        const item = parseItemKey(call.params.key!);
        const other = blockedBy === undefined ? null : parseItemKey(blockedBy);
        const id = await call.once(async (tx) =>
          String(await raiseBlocker(tx, item, other, reason, moveOf(call, reason))),
        );
        return { status: 201, ...(await view(Number(id))) };
      },
    }),
    route({
      method: 'post',
      path: '/blockers/:id/resolve',
      summary: 'Resolve a blocker, and say how; the owner of the item is told',
      permission: 'backlog',
      body: resolveBlockerBody,
      answers: { status: 200, schema: blockerView },
      async handle(call) {
        const text = call.params.id!;
        if (!/^[1-9][0-9]{0,8}$/.test(text))
          throw badInput(`"${text.slice(0, 40)}" is no number of a blocker; one looks like 3.`);
        const row = await findBlocker(db, Number(text));
        if (!row) throw notFound(`blocker ${text}`);
        if (!(await resolveBlocker(db, row.id, call.body.resolution, moveOf(call))))
          throw new SignalboxError(
            'illegal-transition',
            `Blocker ${text} of ${itemKey(row.item)} was resolved before.`,
          );
        return view(row.id);
      },
    }),
  ];
}
