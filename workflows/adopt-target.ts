import {
  CancellationScope,
  setCurrentDetails,
  setWorkflowOptions,
  TemporalFailure,
} from '@temporalio/workflow';
import { asSent } from '../domain/as-sent';
import type { Signed } from '../temporal-config/signing';
import { onTarget, record } from './activities';
import type { AdoptRequest } from './messages';
import { rootMessage } from './saga';
import { ignoreUnknownSignals } from './signals';
import { staysOnItsVersion } from './versioning';

setWorkflowOptions(staysOnItsVersion, adoptTarget);
/** Packing what is live reads all of it. */
const adoptMs = 3_600_000;

/**
 * Takes what is live on a target into the record. It holds no lane: a deployment that begins meanwhile has a higher number,
 * so that nothing here acts after it, and nothing is recorded then.
 */
export async function adoptTarget(request: Signed<AdoptRequest>): Promise<string> {
  ignoreUnknownSignals();
  const begun = await CancellationScope.nonCancellable(() => record.beginAdoption(asSent(request)));
  if ('refused' in begun) return begun.refused;
  setCurrentDetails(`**Adopting what is live on ${request.target}.** ${request.reason}`);
  // Nothing to undo: until it is recorded, what is live is what it was, by content.
  const found = await onTarget(`Pack what is live on ${request.target}`, adoptMs)
    .adoptLive(begun)
    .catch((thrown: unknown) => {
      if (!(thrown instanceof TemporalFailure)) throw thrown;
      return { refused: rootMessage(thrown) };
    });
  const outcome = await CancellationScope.nonCancellable(() => record.endAdoption(begun, found));
  setCurrentDetails(`**${outcome}**`);
  return outcome;
}
