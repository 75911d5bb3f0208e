import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { NotificationsConfig } from '../domain/service-config';
import type { Db } from '../db/connect';
import { deliveriesToHandOver, handedOver, registerWebhooks, type DeliveryRow } from '../db/deliveries';
import { controlQueue } from '../temporal-config/names';
import { deliverWorkflowId, type DeliveryRequest } from '../workflows/messages';

/**
 * Hands what others are to be told over to workflows, one for each delivery. Any number of workers may do so side by
 * side: the workflow's id is the delivery's, so that each is made once.
 */
export interface Notifier {
  stop(): Promise<void>;
}
const lookEveryMs = 500;

export async function startNotifier(options: {
  db: Db;
  temporal: Client;
  config: NotificationsConfig;
  log: Logger;
}): Promise<Notifier> {
  const { db, temporal, config, log } = options;
  await registerWebhooks(db, config);
  const stopping = new AbortController();
  const done = (async () => {
    let failing = false;
    while (!stopping.signal.aborted) {
      try {
        for (const row of await deliveriesToHandOver(db)) await handOver(row);
        failing = false;
      } catch (thrown) {
        // They wait in the database until it goes again; said once.
        if (!failing) log.warn({ err: thrown }, 'notifications could not be handed over; trying again');
        failing = true;
      }
      await sleep(lookEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await done;
    },
  };

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
    await temporal.workflow
      .start('deliverNotification', {
        workflowId: deliverWorkflowId(row.id, row.round),
        // One whose workflow was terminated, say, is told by another run of it.
        workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
        taskQueue: controlQueue,
        args: [request],
        staticSummary: `Tell ${row.webhook}: ${row.event} of ${row.subject}`,
      })
      .catch((thrown: unknown) => {
        if (!(thrown instanceof WorkflowExecutionAlreadyStartedError)) throw thrown;
      });
    await handedOver(db, row);
  }
}
