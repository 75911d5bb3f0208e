import { appendFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Service } from '../domain/service-config';
import { auditHead, sealAudit, type Head } from '../db/audit';
import type { Db } from '../db/connect';
import type { Mark } from '../db/installation';
import { repeat, type Repeated } from './repeat';
import type { Stocktaking } from './stocktaking';

const sealEveryMs = 1_000;
const webhookTimeoutMs = 10_000;

/**
 * Seals what the audit trail has, about once a second, and sends the chain's head out of the database, to where
 * whoever could rewrite the whole chain can not reach. Any number of workers may do this side by side.
 * @param file where heads are appended, one JSON object a line.
 */
export function keepAudit(options: {
  db: Db;
  file: string;
  config: Service['audit'];
  stock: Stocktaking;
  log: Logger;
}): Repeated {
  const { db, file, config, stock, log } = options;
  let exported: Head | undefined;
  let exportAt = -Infinity;

  const seal = async () => {
    // Sealed first, what a restored database lacks would be taken for something that was written over.
    if (!(await stock.take())) exportAt = -Infinity;
    // Remembered at once, so that no restore in the next second goes unnoticed.
    if ((await sealAudit(db)) > 0) await stock.remember();
  };
  const exportNow = async () => {
    exportAt = performance.now() + config.everySeconds * 1000;
    const head = await auditHead(db);
    if (!head || head.hash === exported?.hash) return;
    const mark = (await stock.mark())!;
    await exportHead(mark, file, config.exportWebhook);
    exported = mark;
  };
  const pass = async () => {
    await seal();
    if (performance.now() >= exportAt) await exportNow();
  };
  // Entries wait, unsealed, until it goes again.
  const failed = 'the audit trail could not be sealed or exported; trying again';
  const sealing = repeat({ everyMs: sealEveryMs, log, failed, pass });
  return {
    async stop() {
      await sealing.stop();
      // What was written until now gets its seal and is exported, so that the next start finds a closed book.
      await seal()
        .then(exportNow)
        .catch(() => undefined);
    },
  };
}

async function exportHead(head: Mark, file: string, webhook: string | undefined): Promise<void> {
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
