import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { htmlOf } from '../domain/backlog/markdown';
import type { TargetConfig } from '../domain/config';
import { conflictRefusal } from '../domain/conflicts';
import { badInput, notFound, SignalboxError, type ErrorCode } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { changeRequestKey, parseChangeRequestKey, promotionKey } from '../domain/keys';
import { progressText } from '../domain/mirror';
import type { ChangeRequestStatus } from '../domain/machines';
import {
  changeRequestDetail,
  changeRequestView,
  decisionBody,
  editBody,
  emptyBody,
  changeRequestsQuery,
  reasonBody,
  reviewBody,
} from '../domain/schemas';
import { recordRefused } from '../db/audit';
import { carriedItems, whyItemsBlocked } from '../db/backlog/delivery';
import { edit, revise } from '../db/change-content';
import type { Tx } from '../db/connect';
import {
  findChangeRequest,
  findDecision,
  type ChangeRequestRow,
  type DecisionKind,
} from '../db/change-requests';
import type { Voided } from '../db/approvals';
import { sayDecision } from '../db/words';
import { knownIncarnation } from '../db/installation';
import { findPromotion, withdraw } from '../db/promotions';
import { changesWith } from '../db/search';
import type { Move } from '../db/transition';
import { plannedConflicts, viewChangeRequest } from '../db/views';
import { attributes, controlQueue } from '../temporal-config/names';
import { startOwn } from '../temporal-config/own-start';
import {
  approvalDecision,
  changeRequestMoved,
  changeRequestWorkflowId,
  type ChangeRequestInput,
} from '../workflows/messages';
import type { ApiDeps } from './deps';
import { whyNotBegun } from './not-begun';
import { page, pageView } from './page';
import { commitOf, draftFacts, itemsMentioned } from './draft';
import { route, type Answer, type Call, type Route } from './route';
import { sentences } from '../domain/sentences';

