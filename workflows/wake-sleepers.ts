import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';
import { ignoreUnknownSignals } from './signals';

const { wakeSleepers: wake } = proxyActivities<Activities>({
  summary: 'Work out anew until when each sleeper waits; wake those for whom it changed',
  startToCloseTimeout: '5 minutes',
  heartbeatTimeout: '30 seconds',
});

/** A window or an override was changed: deployments that wait for one look again. */
export async function wakeSleepers(): Promise<{ sleepers: number; woken: number }> {
  ignoreUnknownSignals();
  const found = await wake();
  setCurrentDetails(
    `${found.sleepers} deployments wait for a window; ${found.woken} of them were woken to look again.`,
  );
  return found;
}
