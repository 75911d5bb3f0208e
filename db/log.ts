import type { Db } from './connect';

export interface NewLine {
  at: Date;
  stream: 'out' | 'err' | 'note';
  text: string;
}

/**
 * Appends a step's lines to its deployment's log. Numbers are taken from a counter under the row's lock, in the same
 * statement, so that `seq` is 1..n without gaps whatever fails.
 */
export async function appendLog(db: Db, deployment: number, step: string, lines: NewLine[]): Promise<void> {
  if (lines.length === 0) return;
  await db.raw(
    `WITH counted AS (UPDATE deployments SET log_seq = log_seq + ? WHERE id = ? RETURNING log_seq)
     INSERT INTO deployment_log (deployment, seq, at, step, stream, text)
     SELECT ?, log_seq - ? + n, at::timestamptz, ?, stream, text
       FROM counted, ROWS FROM (json_array_elements_text(?), json_array_elements_text(?),
                                json_array_elements_text(?)) WITH ORDINALITY AS lines (at, stream, text, n)`,
    [
      lines.length,
      deployment,
      deployment,
      lines.length,
      step,
      JSON.stringify(lines.map((l) => l.at)),
      JSON.stringify(lines.map((l) => l.stream)),
      JSON.stringify(lines.map((l) => l.text)),
    ],
  );
}

export interface LogPart {
  /** Lines with a greater `seq`. */
  after?: number;
  limit: number;
  /** The newest lines instead of the first. */
  tail?: boolean;
  stream?: NewLine['stream'];
  /** Lines of this step alone. */
  step?: string;
  /** Lines with this text alone, whatever its case. */
  contains?: string;
}
/** Colours stand between letters that are sought together. */
const uncoloured =
  "CASE WHEN strpos(text, chr(27)) = 0 THEN text ELSE regexp_replace(text, '\\x1b\\[[0-9;:]*m', '', 'g') END";
/** Text of one part of a log, in bytes; a part has at least one line. */
const maxPartBytes = 1_048_576;

/** A part of a deployment's log, in order of `seq`; it ends early when its text would be over a MiB. */
export async function readLog(
  db: Db,
  deployment: number,
  { after = 0, limit, tail, stream, step, contains }: LogPart,
) {
  const order = tail ? 'DESC' : 'ASC';
  const sought = Boolean(stream ?? step ?? contains);
  // `seq` has no gaps, so that which lines are meant is known before any is read: however long the log is, no more are.
  const [range, ...bounds] = sought
    ? [
        `seq > ? AND ? IN (stream, '') AND ? IN (step, '') AND strpos(lower(${uncoloured}), lower(?)) > 0`,
        after,
        stream ?? '',
        step ?? '',
        contains ?? '',
      ]
    : tail
      ? ['seq > greatest(?, (SELECT log_seq FROM deployments WHERE id = ?) - ?)', after, deployment, limit]
      : ['seq > ? AND seq <= ?::bigint + ?', after, after, limit];
  const { rows } = await db.raw(
    `SELECT seq, at, step, stream, text
       FROM (SELECT *, sum(octet_length(text)) OVER (ORDER BY seq ${order}) - octet_length(text) AS before
               FROM (SELECT * FROM deployment_log WHERE deployment = ? AND ${range}
                      ORDER BY seq ${order} LIMIT ?) AS part) AS measured
      WHERE before < ? ORDER BY seq`,
    [deployment, ...bounds, limit, maxPartBytes],
  );
  return (rows as (NewLine & { seq: number; step: string })[]).map((line) => ({
    ...line,
    at: line.at.toISOString(),
  }));
}
