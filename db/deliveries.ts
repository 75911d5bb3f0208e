import { predecessorsOf, type State } from '../domain/machines';
import type { NotificationsConfig } from '../domain/service-config';
import type { Db, Tx } from './connect';
import { partOf } from './sweep';

/**
 * What others are told. Triggers write one row for each webhook in the transaction of what happened; a worker hands each
 * over to a workflow, which delivers it.
 */
export interface DeliveryRow {
  id: number;
  webhook: string;
  event: string;
  subject: string;
  payload: object;
  status: State<'delivery'>;
  round: number;
  /** Of the database, when it was last to be sent: its workflow's id carries it. */
  incarnation: string;
  /** When it was written. */
  born_in: string;
  handed_over: boolean;
  attempts: number;
  last_error: string | null;
  created_at: Date;
  ended_at: Date | null;
}
export interface WebhookRow {
  name: string;
  url: string;
  events: string[] | null;
  active: boolean;
}

/** Takes over which webhooks the operator's file names. What it names no more is not told of anything new. */
export async function registerWebhooks(db: Db, { webhooks }: NotificationsConfig): Promise<void> {
  await db.transaction(async (tx) => {
    const names = webhooks.map(({ name }) => name);
    await tx('webhooks').whereNotIn('name', names).update({ active: false, updated_at: tx.fn.now() });
    for (const { name, url, events } of webhooks) {
      // A path or a query may be a credential.
      const row = {
        name,
        url: new URL(url).origin,
        events: events ?? null,
        active: true,
        updated_at: tx.fn.now(),
      };
      await tx('webhooks').insert(row).onConflict('name').merge();
    }
  });
}

export const deliveriesToHandOver = async (db: Db): Promise<DeliveryRow[]> =>
  (await db('deliveries').where({ handed_over: false }).orderBy('id').limit(100)) as DeliveryRow[];

export const handedOver = (db: Db, { id, round }: Pick<DeliveryRow, 'id' | 'round'>) =>
  db('deliveries').where({ id, round }).update({ handed_over: true });

/** Deliveries under way, a part of them at a time. */
export const deliveriesUnderWay = (db: Db, atOnce: number, pass: number) =>
  partOf<DeliveryRow>(db('deliveries').where({ status: 'pending', handed_over: true }), atOnce, pass);

/** Its workflow was lost: it is handed over once more. */
export const handOverAgain = (db: Db, { id, round }: Pick<DeliveryRow, 'id' | 'round'>) =>
  db('deliveries').where({ id, round, status: 'pending' }).update({ handed_over: false });

/** The delivery, if this round of it is still to be made. */
export const deliveryToMake = async (tx: Tx, id: number, round: number) =>
  (await tx('deliveries').where({ id, round, status: 'pending' }).first()) as DeliveryRow | undefined;

export const delivered = (tx: Tx, id: number, round: number) =>
  tx('deliveries')
    .where({ id, round, status: 'pending' })
    .update({
      status: 'delivered',
      ended_at: tx.fn.now(),
      attempts: tx.raw('attempts + 1'),
      last_error: null,
    });

export const deliveryFailed = (tx: Tx, id: number, round: number, why: string) =>
  tx('deliveries')
    .where({ id, round, status: 'pending' })
    .update({ attempts: tx.raw('attempts + 1'), last_error: why });

export const undeliverable = (tx: Tx, id: number, round: number, why: string) =>
  tx('deliveries')
    .where({ id, round })
    .whereIn('status', predecessorsOf('delivery', 'undeliverable'))
    .update({ status: 'undeliverable', ended_at: tx.fn.now(), last_error: why });

/** Sends it once more, as its next round. @returns false when it is none that could not be delivered. */
export const resend = async (tx: Tx, id: number): Promise<boolean> =>
  (await tx('deliveries')
    .where({ id })
    .whereIn('status', predecessorsOf('delivery', 'pending'))
    .update({
      status: 'pending',
      round: tx.raw('round + 1'),
      incarnation: tx.raw('current_incarnation()'),
      handed_over: false,
      ended_at: null,
    })) === 1;

export const findDelivery = async (tx: Tx, id: number) =>
  (await tx('deliveries').where({ id }).first()) as DeliveryRow | undefined;
