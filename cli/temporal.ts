import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowNotFoundError } from '@temporalio/client';
import { connectTemporal, type Temporal } from '../temporal-config/connection';
import { attributes } from '../temporal-config/names';
import { setUpTemporal } from '../temporal-config/setup';
import { routeTo, workerVersions, type WorkerVersion } from '../temporal-config/versions';
import { windowChanged } from '../workflows/messages';
import { table } from './commands';

/** `signalbox temporal ...`: the Temporal server that the environment names. */
async function connected(act: (temporal: Temporal) => Promise<void>): Promise<number> {
  const temporal = await connectTemporal();
  try {
    await act(temporal);
    return 0;
  } finally {
    await temporal.connection.close();
  }
}

/** `signalbox temporal setup`. Temporal takes one day at least. */
export const setUp = ({ retentionDays }: { retentionDays?: number }) =>
  connected(async (temporal) => {
    for (const line of await setUpTemporal(temporal, retentionDays)) console.log(line);
    console.log(
      `Temporal at ${temporal.address} has what Signalbox needs in namespace ${temporal.namespace}.`,
    );
  });

/** `signalbox temporal versions`. */
export const listVersions = ({ json }: { json: boolean }) =>
  connected(async (temporal) => {
    const versions = await workerVersions(temporal);
    if (json) return console.log(JSON.stringify(versions, null, 2));
    if (versions.length === 0)
      return console.log('No worker has a version: none was started with --build-id.');
    console.log(
      table(
        ['version', 'status', 'since', 'deployments on it'],
        versions.map((version) => [
          version.buildId,
          statusOf(version),
          version.since.toISOString(),
          String(version.deployments),
        ]),
      ),
    );
  });

/** `signalbox temporal use BUILD`. */
export const useVersion = (
  buildId: string,
  { percent, wait }: { percent?: number; wait: boolean },
): Promise<number> =>
  connected(async (temporal) => {
    await routeTo(temporal, buildId, percent);
    console.log(
      percent === undefined
        ? `What begins from now on begins on ${buildId}.`
        : `Of what begins from now on, ${percent} % begins on ${buildId}.`,
    );
    const told = await wakeWaiting(temporal);
    if (told > 0)
      console.log(
        `${told === 1 ? 'One deployment that waits was' : `${told} deployments that wait were`} told to go on waiting there.`,
      );
    if (wait) await drained(temporal, buildId);
  });

/** Until what began on other versions has ended; says what it waits for when that changes. */
async function drained(temporal: Temporal, buildId: string): Promise<void> {
  for (let said = ''; ;) {
    const others = (await workerVersions(temporal)).filter(
      (one) => one.buildId !== buildId && one.status === 'draining',
    );
    if (others.length === 0)
      return console.log('No other version has deployments left; its workers can be ended.');
    const now = others
      .map((one) =>
        one.deployments > 0
          ? `${one.buildId} has ${one.deployments} of them left`
          : `${one.buildId} has none left; Temporal waits some minutes before it calls it drained`,
      )
      .join('; ');
    if (now !== said) console.log(`Draining: ${now}.`);
    said = now;
    await sleep(2_000);
    // One that began to wait while the version changed.
    await wakeWaiting(temporal);
  }
}

const statusOf = ({ status, percent }: WorkerVersion) =>
  percent === undefined ? status : `${status}, ${percent} %`;

const waiting = `ExecutionStatus = 'Running' AND WorkflowType = 'deployPromotion' AND ${attributes.status.name} IN ('queued', 'waiting-for-window')`;
/**
 * Has deployments that wait for a window or a lane look again: one that sees a newer version goes on waiting there, so
 * that what has touched nothing does not hold up the end of an old version.
 * @returns how many were told.
 */
async function wakeWaiting({ client }: Temporal): Promise<number> {
  let told = 0;
  for await (const { workflowId } of client.workflow.list({ query: waiting })) {
    try {
      await client.workflow.getHandle(workflowId).signal(windowChanged);
      told += 1;
    } catch (thrown) {
      if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
    }
  }
  return told;
}
