import {
  allHandlersFinished,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { changeRequestKey } from '../domain/keys';
import { isTerminal } from '../domain/machines';
import { attributes } from '../temporal-config/names';
import { record } from './activities';
import {
  approvalDecision,
  changeRequestMoved,
  type ChangeRequestInput,
  type DecisionSignal,
} from './messages';

/**
 * One submission of a change request: takes decisions by signal, one after the other, and follows the request
 * until it ends. The verdict on a decision is its row in Postgres; this workflow is what writes it.
 */
export async function changeRequest({ changeRequest: id, submission }: ChangeRequestInput): Promise<string> {
  const waiting: DecisionSignal[] = [];
  let moved = false;
  // Handlers only enqueue: with an await inside, two decisions could overtake each other.
  setHandler(approvalDecision, (decision) => void waiting.push(decision));
  setHandler(changeRequestMoved, () => void (moved = true));

  await record.submitChangeRequest(id, submission);
  for (;;) {
    moved = false;
    const status = await record.changeRequestStatus(id, submission);
    show(status);
    while (waiting.length > 0) {
      await record.decide(id, submission, waiting[0]!);
      waiting.shift();
      moved = true;
    }
    if (moved) continue;
    if (status === 'superseded' || status === 'rejected' || isTerminal('changeRequest', status)) {
      await record.followed(id, submission);
      // A decision that came meanwhile is answered too, before the workflow is gone.
      if (waiting.length === 0) return status;
      continue;
    }
    if (workflowInfo().continueAsNewSuggested && allHandlersFinished())
      await continueAsNew<typeof changeRequest>({ changeRequest: id, submission });
    await condition(() => moved || waiting.length > 0);
  }

  function show(status: string): void {
    upsertSearchAttributes([{ key: attributes.status, value: status }]);
    setCurrentDetails(
      status === 'submitted'
        ? `**${changeRequestKey(id)} waits for an approver.** Somebody other than who shipped it: \`signalbox approve ${changeRequestKey(id)}\`.`
        : `**${changeRequestKey(id)} is ${status}.**`,
    );
  }
}
