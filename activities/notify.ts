import { ApplicationFailure } from '@temporalio/activity';
import { Webhook } from 'standardwebhooks';
import { messageOf } from '../domain/errors';
import { idIn } from '../domain/incarnation';
import { delivered, deliveryFailed, deliveryToMake, undeliverable } from '../db/deliveries';
import { deliverWorkflowId } from '../workflows/messages';
import type { Deps } from './deps';
import { orderedBy } from './orders';

/**
 * Tells webhooks, by the Standard Webhooks specification: id, timestamp and signature in the header, the id the same in
 * every try, so that a receiver can tell a repeat.
 */
export function createNotifyActivities({ db, notifications }: Pick<Deps, 'db' | 'notifications'>) {
  /** The delivery, if this round of it is still to be made, and by the workflow that asks for it. */
  async function own(id: number, round: number) {
    const row = await deliveryToMake(db, id, round);
    return row && orderedBy().workflowId === deliverWorkflowId(id, round, row.incarnation) ? row : undefined;
  }
  return {
    async sendNotification(id: number, round: number): Promise<void> {
      const row = await own(id, round);
      if (!row) return;
      const { webhooks, timeoutSeconds } = notifications.config;
      const webhook = webhooks.find(({ name }) => name === row.webhook);
      if (!webhook)
        throw ApplicationFailure.nonRetryable(
          `The configuration names no webhook ${row.webhook} any more.`,
          'NoWebhook',
        );
      const body = JSON.stringify(row.payload);
      // After a restore a number comes again, and is another event.
      const messageId = idIn(`msg_signalbox_${id}`, row.born_in);
      const at = new Date();
      try {
        const signer = new Webhook(notifications.secretOf(webhook.secret));
        const answer = await fetch(webhook.url, {
          method: 'POST',
          redirect: 'manual',
          headers: {
            'content-type': 'application/json',
            'user-agent': 'Signalbox',
            'webhook-id': messageId,
            'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
            'webhook-signature': signer.sign(messageId, at, body),
          },
          body,
          signal: AbortSignal.timeout(timeoutSeconds * 1000),
        });
        await answer.body?.cancel();
        if (!answer.ok) throw new Error(`it answered ${answer.status}`);
      } catch (thrown) {
        const why = `${row.webhook} did not take it: ${messageOf(thrown)}`;
        await deliveryFailed(db, id, round, why);
        throw ApplicationFailure.create({ message: why, type: 'NotDelivered' });
      }
      await delivered(db, id, round);
    },
    undeliverable: async (id: number, round: number, why: string): Promise<void> => {
      if (await own(id, round)) await undeliverable(db, id, round, why);
    },
  };
}
