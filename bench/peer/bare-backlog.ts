import express from 'express';
import pg from 'pg';
import { rankBetween } from '../../domain/backlog/ranking';
import type { Sort } from '../../domain/backlog/item';
import type { ItemFilter } from '../../domain/backlog/schemas';
import { pageStatement } from '../../db/backlog/list';

/**
 * The same work by Express and pg alone, in a process of its own: the same statements on the same data, without a
 * token, a schema, a role, an audit of who asked or a view of the rows.
 */
const [url] = process.argv.slice(2) as [string];
const pool = new pg.Pool({ connectionString: url, max: 10, options: '-c role=signalbox_app' });
const app = express();
app.use(express.json());

app.post('/list', async (request, response) => {
  const { filter, sort, cursor } = request.body as { filter: ItemFilter; sort: Sort; cursor?: string };
  const { text, values } = pageStatement(filter, sort, 50, cursor);
  let n = 0;
  const { rows } = await pool.query(
    text.replace(/\?/g, () => `$${++n}`),
    values,
  );
  response.json({ items: rows.slice(0, 50) });
});

app.post('/items', async (request, response) => {
  const { title, owner, priority } = request.body as Record<string, string>;
  const { rows } = await pool.query(
    `INSERT INTO backlog_items (title, description, owner, priority, moved) VALUES ($1, '', $2, $3, '{"by":"bench"}') RETURNING *`,
    [title, owner, priority],
  );
  response.status(201).json(rows[0]);
});

app.post('/move', async (request, response) => {
  const { id, after } = request.body as { id: number; after: number };
  for (;;) {
    try {
      const { rows } = await pool.query(
        `SELECT a.rank AS anchor, (SELECT n.rank FROM backlog_items n WHERE n.rank > a.rank AND n.id <> $2
           ORDER BY n.rank LIMIT 1) AS next FROM backlog_items a WHERE a.id = $1`,
        [after, id],
      );
      const moved = await pool.query(
        `UPDATE backlog_items SET rank = $1, moved = '{"by":"bench"}', version = version + 1, updated_at = now()
          WHERE id = $2 RETURNING *`,
        [rankBetween(rows[0].anchor, rows[0].next), id],
      );
      response.json(moved.rows[0]);
      return;
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== '23505') throw thrown;
    }
  }
});

const server = app.listen(0, '127.0.0.1', () => process.send?.((server.address() as { port: number }).port));
// It ends with the benchmark, however that ends.
process.on('disconnect', () => process.exit());
