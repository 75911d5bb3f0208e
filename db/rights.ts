import type { Db } from './connect';

/**
 * What the login that Signalbox works by may do: read all of it, write rows and what changes of them, delete nothing but
 * what it remembered of requests. What is only ever added (audit, decisions, log lines) it can not change, of each row it
 * can not change who and what it is about, and no function of the database sees what it puts in front of it.
 */
export const applicationRole = 'signalbox_app';

/** Only ever added to. */
const appendOnly = [
  'audit',
  'authors',
  'decisions',
  'deployment_log',
  'submissions',
  'rank_renewals',
  'renewed_ranks',
];
/** Written by triggers alone. */
const byTriggers = ['audit', 'authors', 'change_words'];
const migrated = ['knex_migrations', 'knex_migrations_lock'];
/** The database's own clock says when. */
const stamped = [
  'created_at',
  'shipped_at',
  'kept_at',
  'log_removed_at',
  'decisions.at',
  'submissions.submitted_at',
  'deployments.signed',
];
/** Who and what a row is about stays as it was written. */
const fixed: Record<string, string[]> = {
  promotions: ['id', 'target', 'shipped_by'],
  change_requests: ['id', 'requester'],
  deployments: [
    'promotion',
    'attempt',
    'target',
    'trigger',
    'started_by',
    'reason',
    'request_id',
    'when_open',
    'incarnation',
  ],
  tokens: ['token_sha256', 'person', 'roles', 'label', 'kind', 'minted_by', 'expires_at'],
  sessions: ['token_sha256', 'person', 'kind', 'expires_at'],
  people: ['name'],
  deployment_windows: ['created_by'],
  window_overrides: ['deployment_window', 'promotion', 'reason', 'requested_by', 'expires_at'],
  words: [
    'deployment',
    'kind',
    'action',
    'said_by',
    'reason',
    'request',
    'change_request',
    'submission',
    'said',
  ],
  adoptions: ['id', 'target', 'adopted_by', 'reason', 'fence', 'request_id'],
  deployment_steps: ['deployment', 'name'],
  targets: ['name'],
  deliveries: ['webhook', 'event', 'subject', 'payload', 'born_in'],
  installation: ['only_row', 'id'],
  workflow_histories: ['deployment', 'workflow_id', 'run_id'],
};
/** Runs as who writes the row, because it asks who that is. */
const asWriter = ['keep_times', 'keep_ended', 'keep_target', 'keep_adoption', 'keep_counter'];
/** All that it may call. What triggers and these call runs as the owner, but for the last, which theirs call as who calls them. */
export const callable = [
  'record_audit',
  'seal_audit',
  'drop_logs',
  'standing_approvals',
  'own_part',
  'person_key',
  'put_by',
  'live_on',
  'release_before',
  'rank_since',
  'last_renewal',
  'place_of_rows',
  'current_incarnation',
  'tell_change_request',
  'authors_of',
  'tell',
  'words_of',
  'joined',
];

const list = (names: readonly string[]) => `ARRAY[${names.map((name) => `'${name}'`).join(', ')}]::text[]`;

