import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { changeRequestKey } from '../domain/keys';
import type { Approval } from '../domain/approval';
import { failpoint } from '../domain/failpoint';
import { policyFor } from '../domain/policy';
import { chainOf, standingApprovals } from '../db/approvals';
import {
  decide,
  findChangeRequest,
  markFollowed,
  submit,
  type ChangeRequestRow,
} from '../db/change-requests';
import { databaseNow } from '../db/clock';
import { doDue, nextDue, type Due } from '../db/deadlines';
import { boundTo } from '../db/digest';
import { actsOf } from '../db/runners';
import { findPromotion } from '../db/promotions';
import { waitingDecision } from '../db/words';
import { changeRequestWorkflowId } from '../workflows/messages';
import type { Deps } from './deps';
import { hint, type Heard } from './heard';
import { orderedBy } from './orders';
import { demandPresent } from './present';

const submission = z.object({ changeRequest: z.int(), submission: z.int() });

/** How a change request stands, for its workflow. */
export interface ChangeRequestNews {
  status: string;
  due?: Due;
  /** In markdown, for the Temporal UI. */
  details?: string;
}

function detailsOf(row: ChangeRequestRow, approvals: Approval[], due: Due | undefined): string {
  const key = changeRequestKey(row.id);
  const next = due ? `\n\nNext: ${due.inWords}, ${new Date(due.at).toISOString()}.` : '';
  const given = approvals.map(({ approver }) => approver).join(', ') || 'nobody yet';
  if (row.status === 'submitted') {
    const { levels, current } = chainOf(row, approvals);
    const level = levels[current ?? 0]!;
    return `**${key} waits for approval.** Level "${level.name}" needs ${level.missing.join(' and ')}; approved so far by ${given}. \`signalbox approve ${key}\`.${next}`;
  }
  if (row.review_due_at && row.status === 'in-progress')
    return `**${key} is deployed and waits for its review.** \`signalbox review ${key}\`.${next}`;
  return `**${key} is ${row.status}.** Approved by ${given}.${next}`;
}

/** What was sent to a request, and whether its workflow heard the very same before. */
export interface SaidDecision {
  message: unknown;
  repeated: boolean;
}

/** What the change request's workflow writes. */
export function createChangeRequestActivities(deps: Deps, heard: Heard) {
  const { db } = deps;
  /**
   * Writes the decision's row, counted or refused. What the API did not say leaves no row, which could stand in
   * the way of a true one with its id; it is in the audit trail, as refused.
   * @param repeated whether this workflow heard the very same before.
   */
  async function decideOne(
    changeRequest: number,
    submission: number,
    message: unknown,
    repeated: boolean,
  ): Promise<void> {
    const key = changeRequestKey(changeRequest);
    const hinted = hint.safeParse(message);
    // A mere hint to look at what was recorded says nothing by itself, so it needs no signature and may come again.
    const word = hinted.success ? await waitingDecision(db, hinted.data.word) : undefined;
    if (hinted.success && word?.change_request !== changeRequest) return;
    const said = word?.said ?? (await heard.verified('decision', key, message));
    if (!said) return;
    if (repeated && !word)
      return heard.refuse('decision', key, message, 'it was decided already; a repeat changes nothing');
    const { target } = (await findPromotion(db, changeRequest))!;
    await failpoint('decide/before');
    // It is judged as a word to the submission to which it was said.
    const to = word?.submission ?? submission;
    await decide(db, { ...said, changeRequest, submission: to }, deps.targets().get(target));
    await failpoint('decide/recorded-unreported');
  }

  /**
   * Whether the record has this very submission already, so that its workflow only goes on following it, as one that
   * `reconcile` starts anew does. Nothing is taken from what was said then, so it needs no signature.
   */
  async function isSubmitted(input: unknown): Promise<boolean> {
    const said = submission.safeParse(input);
    if (!said.success) return false;
    const row = await findChangeRequest(db, said.data.changeRequest);
    const { workflowId } = orderedBy();
    return (
      row !== undefined &&
      row.submission === said.data.submission &&
      row.status !== 'draft' &&
      workflowId === changeRequestWorkflowId(row.id, row.submission, row.incarnation)
    );
  }

  return {
    /** Submits the request. @throws when the API did not ask for it. */
    async submitChangeRequest(input: unknown): Promise<void> {
      if (await isSubmitted(input)) return;
      await demandPresent(db);
      const { changeRequest, submission, by, request } = await heard.verifiedStart('submit', input);
      const { target: name } = (await findPromotion(db, changeRequest))!;
      const target = deps.targets().get(name);
      if (!target) throw new Error(`The targets file names no target ${name} any more; put it back.`);
      const bound = boundTo(target, await actsOf(db, target));
      await submit(
        db,
        changeRequest,
        submission,
        { by, request, why: 'submitted for approval' },
        ({ type, risk }) => ({ policy: policyFor(target, type, risk), ...bound }),
      );
    },
    /** How it stands, and what time brings next; "superseded" when a later submission has taken over. */
    async changeRequestStatus(id: number, submission: number): Promise<ChangeRequestNews> {
      const row = await findChangeRequest(db, id);
      if (!row || row.submission > submission) return { status: 'superseded' };
      if (row.submission < submission)
        throw ApplicationFailure.nonRetryable(
          `The record does not have that ${changeRequestKey(id)} was submitted; somebody answered for a worker. Submit it again.`,
          'Forged',
        );
      const { status } = row;
      const due = nextDue(row);
      return {
        status,
        ...(due ? { due: { ...due, left: due.at - (await databaseNow(db)) } } : {}),
        details: detailsOf(row, await standingApprovals(db, id), due),
      };
    },
    async changeRequestDue(id: number, submission: number): Promise<void> {
      const done = await doDue(db, id, submission);
      if (done) deps.log.info({ changeRequest: changeRequestKey(id), done }, 'what was due is done');
    },
    decide: decideOne,
    /** The same for several, one after the other: a flood costs few steps of the workflow. */
    async decideTogether(changeRequest: number, submission: number, together: SaidDecision[]): Promise<void> {
      for (const { message, repeated } of together)
        await decideOne(changeRequest, submission, message, repeated);
    },
    async followed(id: number, submission: number): Promise<void> {
      const row = await findChangeRequest(db, id);
      const { workflowId } = orderedBy();
      if (
        row?.submission === submission &&
        workflowId === changeRequestWorkflowId(id, submission, row.incarnation)
      )
        await markFollowed(db, id);
    },
  };
}
