import { whyClosed, whyNotNow, type No } from '../domain/admission';
import { SignalboxError, type ErrorCode } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { changeRequestKey, deploymentKey, promotionKey } from '../domain/keys';
import type { ChangeType, Trigger } from '../domain/machines';
import type { DeploymentView } from '../domain/schemas';
import { recordRefused } from '../db/audit';
import { rebind } from '../db/change-content';
import { findChangeRequest } from '../db/change-requests';
import { attemptThatDeployed, findDeployment } from '../db/deployments';
import { knownIncarnation } from '../db/installation';
import type { PromotionRow } from '../db/promotions';
import { askedOf, type Starter } from '../db/standing';
import { viewDeployment } from '../db/views';
import { attributes, controlQueue } from '../temporal-config/names';
import { startOwn } from '../temporal-config/own-start';
import { deployWorkflowId, type DeploymentRequest } from '../workflows/messages';
import type { ApiDeps } from './deps';
import { whyNotBegun } from './not-begun';
import type { Answer, Call } from './route';

/**
 * Deploy Now, retry and rollback: decide the attempt's number, start its workflow, wait for its row. Clicks
 * that race, or come again after a lost answer, decide the same number and so find the same workflow.
 */
export async function startDeployment(
  deps: ApiDeps,
  call: Call<{ reason?: string }, unknown>,
  promotion: PromotionRow,
  trigger: Trigger,
  whenOpen = false,
): Promise<Answer> {
  const { db, changes, runUrl } = deps;
  const { id } = promotion;
  const target = deps.targets().get(promotion.target);
  const starter = { trigger, startedBy: call.person, whenOpen };
  const attempt = await call
    .once(async (tx) => {
      const asked = (await askedOf(deps, tx, promotion, starter))!;
      const { open } = asked;
      if (open?.trigger === trigger) return String(open.attempt);
      // A click after the end: the answer is the attempt that deployed it, while that is what the target runs.
      if (trigger === 'deploy' && asked.promotion === 'deployed' && asked.live?.promotion === id)
        return String(await attemptThatDeployed(tx, id));
      if (open)
        throw new SignalboxError(
          'illegal-transition',
          `${deploymentKey(id, open.attempt)} (${open.trigger}) is ${open.status}; wait for it or cancel it.`,
        );
      const no = whyNotNow(asked, target, 'click');
      if (no?.then === 'refuse') throw new Refused(no);
      return String(asked.lastAttempt + 1);
    })
    .then(Number)
    .catch(async (thrown: unknown) => {
      if (!(thrown instanceof Refused)) throw thrown;
      // It can be approved again then.
      if (thrown.code === 'approval-void' && target)
        await db.transaction((tx) => rebind(tx, id, target, call.request));
      throw thrown;
    });
  const key = deploymentKey(id, attempt);
  const read = () => findDeployment(db, id, attempt);
  const workflowId = deployWorkflowId(id, attempt, await knownIncarnation(db));
  const request: DeploymentRequest = {
    promotion: id,
    attempt,
    trigger,
    startedBy: call.person,
    reason: call.body.reason,
    ...(whenOpen ? { whenOpen } : {}),
    request: call.request,
  };
  await failpoint('api-deploy/before');
  if (!(await read())) await start(deps, workflowId, request, promotion);
  await failpoint('api-deploy/started-unanswered');
  const row = await changes.until(read, deps.verdictMs);
  if (!row) {
    const why = await whyNotBegun(deps, workflowId, key);
    if (why) throw why;
    const { type } = (await findChangeRequest(db, id))!;
    return {
      status: 202,
      body: unanswered(promotion, type, request, { workflowId, runId: '', url: runUrl(workflowId, '') }),
    };
  }
  if (row.status === 'refused')
    throw new SignalboxError(row.outcome_code as ErrorCode, row.outcome!, {
      deployment: key,
      ...(row.outcome_code === 'window-closed' ? await windowDetail(deps, promotion, starter) : {}),
    });
  return { status: 202, body: await viewDeployment(db, row, runUrl) };
}

/** The rule that refused a click. */
class Refused extends SignalboxError {
  constructor({ code, message, detail }: No) {
    super(code as ErrorCode, message, detail);
  }
}

async function windowDetail(deps: ApiDeps, promotion: PromotionRow, starter: Starter) {
  const { window } = (await askedOf(deps, deps.db, promotion, starter))!;
  return (window && whyClosed(promotion.target, window)?.detail) ?? {};
}

async function start(
  deps: ApiDeps,
  workflowId: string,
  request: DeploymentRequest,
  promotion: PromotionRow,
): Promise<void> {
  const key = deploymentKey(request.promotion, request.attempt);
  const verb = { deploy: 'Deploy', retry: 'Retry', rollback: 'Roll back' }[request.trigger];
  const options = {
    workflowId,
    taskQueue: controlQueue,
    args: [deps.keyring.sign('start', workflowId, request)],
    requestEagerStart: true,
    staticSummary: `${key}: ${verb} ${promotion.title} (${promotion.revision}) on ${promotion.target}`,
    staticDetails: [
      `**${verb}** ${promotionKey(promotion.id)} on **${promotion.target}**, asked for by ${request.startedBy}.`,
      `Revision ${promotion.revision}, commit ${promotion.commit}. Approved by ${changeRequestKey(promotion.id)}.`,
      request.reason ? `Reason: ${request.reason}` : '',
    ].join('\n\n'),
    typedSearchAttributes: [
      { key: attributes.target, value: promotion.target },
      { key: attributes.promotion, value: promotionKey(promotion.id) },
      { key: attributes.changeRequest, value: changeRequestKey(promotion.id) },
      { key: attributes.status, value: 'queued' },
      { key: attributes.actor, value: request.startedBy },
    ],
  };
  const { db, keyring, temporal } = deps;
  await startOwn(
    temporal,
    'deployPromotion',
    { ...options, workflowIdReusePolicy: 'REJECT_DUPLICATE' },
    {
      isOurs: (input) => keyring.whyForged('start', workflowId, input) === undefined,
      // One that ended before its admission (terminated, say) wrote nothing: its number is still free.
      isRecorded: async () => (await findDeployment(db, request.promotion, request.attempt)) !== undefined,
      told: (why) => recordRefused(db, key, why),
    },
  );
}

/** The attempt as it stands when Temporal has taken it but no worker has admitted it yet. */
function unanswered(
  promotion: PromotionRow,
  type: ChangeType,
  request: DeploymentRequest,
  temporal: DeploymentView['temporal'],
): DeploymentView {
  const now = new Date().toISOString();
  return {
    key: deploymentKey(request.promotion, request.attempt),
    promotion: promotionKey(promotion.id),
    title: promotion.title,
    emergency: type === 'emergency',
    target: promotion.target,
    attempt: request.attempt,
    fence: null,
    trigger: request.trigger,
    status: 'queued',
    startedBy: request.startedBy,
    startedAt: null,
    finishedAt: null,
    from: null,
    to: null,
    position: null,
    scheduledFor: null,
    waitingFor: 'a worker: it was accepted, but no worker is answering yet',
    accepted: `${deploymentKey(request.promotion, request.attempt)} was accepted, but no worker is answering yet. It begins as soon as one does.`,
    outcome: null,
    logRemovedAt: null,
    runner: null,
    backup: null,
    steps: [],
    words: [],
    temporal,
    version: 0,
    createdAt: now,
    updatedAt: now,
  };
}
