import fc from 'fast-check';

/**
 * Values of the edge for each field of what the API takes, by the schemas of its OpenAPI document: what every library
 * behind has an opinion of its own on.
 */
export interface Schema {
  type?: string | string[];
  format?: string;
  minimum?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  enum?: unknown[];
  const?: unknown;
  items?: Schema;
  anyOf?: Schema[];
  /** As Zod says that a field tells which. */
  oneOf?: Schema[];
  $ref?: string;
}

const edges = {
  text: ['a\0b', '\ud800', '\u202e\ufeff\uffff\u{10ffff}', 'x'.repeat(10_001)],
  instant: [
    ...[
      '0000-01-01T00:00:00Z',
      '0001-01-01T00:00:00Z',
      '9999-12-31T23:59:59.999999999Z',
      '-000001-01-01T00:00:00Z',
    ],
    ...['+010000-01-01T00:00:00Z', '2026-02-29T00:00:00Z', '2026-01-01T24:00:00Z', '2026-06-30T23:59:60Z'],
  ],
  day: [
    '0000-01-01',
    '0000-02-29',
    '0001-01-01',
    '9999-12-31',
    '2026-02-30',
    '10000-01-01',
    'infinity',
    'epoch',
  ],
  number: [0, -1, 0.5, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 1e308],
  revision: [
    ':/x',
    ':/(a{1,255}){1,255}',
    'v1^{/x}',
    '^v1',
    'v1..v2',
    'v1^!',
    '@',
    '@{-1}',
    'HEAD',
    'FETCH_HEAD',
    '--all',
  ],
};
/** Recurrence rules that are nearly ones: every part, with values of the edge. */
const part = (name: string, ...values: string[]) =>
  fc
    .subarray(values, { minLength: 1, maxLength: Math.min(3, values.length) })
    .map((some) => `${name}=${some.join(',')}`);
const ruleLike = fc
  .tuple(
    part('FREQ', 'DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY', 'HOURLY', 'X').map((text) => text.split(',')[0]!),
    fc.array(
      fc.oneof(
        part('BYHOUR', '0', '23', '24', '-1', '6-24', '99', ''),
        part('BYDAY', 'MO', '1MO', '-1FR', '54SU', 'XX', '0TU'),
        part('BYMONTHDAY', '1', '30', '31', '-31', '32', '0'),
        part('BYMONTH', '2', '12', '13', '0', '-1'),
        part('BYYEARDAY', '1', '366', '-366', '367'),
        part('BYWEEKNO', '1', '53', '-53', '54'),
        part('BYSETPOS', '1', '-300', '366', '0'),
        part('COUNT', '1', '1000000000', '0', '-1', '99999999999999999999'),
        part('INTERVAL', '1', '1000', '1001', '0', '-1'),
        part('WKST', 'MO', 'XX'),
        part('UNTIL', '20261231', '00000101', '20261231T000000Z', '20261399', '99991231T235959Z'),
      ),
      { maxLength: 4 },
    ),
  )
  .map(([first, rest]) => [first, ...rest].join(';'));

const digest = 'a'.repeat(64);

const kindsOf = ({ anyOf, oneOf }: Schema) => anyOf ?? oneOf;

/** @param schemas those that others refer to. */
export function createEdges(schemas: Record<string, Schema>, seed: number) {
  /** What a field takes, by its name or its schema. */
  const usual = (schema: Schema, name = ''): unknown => {
    const byName: Record<string, unknown> = {
      ...{
        target: 'shop',
        revision: 'v1',
        start: '2026-01-05T20:00',
        timeZone: 'Europe/Berlin',
        roles: ['sre'],
      },
      ...{ environment: undefined, until: undefined, exceptDates: undefined, rrule: 'FREQ=DAILY', scope: {} },
      ...{ recipe: digest, release: digest, sha256: digest, acts: digest, epic: null, before: undefined },
      ...{
        key: 'ITEM-1',
        promotion: 'CP-1',
        format: 'csv',
        content: 'title\na',
        person: 'zoe',
        replaces: undefined,
      },
      ...{ durationMinutes: 1, status: undefined, backlogItems: [], blockedBy: undefined },
    };
    if (Object.hasOwn(byName, name) && !(name === 'start' && schema.format)) return byName[name];
    if (schema.$ref) return usual(schemas[schema.$ref.split('/').at(-1)!]!, name);
    if (schema.const !== undefined) return schema.const;
    if (schema.enum) return schema.enum[0];
    const kinds = kindsOf(schema);
    if (kinds) return usual(kinds[0]!, name);
    const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
    if (type === 'object')
      return Object.fromEntries(
        (schema.required ?? []).map((field) => [field, usual(schema.properties![field]!, field)]),
      );
    if (type === 'array') return [usual(schema.items ?? {}, name)];
    if (type === 'integer' || type === 'number') return Math.max(schema.minimum ?? 1, 1);
    if (type === 'boolean') return false;
    if (type === 'null') return null;
    return schema.format === 'date-time'
      ? '2030-01-01T00:00:00Z'
      : schema.format === 'date'
        ? '2030-01-01'
        : 'x';
  };
  /** Every field of a schema, by its path. */
  function leaves(schema: Schema, path: string[] = []): { path: string[]; schema: Schema }[] {
    if (schema.$ref) return leaves(schemas[schema.$ref.split('/').at(-1)!]!, path);
    const kinds = kindsOf(schema);
    if (kinds) return kinds.flatMap((one) => leaves(one, path));
    if (schema.properties)
      return Object.entries(schema.properties).flatMap(([name, s]) => leaves(s, [...path, name]));
    if (schema.type === 'array') return leaves(schema.items ?? {}, [...path, '0']);
    return schema.enum || schema.const !== undefined || schema.type === 'null' ? [] : [{ path, schema }];
  }
  function edgesOf({ path, schema }: { path: string[]; schema: Schema }): unknown[] {
    const name = path.findLast((part) => part !== '0') ?? '';
    if (schema.type === 'integer' || schema.type === 'number') return edges.number;
    if (schema.type !== 'string') return [];
    if (name === 'rrule') return fc.sample(ruleLike, { numRuns: 30, seed });
    if (name === 'revision') return [...edges.text, ...edges.revision];
    if (schema.format === 'date-time') return edges.instant;
    if (schema.format === 'date') return edges.day;
    if (['start', 'until', 'exceptDates'].includes(name))
      return edges.day.flatMap((day) => [day, `${day}T00:00`, `${day}T24:00`]);
    return edges.text;
  }
  /** A copy with this at that path; what is needed on the way is what is usual. */
  function withEdge(schema: Schema, value: unknown, path: string[], edge: unknown): unknown {
    const [first, ...rest] = path;
    if (first === undefined) return edge;
    if (schema.$ref) return withEdge(schemas[schema.$ref.split('/').at(-1)!]!, value, path, edge);
    const one = kindsOf(schema)?.find((s) => leaves(s).some((leaf) => leaf.path.join() === path.join()));
    if (one) return withEdge(one, usual(one), path, edge);
    if (first === '0') return [withEdge(schema.items!, usual(schema.items!), rest, edge)];
    const field = schema.properties![first]!;
    return { ...(value as object), [first]: withEdge(field, usual(field, first), rest, edge) };
  }
  return { usual, leaves, edgesOf, withEdge };
}