/** Change requests: submitted, decided and cancelled through their workflow; read from the record. */
export function changeRequestRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  const find = async (key: string) => {
    const row = await findChangeRequest(db, parseChangeRequestKey(key));
    if (!row) throw notFound(`change request ${key}`);
    return row;
  };
  const target = async ({ params }: { params: Record<string, string> }) =>
    (await findPromotion(db, parseChangeRequestKey(params.key!)))?.target;
  const view = (row: ChangeRequestRow) => viewChangeRequest(db, row, deps.targets());
  const viewNow = async (tx: Tx, id: number) =>
    viewChangeRequest(tx, (await findChangeRequest(tx, id))!, deps.targets());
  return [
    route({
      method: 'get',
      path: '/change-requests',
      summary: 'Change requests, newest first',
      permission: 'read',
      query: changeRequestsQuery,
      answers: { status: 200, schema: pageView(changeRequestView) },
      handle: async ({ query }) => ({
        body: await page(
          db,
          db('change_requests')
            .join('promotions', 'promotions.id', 'change_requests.id')
            .select('change_requests.*')
            .modify((q) => {
              if (query.target) void q.where('promotions.target', query.target);
              if (query.status) void q.where('change_requests.status', query.status);
              if (query.q) void q.whereIn('change_requests.id', changesWith(db, query.q));
            }),
          'change_requests.id',
          query,
          (rows: ChangeRequestRow[]) => Promise.all(rows.map(view)),
        ),
      }),
    }),
    route({
      method: 'get',
      path: '/change-requests/:key',
      summary: 'One change request with its decisions',
      permission: 'read',
      answers: { status: 200, schema: changeRequestDetail },
      async handle({ params }) {
        const body = await view(await find(params.key!));
        return {
          body: {
            ...body,
            descriptionHtml: htmlOf(body.description),
            rollbackPlanHtml: htmlOf(body.rollbackPlan),
            backupPlanHtml: htmlOf(body.backupPlan),
          },
        };
      },
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/submit',
      summary: 'Submit a draft for approval',
      permission: 'submit',
      target,
      body: emptyBody,
      answers: { status: 200, schema: changeRequestView },
      handle: async (call) => submitChangeRequest(deps, await find(call.params.key!), call),
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/decisions',
      summary: 'Approve or reject; the answer is the verdict that its workflow recorded',
      permission: 'decide',
      target,
      body: decisionBody,
      answers: { status: 201, schema: changeRequestView },
      handle: async (call) => decide(deps, call, await find(call.params.key!), call.body),
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/withdraw-decision',
      summary: 'Take back the approval that one gave, until the deployment starts',
      permission: 'decide',
      target,
      body: reasonBody,
      answers: { status: 201, schema: changeRequestView },
      handle: async (call) =>
        decide(deps, call, await find(call.params.key!), { decision: 'withdraw', comment: call.body.reason }),
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/review',
      summary: 'Review afterwards what passed its window: it completes the request',
      permission: 'decide',
      target,
      body: reviewBody,
      answers: { status: 201, schema: changeRequestView },
      handle: async (call) =>
        decide(deps, call, await find(call.params.key!), { decision: 'review', comment: call.body.comment }),
    }),
    route({
      method: 'patch',
      path: '/change-requests/:key',
      summary:
        'Change what a request says; what was approved before is void, and the answer says whose it was',
      ifMatch: true,
      permission: 'edit-change',
      target,
      body: editBody,
      answers: { status: 200, schema: changeRequestView.extend({ voided: z.array(z.string()) }) },
      async handle(call) {
        const row = await find(call.params.key!);
        if (call.ifMatch !== undefined && call.ifMatch !== row.version)
          throw new SignalboxError(
            'stale-version',
            `${changeRequestKey(row.id)} is at version ${row.version} by now, not ${call.ifMatch}; look again.`,
            { version: row.version },
          );
        const { target: name } = (await findPromotion(db, row.id))!;
        const config = configOf(deps, name);
        const { revision, ...rest } = call.body;
        const found = revision ? await commitOf(deps, config, revision, call.since) : undefined;
        if (found && 'copying' in found)
          throw new SignalboxError(
            'repository-being-copied',
            `The repository of ${name} is being copied: ${progressText(found.copying)}. Nothing was changed; try again in a moment.`,
          );
        const commit = found?.commit;
        const code =
          revision && commit
            ? { revision, commit, facts: await draftFacts(deps, config, commit) }
            : undefined;
        const given = rest.backlogItems;
        const items =
          given || code
            ? await carriedItems(db, given ?? [], [
                ...(given ? [] : row.backlog_items),
                ...(code ? itemsMentioned(code.facts) : []),
              ])
            : undefined;
        const wanted = { ...rest, ...(code ? { code } : {}), ...(items ? { backlogItems: items } : {}) };
        const move = { by: call.person, request: call.request };
        const answer = await call.write(async (tx) => {
          const voided = await edit(tx, row.id, wanted, config, move, call.ifMatch);
          return { body: { ...(await viewNow(tx, row.id)), voided } };
        });
        await tellMoved(deps, row);
        return answer;
      },
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/revise',
      summary: 'Make a rejected request a draft again, to be changed and submitted anew',
      permission: 'edit-change',
      target,
      body: reasonBody,
      answers: { status: 200, schema: changeRequestView },
      async handle({ params, person, request, body, write }) {
        const { id } = await find(params.key!);
        return write(async (tx) => {
          await revise(tx, id, { by: person, why: body.reason, request });
          return { body: await viewNow(tx, id) };
        });
      },
    }),
    route({
      method: 'post',
      path: '/change-requests/:key/cancel',
      summary: 'Cancel a change request; withdraws its promotion',
      permission: 'withdraw',
      target,
      body: reasonBody,
      answers: { status: 200, schema: changeRequestView },
      async handle({ params, person, request, body, write }) {
        const row = await find(params.key!);
        const answer = await write(async (tx) => {
          await withdrawPromotion(tx, row.id, { by: person, why: body.reason, request });
          return { body: await viewNow(tx, row.id) };
        });
        await tellMoved(deps, row);
        return answer;
      },
    }),
  ];
}

