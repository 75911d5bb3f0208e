import type { Db } from './connect';

export interface NewLine {
  at: Date;
  step: string;
  stream: 'out' | 'err' | 'note';
  text: string;
}

/**
 * Appends lines to a deployment's log. Numbers are taken from a counter under the row's lock, in the same
 * transaction, so that `seq` is 1..n without gaps whatever fails.
 */
export async function appendLog(db: Db, deployment: number, lines: NewLine[]): Promise<void> {
  if (lines.length === 0) return;
  await db.transaction(async (tx) => {
    const [row] = await tx('deployments')
      .where({ id: deployment })
      .update({ log_seq: tx.raw('log_seq + ?', [lines.length]) })
      .returning('log_seq');
    const first = (row as { log_seq: number }).log_seq - lines.length + 1;
    await tx.raw(
      `INSERT INTO deployment_log (deployment, seq, at, step, stream, text)
       SELECT ?, ? + n - 1, at, step, stream, text
       FROM unnest(?::timestamptz[], ?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS l (at, step, stream, text, n)`,
      [
        deployment,
        first,
        lines.map((l) => l.at.toISOString()),
        lines.map((l) => l.step),
        lines.map((l) => l.stream),
        lines.map((l) => l.text),
      ],
    );
  });
}

/** Lines with `seq` greater than `after`, at most `limit`, in order. */
export async function readLog(db: Db, deployment: number, after: number, limit: number) {
  const rows = await db('deployment_log')
    .where({ deployment })
    .andWhere('seq', '>', after)
    .orderBy('seq')
    .limit(limit);
  return (rows as (NewLine & { seq: number })[]).map((r) => ({
    seq: r.seq,
    at: r.at.toISOString(),
    step: r.step,
    stream: r.stream,
    text: r.text,
  }));
}
