import { randomUUID } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { notFound, SignalboxError } from '../domain/errors';
import { findAdoption } from '../db/adoptions';
import { databaseNow } from '../db/clock';
import { viewTarget } from '../db/targets';
import { attributes, controlQueue } from '../temporal-config/names';
import { adoptWorkflowId, type AdoptRequest } from '../workflows/messages';
import type { ApiDeps } from './deps';
import { whyNotBegun } from './not-begun';
import type { Answer, Call } from './route';

/** Takes what is live on a target into the record; the answer is the verdict that its workflow recorded. */
export async function adopt(deps: ApiDeps, call: Call<{ reason: string }, unknown>): Promise<Answer> {
  const { db } = deps;
  const name = call.params.name!;
  const config = deps.targets().get(name);
  if (!config) throw notFound(`target ${name.slice(0, 80)}`);
  if (config.runner)
    throw new SignalboxError(
      'illegal-transition',
      `${name} has runners, and what is live on their host cannot be adopted from here. Deploy over it: what is live is observed first, and a rollback returns to it.`,
    );
  const id = await call.once(() => Promise.resolve(randomUUID()));
  const request: AdoptRequest = {
    id,
    target: name,
    by: call.person,
    reason: call.body.reason,
    request: call.request,
  };
  const workflowId = adoptWorkflowId(name, id);
  await deps.temporal.workflow
    .start('adoptTarget', {
      workflowId,
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      taskQueue: controlQueue,
      args: [deps.keyring.sign('adopt', workflowId, request)],
      staticSummary: `Adopt what is live on ${name}`,
      staticDetails: `Asked for by ${request.by}. Reason: ${request.reason}`,
      typedSearchAttributes: [
        { key: attributes.target, value: name },
        { key: attributes.actor, value: request.by },
      ],
    })
    .catch((thrown: unknown) => {
      if (!(thrown instanceof WorkflowExecutionAlreadyStartedError)) throw thrown;
    });
  const ended = async () => {
    const row = await findAdoption(db, id);
    return row && row.outcome !== null ? row : undefined;
  };
  const row = await deps.changes.until(ended, deps.verdictMs);
  if (!row) {
    const why = await whyNotBegun(deps, workflowId, `The adoption of ${name}`);
    if (why) throw why;
  }
  if (row && !row.adopted) throw new SignalboxError('illegal-transition', row.outcome!);
  return {
    status: row ? 200 : 202,
    body: await viewTarget(db, config, await deps.windows.current(), await databaseNow(db)),
  };
}