/** After each change of the schema, so that what it adds is held the same way. */
export async function grantRights(owner: Db): Promise<void> {
  const { rows } = await owner.raw('SELECT 1 FROM pg_roles WHERE rolname = ?', [applicationRole]);
  if (rows.length === 0)
    await owner.raw(`CREATE ROLE ${applicationRole} NOLOGIN`).catch((thrown: unknown) => {
      // Made by another database of the same server in this moment.
      if (['42710', '23505'].includes((thrown as { code: string }).code)) return;
      throw new Error(
        `The role ${applicationRole} is missing and this login may not make it; let an administrator run "CREATE ROLE ${applicationRole}; GRANT ${applicationRole} TO <login>" once.`,
        { cause: thrown },
      );
    });
  await owner.raw(`
    GRANT USAGE ON SCHEMA public TO ${applicationRole};
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${applicationRole};
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM ${applicationRole};
    GRANT USAGE ON SEQUENCE backlog_places TO ${applicationRole};
    DO $rights$ DECLARE
      part record;
    BEGIN
      FOR part IN
        SELECT c.oid::regclass AS name, c.relname,
               string_agg(quote_ident(a.attname), ', ') FILTER (WHERE NOT stamped) AS insertable,
               string_agg(quote_ident(a.attname), ', ') FILTER (WHERE NOT stamped AND NOT fixed) AS updatable
          FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND a.attidentity = '' AND a.attgenerated = '',
               LATERAL (SELECT a.attname = ANY (${list(stamped)}) OR c.relname || '.' || a.attname = ANY (${list(stamped)}) AS stamped,
                               c.relname || '.' || a.attname = ANY (${list(Object.entries(fixed).flatMap(([table, names]) => names.map((name) => `${table}.${name}`)))}) AS fixed) f
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         GROUP BY c.oid, c.relname
      LOOP
        -- Of the whole table, and with it of each column.
        EXECUTE format('REVOKE INSERT, UPDATE ON %s FROM ${applicationRole}', part.name);
        CONTINUE WHEN part.relname = ANY (${list([...byTriggers, ...migrated])});
        EXECUTE format('GRANT INSERT (%s) ON %s TO ${applicationRole}', part.insertable, part.name);
        CONTINUE WHEN part.relname = ANY (${list(appendOnly)});
        EXECUTE format('GRANT UPDATE (%s) ON %s TO ${applicationRole}', part.updatable, part.name);
      END LOOP;
      -- Lines are written and read through the whole log; its parts are nobody's to touch.
      FOR part IN SELECT inhrelid::regclass AS name FROM pg_inherits WHERE inhparent = 'deployment_log'::regclass LOOP
        EXECUTE format('REVOKE ALL ON %s FROM ${applicationRole}', part.name);
      END LOOP;
      -- Temporary tables and other schemas hide nothing from a function, and triggers write as the owner.
      FOR part IN
        SELECT p.oid::regprocedure AS name, p.proname, p.prorettype = 'trigger'::regtype AND p.proname <> ALL (${list(asWriter)}) AS as_owner,
               EXISTS (SELECT 1 FROM unnest(p.proconfig) c WHERE c ~ '^search_path=.*pg_temp$') AS has_path
          FROM pg_proc p
         WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = current_user::regrole
           AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
      LOOP
        IF NOT part.has_path THEN EXECUTE format('ALTER FUNCTION %s SET search_path = public, pg_temp', part.name); END IF;
        IF part.as_owner THEN EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', part.name); END IF;
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, ${applicationRole}', part.name);
        IF part.proname = ANY (${list(callable)}) THEN
          EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO ${applicationRole}', part.name);
        END IF;
      END LOOP;
    END $rights$;
    GRANT DELETE ON idempotency_keys TO ${applicationRole};
  `);
}

/**
 * Nobody but the owner makes tables there, temporary ones included. At each start: a restored database allows it again.
 * Where this login may not take that away, functions hold by their own search path.
 */
export async function closeDatabase(owner: Db): Promise<void> {
  const { rows } = await owner.raw(
    `SELECT quote_ident(current_database()) AS name, has_database_privilege(?, current_database(), 'TEMP') AS temp,
            has_schema_privilege(?, 'public', 'CREATE') AS made`,
    [applicationRole, applicationRole],
  );
  const { name, temp, made } = rows[0] as { name: string; temp: boolean; made: boolean };
  if (temp) await owner.raw(`REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC, ${applicationRole}`);
  if (made) await owner.raw(`REVOKE CREATE ON SCHEMA public FROM PUBLIC, ${applicationRole}`);
  if (made) {
    const { rows: after } = await owner.raw(`SELECT has_schema_privilege(?, 'public', 'CREATE') AS made`, [
      applicationRole,
    ]);
    if ((after[0] as { made: boolean }).made)
      throw new Error(
        `Everybody may make functions in the schema public of this database, and so stand in front of Signalbox's own; let its owner run "REVOKE CREATE ON SCHEMA public FROM PUBLIC" once.`,
      );
  }
}
