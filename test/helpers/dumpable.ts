import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { rememberedPorts } from '../../cli/embedded/ports';
import { startPostgres } from '../../cli/embedded/postgres-server';
import { createProcesses } from '../../cli/embedded/processes';

/** A real PostgreSQL that the client tools of this host can dump: of their version, or older. */
const majorOf = (program: string) =>
  Number(/\s(\d+)/.exec(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1] ?? 0);
const tools = majorOf('pg_dump');
const major = [18, 17, 16, 15]
  .filter((one) => one <= tools)
  .find((one) => one === 18 || existsSync(`/usr/lib/postgresql/${one}/bin/postgres`));

/** `describe`, or a skip that says why when there is no such server. */
export function describeDumpable(): jest.Describe {
  if (major !== undefined) return describe;
  console.log(
    'skipped: postgres backups: no pg_dump with a PostgreSQL server that is not newer is installed here',
  );
  return describe.skip;
}

export interface Dumpable {
  folder: string;
  major: number;
  /** Of an empty database `shop` that its login owns. */
  url: string;
  /** Runs statements there as the owner of the server. */
  asOwner(...statements: string[]): Promise<void>;
  /** Copies its data folder, as a snapshot of the disk does. @returns what puts the copy back in the folder's place. */
  copied(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

export async function startDumpable(): Promise<Dumpable> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-dumpable-'));
  // Older servers want to enter their folder, as whoever they run as.
  mkdirSync(join(folder, 'server', 'postgres'), { recursive: true });
  chmodSync(folder, 0o755);
  const port = await rememberedPorts(folder).take('postgres');
  let processes!: ReturnType<typeof createProcesses>;
  const start = () => {
    processes = createProcesses(join(folder, 'server'), () => undefined);
    return startPostgres(join(folder, 'server'), port, processes, major);
  };
  /** While it is stopped the folder `from` takes the place of `to`. */
  const replaced = async (from: string, to: string) => {
    await processes.stop('postgres');
    rmSync(to, { recursive: true, force: true });
    spawnSync('cp', ['-a', from, to]);
    await start();
  };
  const { databaseOwnerUrl } = await start();
  const asOwner = async (...statements: string[]) => {
    const admin = new pg.Client({ connectionString: databaseOwnerUrl });
    await admin.connect();
    try {
      for (const statement of statements) await admin.query(statement);
    } finally {
      await admin.end();
    }
  };
  await asOwner('CREATE DATABASE shop');
  return {
    folder,
    major: major!,
    url: Object.assign(new URL(databaseOwnerUrl), { pathname: '/shop' }).href,
    asOwner,
    async copied() {
      const data = join(folder, 'server', 'postgres', 'data');
      await replaced(data, `${data}.copy`);
      return () => replaced(`${data}.copy`, data);
    },
    async stop() {
      await processes.stop('postgres');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
