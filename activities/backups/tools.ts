import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TargetConfig } from '../../domain/config';
import { valueOf } from '../secrets';
import { close, connected, programOf } from './postgres';

const run = promisify(execFile);
/** For a program that hangs, on a network file system say. */
const versionMs = 10_000;
const advice = 'or name their folder in backup.binaries';

/**
 * Why a target's backups can not be taken with the tools of this host, told at the start and not in the night of a
 * deployment; undefined when they can, or when its database can not be asked now.
 */
export async function whyUnusable({ name, backup }: TargetConfig): Promise<string | undefined> {
  if (backup.kind !== 'postgres') return undefined;
  const versions: number[] = [];
  for (const tool of ['pg_dump', 'pg_restore', 'psql']) {
    const program = programOf(backup, tool);
    const stdout = await run(program, ['--version'], { timeout: versionMs, killSignal: 'SIGKILL' }).then(
      (told) => told.stdout,
      () => undefined,
    );
    if (stdout === undefined)
      return `Target ${name} backs up a PostgreSQL database, but ${program} could not be run. Install the client tools of PostgreSQL, ${advice}.`;
    versions.push(Number(/\s(\d+)/.exec(stdout)?.[1] ?? 0));
  }
  const server = await serverMajor(valueOf('backup.database', name, backup.database));
  if (server === undefined || versions.every((version) => version >= server)) return undefined;
  return `Target ${name} backs up a PostgreSQL ${server} database, but ${programOf(backup, 'pg_dump')} is of version ${versions[0]}, which can not dump it. Install the client tools of PostgreSQL ${server} or newer, ${advice}.`;
}

async function serverMajor(url: string): Promise<number | undefined> {
  try {
    const client = await connected(url, versionMs);
    try {
      const { rows } = await client.query<{ version: string }>(
        "SELECT current_setting('server_version_num') AS version",
      );
      return Math.floor(Number(rows[0]!.version) / 10_000);
    } finally {
      await close(client);
    }
  } catch {
    return undefined;
  }
}
