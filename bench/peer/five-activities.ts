import { proxyActivities } from '@temporalio/workflow';
import type { Bare } from './bare-worker';

/** The bare peer of a deployment: five activities one after the other, and nothing written down. */
const { step } = proxyActivities<Bare>({ startToCloseTimeout: '1 minute' });

export async function fiveActivities(): Promise<void> {
  for (const name of ['admit', 'build', 'backup', 'swap', 'health-check']) await step(name);
}
