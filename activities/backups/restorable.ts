import type pg from 'pg';
import type { Summary } from './checksums';

/**
 * Whether a database can be put back by the login that backs it up: a restore drops what the database holds and makes it
 * again, with its owners and grants. Asked of the database itself, because a scratch database belongs to whoever made it.
 */
export interface Restorable {
  /** In plain words, what the login could not put back. */
  refused: string[];
  /** What a proof says nothing about. */
  notCompared: string[];
}

const own = (catalogue: string, oid = 'o.oid') =>
  `NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND d.objid = ${oid} AND d.classid = '${catalogue}'::regclass)`;
const ours = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
const notMine = (owner: string) => `NOT pg_has_role(${owner}, 'MEMBER')`;
const belongs = (what: string, owner: string) =>
  `SELECT ${what} || ' belongs to ' || quote_ident(pg_get_userbyid(${owner})) AS line`;

const refusals = [
  `${belongs("'the schema ' || quote_ident(n.nspname)", 'n.nspowner')} FROM pg_namespace n WHERE ${ours} AND ${notMine('n.nspowner')}`,
  `${belongs("'the relation ' || o.oid::regclass", 'o.relowner')} FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
    WHERE ${ours} AND o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND ${notMine('o.relowner')} AND ${own('pg_class')}`,
  `${belongs("'the function ' || o.oid::regprocedure", 'o.proowner')} FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace
    WHERE ${ours} AND ${notMine('o.proowner')} AND ${own('pg_proc')}`,
  `${belongs("'the type ' || o.oid::regtype", 'o.typowner')} FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace
    WHERE ${ours} AND o.typrelid = 0 AND o.typelem = 0 AND ${notMine('o.typowner')} AND ${own('pg_type')}`,
  `${belongs("'the large object ' || o.oid", 'o.lomowner')} FROM pg_largeobject_metadata o WHERE ${notMine('o.lomowner')}`,
  `${belongs("'the publication ' || quote_ident(o.pubname)", 'o.pubowner')} FROM pg_publication o
    WHERE NOT o.puballtables AND ${notMine('o.pubowner')}`,
  `${belongs("'the foreign server ' || quote_ident(o.srvname)", 'o.srvowner')} FROM pg_foreign_server o
    WHERE ${notMine('o.srvowner')} AND ${own('pg_foreign_server')}`,
  `SELECT 'default privileges are those of ' || quote_ident(pg_get_userbyid(o.defaclrole)) AS line FROM pg_default_acl o
    WHERE ${notMine('o.defaclrole')}`,
  `SELECT 'the extension ' || quote_ident(o.extname) || ' needs a superuser to be made again' AS line FROM pg_extension o
     LEFT JOIN pg_available_extension_versions v ON v.name = o.extname AND v.version = o.extversion
    WHERE o.extname <> 'plpgsql' AND NOT coalesce(v.trusted OR NOT v.superuser, false)
      AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)`,
  `SELECT 'the event trigger ' || quote_ident(o.evtname) || ' needs a superuser to be made again' AS line FROM pg_event_trigger o
    WHERE ${own('pg_event_trigger')} AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)`,
  `SELECT 'schemas cannot be made again, because the login has no CREATE on the database' AS line
    WHERE NOT has_database_privilege(current_database(), 'CREATE')`,
];

const unseen = [
  `SELECT 'the contents of the materialized view ' || o.oid::regclass AS line FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
    WHERE ${ours} AND o.relkind = 'm' AND ${own('pg_class')}`,
  `SELECT 'the subscription ' || quote_ident(o.subname) || ', which a restore leaves as it is (refresh it then)' AS line
     FROM pg_subscription o WHERE o.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  `SELECT 'the version of the extension ' || quote_ident(o.extname) || ', which would be ' || a.default_version || ' and is ' || o.extversion AS line
     FROM pg_extension o JOIN pg_available_extensions a ON a.name = o.extname WHERE a.default_version <> o.extversion`,
];

export async function restorable(client: pg.Client): Promise<Restorable> {
  const ask = async (queries: string[]) => {
    const lines: string[] = [];
    for (const query of queries)
      lines.push(
        ...(await client.query<{ line: string }>(`${query} ORDER BY 1`)).rows.map(({ line }) => line),
      );
    return lines;
  };
  return { refused: await ask(refusals), notCompared: await ask(unseen) };
}

/** Publications of all tables; a restore never drops them, so they need not be made again. */
export const keptPublications = async (client: pg.Client): Promise<string[]> =>
  (
    await client.query<{ pubname: string }>(
      'SELECT pubname FROM pg_publication WHERE puballtables ORDER BY 1',
    )
  ).rows.map(({ pubname }) => pubname);

/** Owners and grants, publications and extensions: what is in a database besides its rows. Roles belong to a server. */
export async function rightsOf(client: pg.Client): Promise<Summary> {
  const rights = (acl: string, kind: string, owner: string) =>
    `quote_ident(pg_get_userbyid(${owner})) || ' as its owner, granted ' || coalesce((
       SELECT string_agg(format('%s to %s', privilege_type, CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee)::text END)
                || CASE WHEN is_grantable THEN ' with grant option' ELSE '' END, ', ' ORDER BY grantee, privilege_type)
         FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner})))), 'nothing')`;
  const { rows } = await client.query<{ name: string; value: string }>(`
    SELECT 'the schema ' || quote_ident(n.nspname) AS name, ${rights('n.nspacl', 'n', 'n.nspowner')} AS value
      FROM pg_namespace n WHERE ${ours}
    UNION ALL SELECT 'the relation ' || format('%I.%I', n.nspname, o.relname),
        CASE o.relkind WHEN 'S' THEN ${rights('o.relacl', 's', 'o.relowner')} ELSE ${rights('o.relacl', 'r', 'o.relowner')} END
      FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
      WHERE ${ours} AND o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND ${own('pg_class')}
    UNION ALL SELECT 'the column ' || format('%I.%I.%I', n.nspname, o.relname, a.attname), a.attacl::text
      FROM pg_attribute a JOIN pg_class o ON o.oid = a.attrelid JOIN pg_namespace n ON n.oid = o.relnamespace
      WHERE ${ours} AND a.attacl IS NOT NULL AND ${own('pg_class')}
    UNION ALL SELECT 'the function ' || format('%I.%I(%s)', n.nspname, o.proname, pg_get_function_identity_arguments(o.oid)),
        ${rights('o.proacl', 'f', 'o.proowner')}
      FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE ${ours} AND ${own('pg_proc')}
    UNION ALL SELECT 'the large object ' || o.oid, ${rights('o.lomacl', 'L', 'o.lomowner')} FROM pg_largeobject_metadata o
    UNION ALL SELECT 'default privileges of ' || pg_get_userbyid(o.defaclrole) || ' for ' || o.defaclobjtype::text || ' in ' || coalesce(n.nspname, 'all'),
        o.defaclacl::text FROM pg_default_acl o LEFT JOIN pg_namespace n ON n.oid = o.defaclnamespace
    UNION ALL SELECT 'the publication ' || quote_ident(p.pubname), coalesce((
        SELECT string_agg(to_jsonb(t)::text, ', ' ORDER BY to_jsonb(t)::text) FROM pg_publication_tables t WHERE t.pubname = p.pubname), 'no tables')
      FROM pg_publication p WHERE NOT p.puballtables
    UNION ALL SELECT 'the extension ' || quote_ident(e.extname), 'to be there' FROM pg_extension e`);
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}