/** Sends a decision to the request's workflow and waits for the verdict that it records. */
async function decide(
  deps: ApiDeps,
  call: Call<unknown, unknown>,
  row: ChangeRequestRow,
  said: { decision: DecisionKind; comment?: string; digest?: string },
): Promise<Answer> {
  const { db } = deps;
  const submitting = row.status === 'draft' && (await isBeingSubmitted(deps, row));
  const digest = said.digest ?? row.digest;
  const { person: approver, mintedBy, request } = call;
  const decisionOf = (id: string) => ({ id, approver, ...said, digest, mintedBy, request });
  // Recorded before it is sent: what is accepted here is heard, whatever becomes of the workflow or of Temporal.
  const id = await call.once(async (tx) => {
    if (submitting)
      throw new SignalboxError(
        'illegal-transition',
        `${changeRequestKey(row.id)} was sent for submission, but no worker has recorded it yet. Decide on it once it is submitted.`,
      );
    const refusal = whyNotOpen(row, said.decision);
    if (refusal) throw refusal;
    const made = randomUUID();
    await sayDecision(tx, row, decisionOf(made));
    return made;
  });
  const read = () => findDecision(db, id);
  await failpoint('api-decide/before');
  const workflowId = changeRequestWorkflowId(row.id, row.submission, row.incarnation);
  if (!(await read()))
    await deps.temporal.workflow
      .signalWithStart('changeRequest', {
        // With a start, so that a workflow that was lost is there to hear it.
        ...startOptions(deps, row, { person: row.requester, request }),
        signal: approvalDecision,
        signalArgs: [deps.keyring.sign('decision', workflowId, decisionOf(id))],
      })
      .catch((err: unknown) =>
        deps.log.warn(
          { err, decision: id },
          'a decision is recorded but was not sent yet; reconcile sends it',
        ),
      );
  await failpoint('api-decide/sent-unanswered');
  const decision = await deps.changes.until(read, deps.verdictMs);
  if (decision && !decision.counted)
    throw new SignalboxError(decision.refusal_code as ErrorCode, decision.refusal!);
  const now = (await findChangeRequest(db, row.id))!;
  const body = await viewChangeRequest(db, now, deps.targets());
  if (decision) return { status: 201, body };
  const what = { approve: 'approval', reject: 'rejection', withdraw: 'withdrawal', review: 'review' }[
    said.decision
  ];
  const accepted = `Your ${what} of ${changeRequestKey(row.id)} was accepted and is kept, but no worker has recorded it yet; it is still ${now.status}. It is recorded as soon as a worker answers.`;
  return { status: 202, body: { ...body, accepted } };
}

/** Whether the next submission waits for a worker to record it. */
const isBeingSubmitted = async (deps: ApiDeps, { id, submission }: ChangeRequestRow): Promise<boolean> =>
  deps.temporal.workflow
    .getHandle(changeRequestWorkflowId(id, submission + 1, await knownIncarnation(deps.db)))
    .describe()
    .then(
      ({ status }) => status.name === 'RUNNING',
      (thrown: unknown) => {
        if (thrown instanceof WorkflowNotFoundError) return false;
        throw thrown;
      },
    );

/** Starts the next submission's workflow and waits until the request is submitted. */
export async function submitChangeRequest(deps: ApiDeps, row: ChangeRequestRow, by: By) {
  const { db } = deps;
  if (row.status !== 'draft') {
    if (row.status === 'submitted') return { body: await viewChangeRequest(db, row, deps.targets()) };
    throw new SignalboxError(
      'illegal-transition',
      `${changeRequestKey(row.id)} is ${row.status}; only a draft can be submitted.`,
    );
  }
  const { target } = (await findPromotion(db, row.id))!;
  const conflicts = await plannedConflicts(db, row, target, deps.targets());
  const refusal =
    (await whyItemsBlocked(db, row.backlog_items)) ??
    conflictRefusal(changeRequestKey(row.id), conflicts, row.conflicts_accepted);
  if (refusal) throw new SignalboxError(refusal.code as ErrorCode, refusal.message, refusal.detail);
  configOf(deps, target);
  const submission = row.submission + 1;
  const next = { id: row.id, submission, incarnation: await knownIncarnation(db) };
  const options = startOptions(deps, next, by);
  await startOwn(deps.temporal, 'changeRequest', options, {
    isOurs: (input) => deps.keyring.whyForged('submit', options.workflowId, input) === undefined,
    isRecorded: async () => (await findChangeRequest(db, row.id))!.submission >= submission,
    told: (why) => recordRefused(db, changeRequestKey(row.id), why),
  });
  const read = async () => {
    const now = (await findChangeRequest(db, row.id))!;
    return now.submission >= submission ? now : undefined;
  };
  const submitted = await deps.changes.until(read, deps.verdictMs);
  if (!submitted) {
    const workflowId = changeRequestWorkflowId(row.id, submission, next.incarnation);
    const why = await whyNotBegun(deps, workflowId, `The approval of ${changeRequestKey(row.id)}`);
    if (why) throw why;
  }
  const body = await viewChangeRequest(db, submitted ?? row, deps.targets());
  if (submitted) return { status: 200, body };
  const accepted = `${changeRequestKey(row.id)} was accepted for submission, but no worker has recorded it yet, so it is still a draft. It is submitted as soon as a worker answers.`;
  return { status: 202, body: { ...body, accepted } };
}

