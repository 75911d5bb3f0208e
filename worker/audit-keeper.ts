import { appendFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Service } from '../domain/service-config';
import { auditHead, sealAudit, type Head } from '../db/audit';
import type { Db } from '../db/connect';

/**
 * Seals what the audit trail has, about once a second, and sends the chain's head out of the database, to where
 * whoever could rewrite the whole chain can not reach. Any number of workers may do this side by side.
 */
export interface AuditKeeper {
  stop(): Promise<void>;
}
const sealEveryMs = 1_000;
const webhookTimeoutMs = 10_000;

/** @param file where heads are appended, one JSON object a line. */
export function keepAudit(options: {
  db: Db;
  file: string;
  config: Service['audit'];
  log: Logger;
}): AuditKeeper {
  const { db, file, config, log } = options;
  const stopping = new AbortController();
  let exported: Head | undefined;
  let exportAt = 0;

  const pass = async () => {
    await sealAudit(db);
    if (Date.now() < exportAt) return;
    exportAt = Date.now() + config.everySeconds * 1000;
    const head = await auditHead(db);
    if (!head || head.hash === exported?.hash) return;
    await exportHead(head, file, config.exportWebhook);
    exported = head;
  };
  const done = (async () => {
    let failing = false;
    while (!stopping.signal.aborted) {
      try {
        await pass();
        failing = false;
      } catch (thrown) {
        // Entries wait, unsealed, until it goes again; said once, not every second.
        if (!failing)
          log.warn({ err: thrown }, 'the audit trail could not be sealed or exported; trying again');
        failing = true;
      }
      await sleep(sealEveryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await done;
      // What was written until now gets its seal, so that the next start finds a closed book.
      await sealAudit(db).catch(() => undefined);
    },
  };
}

async function exportHead(head: Head, file: string, webhook: string | undefined): Promise<void> {
  const line = JSON.stringify({ at: new Date().toISOString(), ...head });
  await appendFile(file, `${line}\n`, { mode: 0o600 });
  if (!webhook) return;
  const answer = await fetch(webhook, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/json' },
    body: line,
    signal: AbortSignal.timeout(webhookTimeoutMs),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`the audit webhook answered ${answer.status}`);
}
