import { parse } from 'csv-parse';
import { stringify } from 'csv-stringify/sync';
import { badInput, SignalboxError } from '../errors';
import { whyTooMuch } from '../input';
import { sentences } from '../sentences';
import { problemText, problemsOf } from '../strict';
import { importedItem, type ImportedItem, type ItemView, type Mapping } from './schemas';

/** Backlog items as files: what a file's lines say, and a file of items. */
export const importFields = Object.keys(importedItem.shape) as (keyof ImportedItem)[];
export const mostLines = 10_000;
export const mostColumns = 200;
/** Of one line of a file, with what quotes add; its longest field has 20,000. */
const mostCharsOfLine = 100_000;
/** Of a JSON file, which is read at once: all items with twice the fields that one has. */
const mostValues = 250_000;
/** So much is read at once; then others are answered. */
const chunkBytes = 65_536;
const chunkLines = 200;
/** Lets whatever waits be done first. */
const others = () => new Promise<void>((resolve) => setImmediate(resolve));

export interface ImportLine {
  /** Line of the file on which it begins; of JSON the number of the entry. */
  line: number;
  /** What it says; undefined when it can not be read. */
  item?: ImportedItem;
  problems: string[];
}
export interface ImportFile {
  lines: ImportLine[];
  ignoredColumns: string[];
}

/**
 * Reads a file in parts, so that a large one holds nobody up, and no further than it is certain to be refused.
 * @throws invalid-input when the file as a whole can not be read, or the mapping does not fit it.
 */
export async function readFile(
  format: 'csv' | 'json',
  content: string,
  mapping: Mapping,
): Promise<ImportFile> {
  const { columns, rows } = format === 'csv' ? await csvRows(content) : jsonRows(content);
  if (rows.length > mostLines)
    throw badInput(`The file has more than ${mostLines} items; import at most ${mostLines} at once.`);
  const fieldOf = fieldsOf(columns, mapping.columns);
  const read = ({ line, cells, problem }: Row): ImportLine => {
    if (problem) return { line, problems: [problem] };
    const input: Record<string, unknown> = {};
    for (const [column, field] of fieldOf) {
      const value = valueOf(field, cells.get(column), mapping);
      if (value !== undefined) input[field] = value;
    }
    const parsed = importedItem.safeParse(input);
    return parsed.success
      ? { line, item: parsed.data, problems: [] }
      : { line, problems: problemText(problemsOf(parsed.error, input)).split('\n') };
  };
  const lines: ImportLine[] = [];
  for (const [n, row] of rows.entries()) {
    if (n % chunkLines === chunkLines - 1) await others();
    lines.push(read(row));
  }
  return { lines, ignoredColumns: columns.filter((column) => !fieldOf.has(column)) };
}

interface Row {
  line: number;
  cells: Map<string, unknown>;
  problem?: string;
}

const tooWide = (columns: number) =>
  badInput(`The file has ${columns} columns; take out those that are no fields: at most ${mostColumns}.`);

interface CsvRecord {
  record: string[];
  info: { lines: number };
  raw: string;
}
async function csvRecords(content: string): Promise<CsvRecord[]> {
  const records: CsvRecord[] = [];
  const parser = parse({
    bom: true,
    info: true,
    raw: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: mostCharsOfLine,
  });
  const ended = new Promise<void>((resolve, reject) => parser.once('end', resolve).once('error', reject));
  ended.catch(() => undefined);
  parser.on('data', (record: CsvRecord) => records.push(record));
  const bytes = Buffer.from(content);
  try {
    for (let at = 0; at < bytes.length && !parser.destroyed; at += chunkBytes) {
      parser.write(bytes.subarray(at, at + chunkBytes));
      await others();
      if (records.length > mostLines + 1 || (records[0]?.record.length ?? 0) > mostColumns) return records;
    }
    if (!parser.destroyed) parser.end();
    await ended;
    return records;
  } finally {
    parser.destroy();
  }
}

async function csvRows(content: string): Promise<{ columns: string[]; rows: Row[] }> {
  const records = await csvRecords(content).catch((thrown: unknown) => {
    if (thrown instanceof SignalboxError) throw thrown;
    throw badInput(`The file is no CSV: ${(thrown as Error).message.slice(0, 300)}`);
  });
  const [head, ...body] = records;
  if (!head) throw badInput('The file is empty; its first line has to name the columns.');
  if (head.record.length > mostColumns) throw tooWide(head.record.length);
  const columns = head.record.map((name) => name.trim());
  const twice = columns.find((name, n) => columns.indexOf(name) !== n);
  if (twice !== undefined) throw badInput(`The file has two columns "${twice}"; rename one of them.`);
  return {
    columns,
    rows: body.map(({ record, info, raw }) => ({
      // Counted at its end.
      line: info.lines - raw.trim().split('\n').length + 1,
      cells: new Map(record.slice(0, columns.length).map((cell, n) => [columns[n]!, cell])),
      ...(record.length === columns.length
        ? {}
        : { problem: `has ${record.length} cells, the first line names ${columns.length} columns` }),
    })),
  };
}

