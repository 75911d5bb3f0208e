import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rememberedPorts } from '../cli/embedded/ports';
import { startPostgres } from '../cli/embedded/postgres-server';
import { createProcesses } from '../cli/embedded/processes';
import { startTemporalServer } from '../cli/embedded/temporal-server';
import { openLog } from '../cli/serve';
import { migrateAsOwner } from '../cli/database';
import { connect, type Db } from '../db/connect';
import type { Temporal } from '../temporal-config/connection';
import { setUpTemporal } from '../temporal-config/setup';
import { installRuntime } from '../worker/worker';

/** The servers as `signalbox up` runs them, in a temporary folder: both sides of a comparison use the same ones. */
export interface Servers {
  folder: string;
  temporal: Temporal;
  databaseUrl: string;
  /** As the owner of the tables. */
  ownerUrl: string;
  db: Db;
  stop(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'));
  installRuntime(openLog(join(folder, 'bench.log')));
  const processes = createProcesses(folder, console.error);
  const ports = rememberedPorts(folder);
  const port = await ports.take('postgres');
  const { databaseUrl, databaseOwnerUrl } = await startPostgres(folder, port, processes);
  const { temporal } = await startTemporalServer(folder, ports, processes, 'default');
  await setUpTemporal(temporal);
  const db = connect(databaseUrl, 20);
  await migrateAsOwner(databaseUrl, databaseOwnerUrl);
  return {
    folder,
    temporal,
    databaseUrl,
    ownerUrl: databaseOwnerUrl,
    db,
    async stop() {
      await db.destroy();
      await temporal.connection.close();
      for (const name of ['temporal', 'postgres']) await processes.stop(name);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
