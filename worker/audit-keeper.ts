import { appendFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Service } from '../domain/service-config';
import { auditHead, sealAudit, whyNotFrom, type Head } from '../db/audit';
import type { Db } from '../db/connect';
import type { Mark } from '../db/installation';
import { repeat, type Repeated } from './repeat';
import { lastExported, type Stocktaking } from './stocktaking';

const sealEveryMs = 1_000;
const webhookTimeoutMs = 10_000;

/**
 * Seals what the audit trail has, about once a second, and sends the chain's head out of the database, to where
 * whoever could rewrite the whole chain can not reach. Any number of workers may do this side by side.
 * @param file where heads are appended, one JSON object a line.
 * @param whyForged why no worker signed what an entry says of a restore.
 */
export function keepAudit(options: {
  db: Db;
  file: string;
  config: Service['audit'];
  stock: Stocktaking;
  whyForged(said: unknown): string | undefined;
  log: Logger;
}): Repeated {
  const { db, file, config, stock, whyForged, log } = options;
  let exported: Head | undefined;
  let exportAt = -Infinity;

  const seal = async () => {
    // Sealed first, what a restored database lacks would be taken for something that was written over.
    if (!(await stock.take())) exportAt = -Infinity;
    // Remembered at once, so that no restore in the next second goes unnoticed.
    if ((await sealAudit(db)) > 0) await stock.remember();
  };
  let rewritten: string | undefined;
  /** A chain that contradicts what was exported is not exported: that would bless it. @throws Error saying what was found. */
  const demandWhatWasExported = async () => {
    for (const known of [exported, await lastExported(file)]) {
      const why = known && (await whyNotFrom(db, known, whyForged));
      if (!why) continue;
      if (why !== rewritten)
        log.error(
          { why, head: known },
          'the audit trail contradicts what was exported of it; nothing is exported until that is explained: find out who owns the tables, and run "signalbox audit verify"',
        );
      rewritten = why;
      throw new Error(why);
    }
    rewritten = undefined;
  };
  const exportNow = async () => {
    exportAt = performance.now() + config.everySeconds * 1000;
    await demandWhatWasExported();
    const head = await auditHead(db);
    if (!head || head.hash === exported?.hash) return;
    const mark = await stock.mark();
    if (!mark)
      throw new Error('the audit trail contradicts what the state directory and Temporal know of it');
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
