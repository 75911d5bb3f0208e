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

export interface LogPart {
  /** Lines with a greater `seq`. */
  after?: number;
  limit: number;
  /** The newest lines instead of the first. */
  tail?: boolean;
  stream?: NewLine['stream'];
}
/** Text of one part of a log, in bytes; a part has at least one line. */
const maxPartBytes = 1_048_576;

/** A part of a deployment's log, in order of `seq`; it ends early when its text would be over a MiB. */
export async function readLog(db: Db, deployment: number, { after = 0, limit, tail, stream }: LogPart) {
  const order = tail ? 'DESC' : 'ASC';
  const { rows } = await db.raw(
    `SELECT seq, at, step, stream, text
       FROM (SELECT *, sum(octet_length(text)) OVER (ORDER BY seq ${order}) - octet_length(text) AS before
               FROM (SELECT * FROM deployment_log WHERE deployment = ? AND seq > ? AND (? IN (stream, ''))
                      ORDER BY seq ${order} LIMIT ?) AS part) AS measured
      WHERE before < ? ORDER BY seq`,
    [deployment, after, stream ?? '', limit, maxPartBytes],
  );
  return (rows as (NewLine & { seq: number })[]).map((line) => ({ ...line, at: line.at.toISOString() }));
}
