import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { NotificationsConfig } from '../domain/service-config';
import type { Db } from '../db/connect';
import { recordRefused } from '../db/audit';
import {
  deliveriesToHandOver,
  deliveryToMake,
  handedOver,
  registerWebhooks,
  type DeliveryRow,
} from '../db/deliveries';
import { controlQueue } from '../temporal-config/names';
import { startOwn } from '../temporal-config/own-start';
import { deliverWorkflowId, type DeliveryRequest } from '../workflows/messages';
import { repeat, type Repeated } from './repeat';

const lookEveryMs = 500;

/**
 * Hands what others are to be told over to workflows, one for each delivery. Any number of workers may do so side by
 * side: the workflow's id is the delivery's, so that each is made once.
 */
export async function startNotifier(options: {
  db: Db;
  temporal: Client;
  config: NotificationsConfig;
  log: Logger;
}): Promise<Repeated> {
  const { db, temporal, config, log } = options;
  await registerWebhooks(db, config);
  return repeat({
    everyMs: lookEveryMs,
    log,
    // They wait in the database until it goes again.
    failed: 'notifications could not be handed over; trying again',
    async pass() {
      for (const row of await deliveriesToHandOver(db)) await handOver(row);
    },
  });

  async function handOver(row: DeliveryRow): Promise<void> {
    const request: DeliveryRequest = {
      delivery: row.id,
      round: row.round,
      webhook: row.webhook,
      event: row.event,
      subject: row.subject,
      retryMs: config.retrySeconds * 1000,
      giveUpMs: config.giveUpHours * 3_600_000,
      timeoutMs: config.timeoutSeconds * 1000,
    };
    await startOwn(
      temporal,
      'deliverNotification',
      {
        workflowId: deliverWorkflowId(row.id, row.round, row.incarnation),
        // One whose workflow was terminated, say, is told by another run of it.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        taskQueue: controlQueue,
        args: [request],
        staticSummary: `Tell ${row.webhook}: ${row.event} of ${row.subject}`,
      },
      {
        isOurs: (input) => (input as DeliveryRequest | undefined)?.delivery === row.id,
        isRecorded: async () => (await deliveryToMake(db, row.id, row.round)) === undefined,
        told: (why) => recordRefused(db, `notification ${row.id}`, why),
      },
    );
    await handedOver(db, row);
  }
}