/** Withdraws a promotion with its change request; the request's workflow is to be told then. */
export async function withdrawPromotion(tx: Tx, id: number, move: Move): Promise<void> {
  const outcome = `withdrawn by ${move.by}${move.why ? `: ${move.why}` : ''}`;
  const refused = await withdraw(tx, id, outcome, move);
  if (refused)
    throw new SignalboxError(
      'illegal-transition',
      sentences(`${promotionKey(id)} cannot be withdrawn: ${refused}`),
    );
}

/** Tells a request's workflow to look at the record; when that is lost, `reconcile` says it again. */
export async function tellMoved(deps: ApiDeps, { id, submission, incarnation }: Voided): Promise<void> {
  if (submission > 0)
    await deps.temporal.workflow
      .getHandle(changeRequestWorkflowId(id, submission, incarnation))
      .signal(changeRequestMoved)
      .catch((thrown: unknown) =>
        deps.log.warn({ err: thrown }, 'the change request will be told by reconcile'),
      );
}

/** Refused at once where nothing is there to hear it; the workflow's verdict is what counts. */
function whyNotOpen(row: ChangeRequestRow, decision: DecisionKind): SignalboxError | undefined {
  const key = changeRequestKey(row.id);
  const takes: Record<DecisionKind, ChangeRequestStatus[]> = {
    approve: ['submitted'],
    reject: ['submitted'],
    withdraw: ['submitted', 'approved'],
    review: ['in-progress'],
  };
  if (takes[decision].includes(row.status)) return undefined;
  const why =
    row.status === 'draft'
      ? `${key} is a draft; submit it before it is decided.`
      : decision === 'withdraw'
        ? `${key} is ${row.status}; an approval can be withdrawn until the deployment starts.`
        : decision === 'review'
          ? `${key} is ${row.status}; only what was deployed past its window is reviewed.`
          : `${key} is ${row.status} and takes no decisions any more.`;
  return new SignalboxError('illegal-transition', why);
}

function configOf(deps: ApiDeps, name: string): TargetConfig {
  const config = deps.targets().get(name);
  if (!config) throw badInput(`The targets file names no target ${name} any more; put it back.`);
  return config;
}

type Submission = Pick<ChangeRequestRow, 'id' | 'submission' | 'incarnation'>;
/** Who asked, in which request. */
interface By {
  person: string;
  request: string;
}

const startOptions = (deps: ApiDeps, { id, submission, incarnation }: Submission, by: By) => ({
  workflowId: changeRequestWorkflowId(id, submission, incarnation),
  taskQueue: controlQueue,
  args: [
    deps.keyring.sign('submit', changeRequestWorkflowId(id, submission, incarnation), {
      changeRequest: id,
      submission,
      by: by.person,
      request: by.request,
    } satisfies ChangeRequestInput),
  ],
  staticSummary: `${changeRequestKey(id)}: approval of ${promotionKey(id)}`,
  typedSearchAttributes: [
    { key: attributes.changeRequest, value: changeRequestKey(id) },
    { key: attributes.promotion, value: promotionKey(id) },
    { key: attributes.status, value: 'submitted' },
    { key: attributes.actor, value: by.person },
  ],
});
