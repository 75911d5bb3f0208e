import { connect } from '../db/connect';
import { connectTemporal } from '../temporal-config/connection';
import { openLog } from '../cli/serve';
import { installRuntime } from '../worker/worker';
import { startWorker } from './signalbox';

/** A worker of the benchmarked Signalbox as a process of its own: says when it polls, and how much memory it has. */
export interface Place {
  folder: string;
  databaseUrl: string;
  temporalEnv: Record<string, string>;
  names: string[];
}

async function main(): Promise<void> {
  const { folder, databaseUrl, temporalEnv, names } = JSON.parse(process.argv[2]!) as Place;
  installRuntime(openLog(`${folder}/worker.log`));
  const temporal = await connectTemporal({ env: temporalEnv });
  const db = connect(databaseUrl);
  const worker = await startWorker({ db, temporal, folder }, names, {});
  process.on('message', (asked) => {
    if (asked === 'stop')
      void worker
        .stop()
        .then(() => db.destroy())
        .then(() => process.exit(0));
    // What can be collected is not what it needs.
    globalThis.gc?.();
    process.send!(process.memoryUsage().rss);
  });
  process.send!('polling');
}

main().catch((thrown: unknown) => {
  console.error(thrown);
  process.exit(1);
});
