import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rememberedPorts } from '../cli/embedded/ports';
import { startPostgres } from '../cli/embedded/postgres-server';
import { createProcesses } from '../cli/embedded/processes';
import { onPath } from '../cli/embedded/fetch-part';
import { startTemporalServer } from '../cli/embedded/temporal-server';
import { openLog } from '../cli/serve';
import { migrateAsOwner } from '../cli/database';
import { connect, type Db } from '../db/connect';
import { connectTemporal, type Temporal } from '../temporal-config/connection';
import { setUpTemporal } from '../temporal-config/setup';
import { installRuntime } from '../worker/worker';
import { builtServer, serverVersion, startProduction } from './production';

/**
 * PostgreSQL as `signalbox up` runs it, and on it a production Temporal server with the files of temporal-config/server, in a
 * temporary folder: both sides of a comparison use the same ones.
 */
export interface Servers {
  folder: string;
  /** Which Temporal server it is, in words. */
  kind: string;
  temporal: Temporal;
  /** How another process reaches it: the environment that the SDK reads. */
  temporalEnv: Record<string, string>;
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
  const { kind, temporalEnv } = await startTemporal();
  const temporal = await connectTemporal({ env: temporalEnv });
  await setUpTemporal(temporal);
  const db = connect(databaseUrl, 20);
  await migrateAsOwner(databaseUrl, databaseOwnerUrl);
  return {
    folder,
    kind,
    temporal,
    temporalEnv,
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

  /** Where there is neither a built production server nor Go to build one, Temporal's development server on SQLite. */
  async function startTemporal(): Promise<{ kind: string; temporalEnv: Record<string, string> }> {
    if (existsSync(builtServer()) || onPath('go')) {
      const { env } = await startProduction({ folder, ports, processes, databaseOwnerUrl });
      return {
        kind: `Temporal ${serverVersion} on PostgreSQL, built from its released source`,
        temporalEnv: { ...env, TEMPORAL_NAMESPACE: 'bench' },
      };
    }
    const { temporal } = await startTemporalServer(folder, ports, processes, 'default');
    await temporal.connection.close();
    return {
      kind: "Temporal's development server, on SQLite: for the production server install Go",
      temporalEnv: { TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: temporal.namespace },
    };
  }
}
