import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import type { Temporal } from '../../temporal-config/connection';

export const bareQueue = 'bare';
/** The peer's only activity does nothing but what it is given. */
export interface Bare {
  step(name: string): Promise<void>;
}

export async function startBareWorker(
  { connection, namespace }: Temporal,
  began: (name: string) => void | Promise<void>,
) {
  const silent = () => undefined;
  const logger = { trace: silent, debug: silent, info: silent, log: silent, warn: silent, error: silent };
  const workflowsPath = require.resolve('./workflows');
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: bareQueue,
    workflowBundle: await bundleWorkflowCode({ workflowsPath, logger }),
    activities: {
      step: async (name: string) => {
        await began(name);
      },
    } satisfies Bare,
  });
  const done = worker.run();
  return {
    async stop() {
      worker.shutdown();
      await done;
    },
  };
}
