import { blockedView, blockerView, newBlockerBody, resolveBlockerBody } from '../../domain/backlog/schemas';
import { notFound, SignalboxError } from '../../domain/errors';
import { itemKey, parseItemKey, parseNumber } from '../../domain/keys';
import { listQuery } from '../../domain/schemas';
import { findBlocker, raiseBlocker, viewBlocked } from '../../db/backlog/blockers';
import { resolveBlockers } from '../../db/backlog/items';
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
        const id = parseNumber(call.params.id!, 'blocker');
        const row = await findBlocker(db, id);
        if (!row) throw notFound(`blocker ${id}`);
        return call.write(async (tx) => {
          if ((await resolveBlockers(tx, { id: row.id }, call.body.resolution, moveOf(call))) === 0)
            throw new SignalboxError(
              'illegal-transition',
              `Blocker ${id} of ${itemKey(row.item)} was resolved before.`,
            );
          return { body: viewBlocker((await findBlocker(tx, id))!) };
        });
      },
    }),
  ];
}
