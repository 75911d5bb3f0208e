import { badInput, notFound, SignalboxError } from '../domain/errors';
import { deliveriesQuery, deliveryView, emptyBody, webhookView, type DeliveryView } from '../domain/schemas';
import { recordAudit } from '../db/audit';
import { findDelivery, resend, type DeliveryRow, type WebhookRow } from '../db/deliveries';
import type { ApiDeps } from './deps';
import { page, pageView, whole } from './page';
import { route, type Route } from './route';

/** Whom Signalbox tells, as the operator's file says, and what became of it. */
export const webhookRoutes = ({ db }: ApiDeps): Route[] => [
  route({
    method: 'get',
    path: '/webhooks',
    summary: "Where others are told; the operator's file names them",
    permission: 'read',
    answers: { status: 200, schema: pageView(webhookView) },
    handle: async () => ({
      body: whole(
        ((await db('webhooks').orderBy('name')) as WebhookRow[]).map(({ name, url, events, active }) => ({
          name,
          url,
          events,
          active,
        })),
      ),
    }),
  }),
  route({
    method: 'get',
    path: '/notifications',
    summary: 'What others were told, newest first, with the tries it took',
    permission: 'read',
    query: deliveriesQuery,
    answers: { status: 200, schema: pageView(deliveryView) },
    handle: async ({ query }) => ({
      body: await page(
        db,
        db('deliveries').modify((q) => void (query.status && q.where({ status: query.status }))),
        'id',
        query,
        (rows: DeliveryRow[]) => Promise.resolve(rows.map(viewDelivery)),
      ),
    }),
  }),
  route({
    method: 'post',
    path: '/notifications/:id/resend',
    summary: 'Send one again that could not be delivered',
    permission: 'resend-notifications',
    body: emptyBody,
    answers: { status: 202, schema: deliveryView },
    async handle({ params, person, request, once }) {
      if (!/^[1-9][0-9]{0,8}$/.test(params.id!))
        throw badInput(`"${params.id!.slice(0, 40)}" is no number of a notification; one looks like 3.`);
      const id = Number(params.id);
      const row = await findDelivery(db, id);
      if (!row) throw notFound(`notification ${id}`);
      await once(async (tx) => {
        if (!(await resend(tx, id)))
          throw new SignalboxError(
            'illegal-transition',
            `Notification ${id} is ${row.status}; only an undeliverable one is sent again.`,
          );
        await recordAudit(tx, {
          actor: person,
          action: 'notification.resent',
          subject: row.subject,
          why: `${row.event} to ${row.webhook}`,
          request,
        });
        return 'resent';
      });
      return { status: 202, body: viewDelivery((await findDelivery(db, id))!) };
    },
  }),
];

const viewDelivery = (row: DeliveryRow): DeliveryView => ({
  id: row.id,
  webhook: row.webhook,
  event: row.event,
  subject: row.subject,
  status: row.status,
  attempts: row.attempts,
  lastError: row.last_error,
  createdAt: row.created_at.toISOString(),
  endedAt: row.ended_at?.toISOString() ?? null,
});
