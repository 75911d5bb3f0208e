import { z } from 'zod';
import { epicOf } from '../../domain/backlog/item';
import { csvHead, csvOf, readFile } from '../../domain/backlog/file';
import {
  bulkBody,
  bulkView,
  filterQuery,
  importBody,
  importReport,
  type ItemFilter,
} from '../../domain/backlog/schemas';
import { SignalboxError } from '../../domain/errors';
import { parseItemKey } from '../../domain/keys';
import { importItems } from '../../db/backlog/import';
import { changeItems } from '../../db/backlog/items';
import { itemsByIds, listItems } from '../../db/backlog/list';
import type { ApiDeps } from '../deps';
import { route, TextStream, type Route } from '../route';
import { moveOf } from './items';

/** Many backlog items at once: changed together, imported, exported. */
export function bulkRoutes({ db }: ApiDeps): Route[] {
  async function* csvLines(filter: ItemFilter) {
    let head = csvHead;
    let cursor: string | undefined;
    do {
      const page = await listItems(db, filter, 'rank', 1_000, cursor);
      yield head + csvOf(page.items);
      head = '';
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  }
  return [
    route({
      method: 'post',
      path: '/backlog-items/bulk',
      summary: 'Change several items in one transaction: all of them or none',
      permission: 'backlog',
      body: bulkBody,
      answers: { status: 200, schema: bulkView },
      async handle(call) {
        const { items, reason } = call.body;
        const { epic, addLabels, removeLabels, ...fields } = call.body.set;
        const edit = { ...fields, ...epicOf(epic) };
        const relabel =
          addLabels || removeLabels
            ? (labels: string[]) =>
                [...new Set([...labels, ...(addLabels ?? [])])].filter((l) => !removeLabels?.includes(l))
            : undefined;
        const changes = new Map(
          items.map(({ key, version }) => [key, { id: parseItemKey(key), edit, relabel, version }]),
        );
        await call.once(async (tx) => {
          await changeItems(tx, [...changes.values()], reason, moveOf(call));
          return 'changed';
        });
        return {
          body: {
            items: await itemsByIds(
              db,
              [...changes.values()].map(({ id }) => id),
            ),
          },
        };
      },
    }),
    route({
      method: 'post',
      path: '/backlog-items/import',
      summary:
        'Import a CSV or JSON file, all of it or nothing; a dry run says line by line what would be done',
      permission: 'backlog',
      bodyLimit: 20_000_000,
      body: importBody,
      answers: { status: 200, schema: importReport },
      async handle(call) {
        const { format, content, mapping, dryRun, reason } = call.body;
        const file = await readFile(format, content, mapping);
        // The report is noted together with what it reports.
        const made = await call.once(async (tx) => {
          const found = await importItems(tx, file, {
            dryRun,
            reason: reason ?? 'imported from a file',
            move: moveOf(call),
          });
          if (found.refused > 0 && !dryRun) throw refused(found);
          return JSON.stringify(found);
        });
        return { body: JSON.parse(made) as unknown };
      },
    }),
    route({
      method: 'get',
      path: '/backlog-items/export',
      summary: 'The items that a filter finds, as CSV in the order of their rank; the import reads it again',
      permission: 'read',
      query: filterQuery,
      answers: { status: 200, schema: z.string().meta({ id: 'Csv' }), type: 'text/csv' },
      handle: ({ query }) => Promise.resolve({ body: new TextStream('text/csv', csvLines(query)) }),
    }),
  ];
}

function refused({ lines }: z.infer<typeof importReport>): SignalboxError {
  const wrong = lines.filter(({ action }) => action === 'refused');
  const first = wrong[0]!;
  return new SignalboxError(
    'import-refused',
    `${wrong.length} of ${lines.length} lines are refused, so nothing was imported. Line ${first.line}: ${first.says[0]!.replace(/\.$/, '')}.`,
    { lines: wrong.slice(0, 1_000) },
  );
}
