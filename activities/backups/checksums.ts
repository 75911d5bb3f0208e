import type pg from 'pg';

/** What a PostgreSQL database holds: of each table how many rows, and a sum over them that does not depend on order. */
export type Summary = Record<string, string>;
/** Of each sequence its last value. Sequences belong to no transaction, so no snapshot holds them still. */
export type Sequences = Record<string, number>;

/** How values are written as text; the same in both databases. */
const settings = `
  SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'iso_8601'; SET TimeZone = 'UTC';
  SET extra_float_digits = 3; SET bytea_output = 'hex'; SET search_path = ''`;

/** Relations of one kind (`r`: tables, `S`: sequences) that belong to no extension. */
async function relations(client: pg.Client, kind: 'r' | 'S'): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = $1 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = c.oid
                           AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
      ORDER BY 1`,
    [kind],
  );
  return rows.map(({ name }) => name);
}

export async function summaryOf(client: pg.Client): Promise<Summary> {
  await client.query(settings);
  const one = async (query: string) => (await client.query<{ summary: string }>(query)).rows[0]!.summary;
  const summary: Summary = {};
  for (const name of await relations(client, 'r'))
    summary[name] = await one(
      `SELECT count(*) || ' rows, ' || coalesce(sum(pg_catalog.hashtextextended(t::text, 0)::numeric), 0) AS summary
         FROM ONLY ${name} t`,
    );
  const objects = await one(
    `SELECT count(*) || ' large objects, ' || coalesce(sum(pg_catalog.hashtextextended(
              pg_catalog.encode(pg_catalog.lo_get(oid), 'hex'), 0)::numeric), 0) AS summary
       FROM pg_catalog.pg_largeobject_metadata`,
  );
  return objects.startsWith('0 ') ? summary : { ...summary, 'large objects': objects };
}

export async function sequencesOf(client: pg.Client): Promise<Sequences> {
  const sequences: Sequences = {};
  for (const name of await relations(client, 'S')) {
    const { rows } = await client.query<{ value: string }>(`SELECT last_value AS value FROM ${name}`);
    sequences[name] = Number(rows[0]!.value);
  }
  return sequences;
}

/** In plain words, what is not the same. */
export const differences = (wanted: Summary, found: Summary): string[] =>
  [...new Set([...Object.keys(wanted), ...Object.keys(found)])]
    .filter((name) => wanted[name] !== found[name])
    .map((name) => `${name} has ${found[name] ?? 'nothing'}, not ${wanted[name] ?? 'nothing'}`);

/** The same for sequences, which were read before and after the dump: what is restored lies in between. */
export const outside = (before: Sequences, after: Sequences, found: Sequences): string[] =>
  Object.entries(before)
    .filter(([name]) => after[name] !== undefined)
    .filter(([name, first]) => {
      const [least, most] = [first, after[name]!].sort((a, b) => a - b) as [number, number];
      return found[name] === undefined || found[name] < least || found[name] > most;
    })
    .map(([name]) => `the sequence ${name} stands at ${found[name] ?? 'nothing'}, not at ${after[name]}`);
