import { ActivityFailure, CancellationScope, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities';
import type { DeliveryRequest } from './messages';
import { record } from './activities';
import { rootMessage } from './saga';
import { ignoreUnknownSignals } from './signals';

const sixHoursMs = 21_600_000;

/**
 * Tells one webhook of one event: tried again, ever more slowly, until it is taken or the time is over; then it is on
 * the list of the undeliverable and can be sent again by hand.
 */
export async function deliverNotification(request: DeliveryRequest): Promise<string> {
  const { delivery, round, webhook, event, subject, retryMs, giveUpMs, timeoutMs } = request;
  ignoreUnknownSignals();
  const { sendNotification } = proxyActivities<Activities>({
    summary: `Tell ${webhook}: ${event} of ${subject}`,
    startToCloseTimeout: timeoutMs + 10_000,
    scheduleToCloseTimeout: giveUpMs,
    retry: { initialInterval: retryMs, backoffCoefficient: 4, maximumInterval: sixHoursMs },
  });
  setCurrentDetails(`**Telling ${webhook}** of ${event} (${subject}).`);
  try {
    await sendNotification(delivery, round);
  } catch (thrown) {
    if (!(thrown instanceof ActivityFailure)) throw thrown;
    const why = rootMessage(thrown);
    await CancellationScope.nonCancellable(() => record.undeliverable(delivery, round, why));
    setCurrentDetails(
      `**Not delivered.** ${why}\n\nSend it again: \`signalbox notifications resend ${delivery}\`.`,
    );
    return `undeliverable: ${why}`;
  }
  setCurrentDetails(`**Delivered** to ${webhook}.`);
  return 'delivered';
}
