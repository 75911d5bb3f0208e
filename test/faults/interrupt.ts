import { setTimeout as sleep } from 'node:timers/promises';
import { temporal as proto } from '@temporalio/proto';
import { deployWorkflowId } from '../../workflows/messages';
import type { Chance } from './chance';
import { endsOf, steps, type Cell } from './matrix';
import type { Stack } from './stack';
import { until } from '../helpers/until';
import type { Struck } from './strike';

const cancelRequested = proto.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED;

/**
 * Interrupts the deployment itself: cancelled by a person (on the page, or in the Temporal UI), cancelled once more while
 * it is undone, or terminated, which skips its compensation.
 */
export async function interrupt(
  stack: Stack,
  cell: Cell,
  promotion: string,
  chance: Chance,
  open: () => void,
): Promise<Struck> {
  const { fault, step, point } = cell;
  const handle = stack.temporal.client.workflow.getHandle(
    deployWorkflowId(Number(promotion.slice(3)), 1, ''),
  );
  const attempt = `${promotion}.1`;
  const struck = (): Struck => ({ healedAt: Date.now(), wrong: [], afterwards: () => Promise.resolve() });
  // Before its row is there, and while it is undone, only Temporal can be asked.
  const early = step === 'admit' && point !== 'recorded-unreported' && point !== 'reported';
  const inTemporal = early || chance.oneOf([true, false]);
  await until('the workflow', () =>
    handle.describe().then(
      () => true,
      () => false,
    ),
  );

  if (fault === 'terminate') {
    await handle.terminate('by the fault harness');
    open();
    // An attempt that is a few seconds old may not be known to every part of Temporal yet: reconcile lets it settle.
    await sleep(6_000);
    await stack.temporal.client.schedule.getHandle('signalbox-reconcile').trigger();
    return struck();
  }
  const ask = inTemporal
    ? handle.cancel().then(() => undefined)
    : stack.users.ask('sven', 'POST', `/deployments/${attempt}/cancel`, { reason: 'the harness' }).then(
        () => undefined,
        // It is being undone, or has ended: there is nothing to cancel.
        () => undefined,
      );
  // A cancel that comes after the effect deploys it. Where that is no end of this cell, it has to be heard first.
  if (!early && steps[step]!.release === 'well' && endsOf(cell).every((end) => end === 'rolled-back'))
    await until('the cancel to be heard', async () => {
      const { raw } = await handle.describe();
      return raw.pendingActivities?.some(({ state }) => state === cancelRequested);
    });
  await sleep(chance.between(50, 600));
  open();
  if (fault === 'cancel-twice') {
    await sleep(chance.between(0, 600));
    await handle.cancel().catch(() => undefined);
  }
  await ask;
  return struck();
}
