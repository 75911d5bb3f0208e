import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { rememberedPorts } from '../cli/embedded/ports';
import { startPostgres } from '../cli/embedded/postgres-server';
import { createProcesses } from '../cli/embedded/processes';
import { findTemporal } from '../cli/embedded/temporal-server';
import { openLog } from '../cli/serve';
import { connect, migrate, type Db } from '../db/connect';
import { connectTemporal, type Temporal } from '../temporal-config/connection';
import { developmentServerArgs } from '../temporal-config/development-server';
import { setUpTemporal } from '../temporal-config/setup';
import { routeTemporalLogs } from '../worker/worker';

/** The servers as `signalbox up` runs them, in a temporary folder: both sides of a comparison use the same ones. */
export interface Servers {
  folder: string;
  temporal: Temporal;
  databaseUrl: string;
  db: Db;
  stop(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-bench-'));
  routeTemporalLogs(openLog(join(folder, 'bench.log')));
  const processes = createProcesses(folder, console.error);
  const ports = rememberedPorts(folder);
  const databaseUrl = await startPostgres(folder, await ports.take('postgres'), processes);
  const port = await ports.take('temporal');
  const home = join(folder, 'temporal');
  mkdirSync(home);
  const server = {
    name: 'temporal',
    program: await findTemporal(),
    args: developmentServerArgs({
      port,
      uiPort: await ports.take('temporalUi'),
      file: join(home, 'temporal.db'),
      namespace: 'default',
    }),
    cwd: home,
    env: { USER: 'signalbox', HOME: home, ...process.env },
    stopSignal: 'SIGTERM' as const,
  };
  const temporal = await processes.start(server, () => untilReady(`127.0.0.1:${port}`));
  await setUpTemporal(temporal);
  const db = connect(databaseUrl, 20);
  await migrate(db);
  return {
    folder,
    temporal,
    databaseUrl,
    db,
    async stop() {
      await db.destroy();
      await temporal.connection.close();
      for (const name of ['temporal', 'postgres']) await processes.stop(name);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function untilReady(address: string): Promise<Temporal> {
  for (;;) {
    try {
      const temporal = await connectTemporal({ address, namespace: 'default' });
      await temporal.connection.workflowService.describeNamespace({ namespace: 'default' });
      return temporal;
    } catch {
      await sleep(50);
    }
  }
}