function jsonRows(content: string): { columns: string[]; rows: Row[] } {
  const why = whyTooMuch(content, mostValues);
  if (why) throw badInput(sentences(`The file ${why}`));
  let entries: unknown;
  try {
    entries = JSON.parse(content.replace(/^\uFEFF/, ''));
  } catch (thrown) {
    throw badInput(`The file is no JSON: ${(thrown as Error).message.slice(0, 300)}`);
  }
  if (!Array.isArray(entries)) throw badInput('The file has to be a JSON array of items.');
  const isObject = (entry: unknown): entry is object =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry);
  const columns = new Set<string>();
  for (const entry of entries) {
    if (isObject(entry)) for (const name in entry) columns.add(name);
    if (columns.size > mostColumns) throw tooWide(columns.size);
  }
  return {
    columns: [...columns],
    rows: entries.map((entry: unknown, n) =>
      isObject(entry)
        ? { line: n + 1, cells: new Map(Object.entries(entry)) }
        : { line: n + 1, cells: new Map(), problem: 'is no object' },
    ),
  };
}

/** The file's columns that become fields. */
function fieldsOf(columns: string[], mapped: Mapping['columns']): Map<string, keyof ImportedItem> {
  const fields = new Map<string, keyof ImportedItem>();
  const known = (name: string) => importFields.find((field) => field.toLowerCase() === name.toLowerCase());
  if (mapped) {
    const count = Object.keys(mapped).length;
    if (count > importFields.length)
      throw badInput(`mapping: it names ${count} columns, and an item has ${importFields.length} fields.`);
    for (const [column, name] of Object.entries(mapped)) {
      const field = known(name);
      if (!field)
        throw badInput(`mapping: "${name}" is no field of an item; there are ${importFields.join(', ')}.`);
      if (!columns.includes(column))
        throw badInput(
          `mapping: the file has no column "${column}"; it has ${
            columns
              .map((name) => `"${name}"`)
              .join(', ')
              .slice(0, 500) || 'none'
          }.`,
        );
      fields.set(column, field);
    }
  } else
    for (const column of columns) {
      const field = known(column);
      if (field) fields.set(column, field);
    }
  const twice = [...fields.values()].find((field, n, all) => all.indexOf(field) !== n);
  if (twice) throw badInput(`Two columns become ${twice}; map one of them.`);
  if (fields.size === 0)
    throw badInput(
      `No column becomes a field of an item. Name them ${importFields.join(', ')}, or say which is which in mapping.columns (--map on the command line).`,
    );
  return fields;
}

/** What a cell says; undefined: nothing. An empty one takes away what may be missing. */
function valueOf(field: keyof ImportedItem, cell: unknown, { values }: Mapping): unknown {
  if (cell === undefined) return undefined;
  const emptied = { epic: null, owner: null, dueDate: null, labels: [], description: '' };
  if (cell === null || cell === '')
    return field in emptied ? emptied[field as keyof typeof emptied] : undefined;
  if (typeof cell !== 'string') return cell;
  const text = cell.startsWith("'") && formula.test(cell) ? cell.slice(1) : cell;
  if (field === 'labels')
    return text
      .split(/[;,]/)
      .map((label) => label.trim())
      .filter((label) => label !== '');
  if (field === 'status' || field === 'priority') {
    const given = values?.[field];
    return given && Object.hasOwn(given, text) ? given[text] : text;
  }
  return text;
}

/** What a spreadsheet would read as a formula, and what looks like such a cell behind its apostrophe. */
const formula = /^'*[=+\-@\t\r\uFF0B\uFF0D\uFF1D\uFF20]/;

const exported = [
  'key',
  'externalId',
  'title',
  'status',
  'priority',
  'epic',
  'owner',
  'dueDate',
  'labels',
  'description',
] as const;
export const csvHead = `${exported.join(',')}\n`;
/** Lines of a CSV file that `readFile` reads again. */
export const csvOf = (items: readonly ItemView[]): string =>
  stringify(
    items.map((item) =>
      exported
        .map((field) => (field === 'labels' ? item.labels.join(';') : (item[field] ?? '')))
        .map((cell) => (formula.test(cell) ? `'${cell}` : cell)),
    ),
  );
