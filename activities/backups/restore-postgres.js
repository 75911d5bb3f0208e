'use strict';
/**
 * Puts a PostgreSQL database back as a dump has it: in one transaction drops all that it holds and makes it anew. The
 * transaction is committed only when pg_restore has told everything, so that a dump that ends early changes nothing.
 *
 * Input (argv[2], JSON): {file, pgRestore, psql}; the database by PGHOST and its like.
 */
const { spawn } = require('node:child_process');
const { pipeline } = require('node:stream/promises');

const { file, pgRestore, psql } = JSON.parse(process.argv[2]);

// The public schema is made by every database itself, so the dump does not make it; its owner and grants are kept.
const empty = `
BEGIN;
SET LOCAL lock_timeout = '60s';
SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata;
DO $signalbox$
DECLARE
  schema record;
  granted record;
  kept record;
BEGIN
  SELECT pg_get_userbyid(nspowner) AS owner, nspacl AS acl INTO kept FROM pg_namespace WHERE nspname = 'public';
  FOR schema IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', schema.nspname);
  END LOOP;
  IF kept.owner IS NOT NULL THEN
    CREATE SCHEMA public;
    EXECUTE format('ALTER SCHEMA public OWNER TO %I', kept.owner);
    FOR granted IN SELECT grantee, privilege_type FROM aclexplode(kept.acl) LOOP
      EXECUTE format('GRANT %s ON SCHEMA public TO %s', granted.privilege_type,
        CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END);
    END LOOP;
  END IF;
END $signalbox$;
`;

const ended = (child, name) =>
  new Promise((resolve, reject) => {
    child.once('error', (thrown) => reject(new Error(`${name} could not be started: ${thrown.message}`)));
    child.once('close', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${name} ended with ${signal ?? code}; nothing was changed`)),
    );
  });

async function main() {
  const writer = spawn(
    psql,
    ['--no-psqlrc', '--quiet', '--no-password', '--set=ON_ERROR_STOP=1', '--output=/dev/null'],
    {
      stdio: ['pipe', 'inherit', 'inherit'],
    },
  );
  const written = ended(writer, 'psql');
  written.catch(() => undefined);
  writer.stdin.on('error', () => undefined);
  writer.stdin.write(empty);
  const reader = spawn(pgRestore, ['--file=-', '--no-publications', '--no-subscriptions', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const read = ended(reader, 'pg_restore');
  await Promise.all([read, pipeline(reader.stdout, writer.stdin, { end: false })]);
  writer.stdin.end('\nCOMMIT;\n');
  await written;
  process.stdout.write(`restored ${file}\n`);
}

main().catch((thrown) => {
  process.stderr.write(`${thrown.message}\n`);
  process.exit(1);
});
