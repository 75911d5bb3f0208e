'use strict';
/**
 * Puts a PostgreSQL database back as a dump has it: in one transaction drops all that it holds and makes it anew. The
 * transaction is committed only when pg_restore has told everything, so that a dump that ends early changes nothing.
 *
 * Publications of all tables, and those of others, are not dropped and so not made again; subscriptions stay as they are.
 *
 * Input (argv[2], JSON): {file, pgRestore, psql, socket: more of psql's connection}; the database by PGHOST and its like. For a proof also: kept (publications
 * that are never made), args (more of pg_restore's), rehearse (in the end nothing is changed).
 */
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');
const { Transform } = require('node:stream');
const { pipeline } = require('node:stream/promises');

const { file, pgRestore, psql, socket, kept = [], args = [], rehearse = false } = JSON.parse(process.argv[2]);

// The public schema is made by every database itself, so the dump does not make it; its owner and grants are kept.
const empty = `
BEGIN;
SET LOCAL lock_timeout = '60s';
SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata;
DO $signalbox$
DECLARE
  schema record;
  other record;
  granted record;
  kept record;
BEGIN
  SELECT pg_get_userbyid(nspowner) AS owner, nspacl AS acl INTO kept FROM pg_namespace WHERE nspname = 'public';
  FOR other IN SELECT pubname FROM pg_publication WHERE NOT puballtables AND pg_has_role(pubowner, 'MEMBER') LOOP
    EXECUTE format('DROP PUBLICATION %I', other.pubname);
  END LOOP;
  FOR other IN SELECT srvname FROM pg_foreign_server s WHERE NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.deptype = 'e' AND d.objid = s.oid AND d.classid = 'pg_foreign_server'::regclass) LOOP
    EXECUTE format('DROP SERVER %I CASCADE', other.srvname);
  END LOOP;
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

const outputOf = (program, ...rest) => {
  const { status, stdout, stderr, error } = spawnSync(program, rest, {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  if (status !== 0)
    throw new Error(`${program} failed, nothing was changed: ${error?.message ?? stderr.trim()}`);
  return stdout;
};

/** The dump's table of contents, without what stays. */
function contents() {
  const quiet = ['--no-psqlrc', '--no-password', `--dbname=${socket}`, '--tuples-only', '--no-align'];
  const stays =
    "SELECT pubname FROM pg_publication WHERE puballtables OR NOT pg_has_role(pubowner, 'MEMBER')";
  const names = [...kept, ...outputOf(psql, ...quiet, `--command=${stays}`).split('\n')].filter(Boolean);
  const isKept = (line) =>
    names.some(
      (name) =>
        [` PUBLICATION - ${name} `, ` PUBLICATION ${name} `].some((part) => line.includes(part)) ||
        (/ PUBLICATION TABLES? /.test(line) && line.includes(` ${name} `)),
    );
  return outputOf(pgRestore, '--list', file)
    .split('\n')
    .filter((line) => !isKept(line))
    .join('\n');
}

/**
 * Large objects come in a transaction of their own, which would end this one in the middle, unless all is to be one; then
 * the last thing that is said is its COMMIT. It is kept back: whether to commit is decided when pg_restore has ended well.
 */
function withoutCommit() {
  let tail = Buffer.alloc(0);
  return new Transform({
    transform(chunk, _encoding, done) {
      const all = Buffer.concat([tail, chunk]);
      tail = all.subarray(-1024);
      done(null, all.subarray(0, all.length - tail.length));
    },
    flush(done) {
      const end = tail.toString();
      const at = end.lastIndexOf('\nCOMMIT;\n');
      if (at < 0) done(new Error('pg_restore did not come to its end'));
      else done(null, end.slice(0, at + 1) + end.slice(at + '\nCOMMIT;\n'.length));
    },
  });
}

async function main() {
  const list = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'signalbox-restore-')), 'list');
  process.on('exit', () => fs.rmSync(path.dirname(list), { recursive: true, force: true }));
  fs.writeFileSync(list, contents());
  const writer = spawn(
    psql,
    [
      '--no-psqlrc',
      '--quiet',
      '--no-password',
      `--dbname=${socket}`,
      '--set=ON_ERROR_STOP=1',
      '--output=/dev/null',
    ],
    { stdio: ['pipe', 'inherit', 'pipe'] },
  );
  // The first thing that the server refused, which is said again at the end; what follows is its consequence.
  let why;
  createInterface({ input: writer.stderr }).on('line', (line) => {
    why ??= /ERROR: .*/.exec(line)?.[0];
    process.stderr.write(`${line}\n`);
  });
  const written = ended(writer, 'psql');
  written.catch(() => undefined);
  writer.stdin.on('error', () => undefined);
  writer.stdin.write(empty);
  const reader = spawn(
    pgRestore,
    ['--file=-', '--single-transaction', '--no-subscriptions', `--use-list=${list}`, ...args, file],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const read = ended(reader, 'pg_restore');
  const refused = (thrown) => {
    throw why ? new Error(`${why}; nothing was changed`) : thrown;
  };
  await Promise.all([read, pipeline(reader.stdout, withoutCommit(), writer.stdin, { end: false })]).catch(
    async (thrown) => {
      // Only now: what it says comes a little later than that it has ended. With no COMMIT nothing is changed.
      writer.stdin.destroy();
      await written.catch(() => undefined);
      refused(thrown);
    },
  );
  writer.stdin.end(rehearse ? '\nROLLBACK;\n' : '\nCOMMIT;\n');
  await written.catch(refused);
  process.stdout.write(rehearse ? 'rehearsed\n' : `restored ${file}\n`);
}

main().catch((thrown) => {
  process.stderr.write(`${thrown.message}\n`);
  process.exit(1);
});
