import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

/** The bare peer of the log: the same columns in a table of its own, in one COPY. @returns lines per second. */
export async function copyLines(ownerUrl: string, lines: string[]): Promise<number> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    return await copy(client, lines);
  } finally {
    await client.end();
  }
}
async function copy(client: pg.Client, lines: string[]): Promise<number> {
  await client.query('DROP TABLE IF EXISTS bare_log');
  await client.query('CREATE TABLE bare_log (LIKE deployment_log INCLUDING ALL)');
  const started = performance.now();
  const at = new Date().toISOString();
  const rows = function* () {
    for (let n = 0; n < lines.length; n += 1_000)
      yield lines
        .slice(n, n + 1_000)
        .map((line, i) => `1\t${n + i + 1}\t${at}\tbuild\tout\t${line}\n`)
        .join('');
  };
  await pipeline(Readable.from(rows()), client.query(copyFrom('COPY bare_log FROM STDIN')));
  return (lines.length * 1000) / (performance.now() - started);
}
