import { randomUUID } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { notFound, SignalboxError, type ErrorCode } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { changeRequestKey, parseChangeRequestKey, promotionKey } from '../domain/keys';
import { changeRequestView, decisionBody, emptyBody, listQuery, reasonBody } from '../domain/schemas';
import { findChangeRequest, findDecision, type ChangeRequestRow } from '../db/change-requests';
import type { Voided } from '../db/people';
import { findPromotion, withdraw } from '../db/promotions';
import type { Move } from '../db/transition';
import { viewChangeRequest } from '../db/views';
import { attributes, controlQueue } from '../temporal-config/names';
import {
  approvalDecision,
  changeRequestMoved,
  changeRequestWorkflowId,
  type ChangeRequestInput,
} from '../workflows/messages';
import type { ApiDeps } from './deps';
import { page, pageView } from './page';
import { route, type Route } from './route';

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
  const view = (row: ChangeRequestRow) => viewChangeRequest(db, row);
  return [
    route({
      method: 'get',
      path: '/change-requests',
      summary: 'Change requests, newest first',
      permission: 'read',
      query: listQuery,
      answers: { status: 200, schema: pageView(changeRequestView) },
      handle: async ({ query }) => ({
        body: await page(
          db('change_requests')
            .join('promotions', 'promotions.id', 'change_requests.id')
            .select('change_requests.*')
            .modify((q) => void (query.target && q.where('promotions.target', query.target))),
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
      answers: { status: 200, schema: changeRequestView },
      handle: async ({ params }) => ({ body: await view(await find(params.key!)) }),
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
      async handle(call) {
        const row = await find(call.params.key!);
        const id = await call.once(async () => {
          if (row.status !== 'submitted') throw notOpen(row);
          return randomUUID();
        });
        const read = () => findDecision(db, id);
        await failpoint('api-decide/before');
        if (!(await read()))
          await deps.temporal.workflow.signalWithStart('changeRequest', {
            // With a start, so that a workflow that was lost is there to hear it.
            ...startOptions(deps, row.id, row.submission, { person: row.requester, request: call.request }),
            signal: approvalDecision,
            signalArgs: [
              deps.keyring.sign('decision', changeRequestWorkflowId(row.id, row.submission), {
                id,
                approver: call.person,
                ...call.body,
                mintedBy: call.mintedBy,
                request: call.request,
              }),
            ],
          });
        await failpoint('api-decide/sent-unanswered');
        const decision = await deps.changes.until(read, deps.verdictMs);
        if (decision && !decision.counted)
          throw new SignalboxError(decision.refusal_code as ErrorCode, decision.refusal!);
        return { status: decision ? 201 : 202, body: await view(await find(call.params.key!)) };
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
      async handle({ params, person, request, body }) {
        const row = await find(params.key!);
        await withdrawPromotion(deps, row, { by: person, why: body.reason, request });
        return { body: await view(await find(params.key!)) };
      },
    }),
  ];
}

/** Starts the next submission's workflow and waits until the request is submitted. */
export async function submitChangeRequest(deps: ApiDeps, row: ChangeRequestRow, by: By) {
  const { db } = deps;
  if (row.status !== 'draft') {
    if (row.status === 'submitted') return { body: await viewChangeRequest(db, row) };
    throw new SignalboxError(
      'illegal-transition',
      `${changeRequestKey(row.id)} is ${row.status}; only a draft can be submitted.`,
    );
  }
  const submission = row.submission + 1;
  await deps.temporal.workflow
    .start('changeRequest', startOptions(deps, row.id, submission, by))
    .catch((thrown: unknown) => {
      if (!(thrown instanceof WorkflowExecutionAlreadyStartedError)) throw thrown;
    });
  const read = async () => {
    const now = (await findChangeRequest(db, row.id))!;
    return now.submission >= submission ? now : undefined;
  };
  const submitted = await deps.changes.until(read, deps.verdictMs);
  return { status: submitted ? 200 : 202, body: await viewChangeRequest(db, submitted ?? row) };
}

/** Withdraws a promotion with its change request and tells the request's workflow. */
export async function withdrawPromotion(deps: ApiDeps, row: ChangeRequestRow, move: Move): Promise<void> {
  const outcome = `withdrawn by ${move.by}${move.why ? `: ${move.why}` : ''}`;
  const refused = await withdraw(deps.db, row.id, outcome, move);
  if (refused)
    throw new SignalboxError(
      'illegal-transition',
      `${promotionKey(row.id)} can not be withdrawn: ${refused}.`,
    );
  await tellMoved(deps, row);
}

/** Tells a request's workflow to look at the record; when that is lost, `reconcile` says it again. */
export async function tellMoved(deps: ApiDeps, { id, submission }: Voided): Promise<void> {
  if (submission > 0)
    await deps.temporal.workflow
      .getHandle(changeRequestWorkflowId(id, submission))
      .signal(changeRequestMoved)
      .catch((thrown: unknown) =>
        deps.log.warn({ err: thrown }, 'the change request will be told by reconcile'),
      );
}

const notOpen = (row: ChangeRequestRow) =>
  new SignalboxError(
    'illegal-transition',
    row.status === 'draft'
      ? `${changeRequestKey(row.id)} is a draft; submit it before it is decided.`
      : `${changeRequestKey(row.id)} is ${row.status} and takes no decisions any more.`,
  );

/** Who asked, in which request. */
interface By {
  person: string;
  request: string;
}

const startOptions = (deps: ApiDeps, id: number, submission: number, by: By) => ({
  workflowId: changeRequestWorkflowId(id, submission),
  taskQueue: controlQueue,
  args: [
    deps.keyring.sign('submit', changeRequestWorkflowId(id, submission), {
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
