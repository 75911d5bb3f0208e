import { auditEntry, auditQuery } from '../domain/schemas';
import type { AuditRow } from '../db/audit';
import type { ApiDeps } from './deps';
import { page, pageView } from './page';
import { route, type Route } from './route';

/** The audit trail, newest first. `seq` and `hash` are null until the entry is sealed, about a second later. */
export const auditRoutes = ({ db }: ApiDeps): Route[] => [
  route({
    method: 'get',
    path: '/audit',
    summary: 'Who did what, when, before, after, why and in which request; newest first',
    permission: 'read',
    query: auditQuery,
    answers: { status: 200, schema: pageView(auditEntry) },
    handle: async ({ query }) => ({
      body: await page(
        db,
        db('audit').modify((q) => {
          if (query.actor) void q.where({ actor: query.actor });
          if (query.action) void q.where('action', 'like', `${query.action.replace(/[\\%_]/g, '\\$&')}%`);
          if (query.subject) void q.where({ subject: query.subject });
          if (query.request) void q.where({ request: query.request });
          if (query.from) void q.whereRaw('at::timestamptz >= ?', [query.from]);
          if (query.to) void q.whereRaw('at::timestamptz < ?', [query.to]);
        }),
        'id',
        query,
        (rows: AuditRow[]) => Promise.resolve(rows.map(view)),
      ),
    }),
  }),
];

const view = ({ id, entry, seq, hash }: AuditRow) => ({
  id,
  ...(JSON.parse(entry) as Record<string, unknown>),
  seq,
  hash,
});
