import { condition, defineSignal, proxyLocalActivities, setHandler, sleep } from '@temporalio/workflow';
import type { Bare } from './bare-worker';

/** The bare peer of a sleeper: on a signal it runs one local activity and sleeps again. */
const { step } = proxyLocalActivities<Bare>({ startToCloseTimeout: '1 minute' });
export const look = defineSignal('look');

export async function waits(name: string): Promise<void> {
  let asked = 0;
  setHandler(look, () => void (asked += 1));
  for (let done = 0; ; done++) {
    await Promise.race([condition(() => asked > done), sleep('30 days')]);
    await step(name);
  }
}
