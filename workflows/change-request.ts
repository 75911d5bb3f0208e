import {
  allHandlersFinished,
  condition,
  continueAsNew,
  patched,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { asSent } from '../domain/as-sent';
import { canonical } from '../domain/canonical';
import { changeRequestKey } from '../domain/keys';
import { isTerminal } from '../domain/machines';
import { attributes } from '../temporal-config/names';
import type { Signed } from '../temporal-config/signing';
import { record } from './activities';
import { approvalDecision, changeRequestMoved, type ChangeRequestInput } from './messages';
import { ignoreUnknownSignals } from './signals';
import { createSleep } from './sleep';
import type { ChangeRequestNews, SaidDecision } from '../activities/governance';

/** Decisions of one step, and characters of them: what is large goes alone. */
const mostTogether = 100;
const longestTogether = 200_000;

/**
 * One submission of a change request: takes decisions by signal, one after the other, and follows the request
 * until it ends. The verdict on a decision is its row in Postgres; this workflow is what writes it.
 */
export async function changeRequest(input: Signed<ChangeRequestInput>): Promise<string> {
  // Whatever was sent, also by somebody who is not the API: an activity says what it is worth.
  const waiting: unknown[] = [];
  const seen = new Set<string>();
  let moved = false;
  const sleepUntil = createSleep();
  // Handlers only enqueue: with an await inside, two decisions could overtake each other.
  setHandler(approvalDecision, (decision) => void waiting.push(asSent(decision)));
  setHandler(changeRequestMoved, () => void (moved = true));
  ignoreUnknownSignals();

  // A run that continues another proves itself as any other: by the signature, or by the record, which has this submission
  // already. The key that signed the start of a request that lives for months may be dropped by now.
  const continues = workflowInfo().continuedFromExecutionRunId !== undefined;
  if (!continues || patched('each-run-proves-itself')) await record.submitChangeRequest(asSent(input));
  const { changeRequest: id, submission } = input;
  for (;;) {
    moved = false;
    const { status, due, details } = newsOf(await record.changeRequestStatus(id, submission));
    show(status, details);
    while (waiting.length > 0) {
      // Histories of the version before decide each by itself.
      const together = takeSome(patched('decisions-together') ? mostTogether : 1);
      if (together.length === 1)
        await record.decide(id, submission, together[0]!.message, together[0]!.repeated);
      else await record.decideTogether(id, submission, together);
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
      await continueAsNew<typeof changeRequest>(input);
    const woken = () => moved || waiting.length > 0;
    if (!due) await condition(woken);
    else await sleepUntil(due.at, due.inWords, woken, due.left);
    if (!woken()) await record.changeRequestDue(id, submission);
  }

  /** The next decisions, in the order in which they came: as many as fit into one step. */
  function takeSome(most: number): SaidDecision[] {
    const together: SaidDecision[] = [];
    let length = 0;
    while (waiting.length > 0 && together.length < most) {
      // One word in whatever order it is spelled; its signature alone does not make it one, for nobody checked that yet.
      const text = canonical(waiting[0]);
      length += text.length;
      if (together.length > 0 && length > longestTogether) break;
      together.push({ message: waiting.shift(), repeated: seen.has(text) });
      seen.add(text);
    }
    return together;
  }

  function show(status: string, details?: string): void {
    upsertSearchAttributes([{ key: attributes.status, value: status }]);
    setCurrentDetails(
      details ??
        (status === 'submitted'
          ? `**${changeRequestKey(id)} waits for an approver.** Somebody other than who shipped it: \`signalbox approve ${changeRequestKey(id)}\`.`
          : `**${changeRequestKey(id)} is ${status}.**`),
    );
  }
}

/** Histories of the version before hold the status alone. */
const newsOf = (news: ChangeRequestNews | string): ChangeRequestNews =>
  typeof news === 'string' ? { status: news } : news;
