import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import type { Permission } from '../domain/permissions';
import { triggers } from '../domain/machines';
import { recordAudit } from '../db/audit';
import { deploymentById, rowKey } from '../db/deployments';
import { whyMayNotNow } from '../db/people';
import type { Purpose } from '../temporal-config/signing';
import type {
  AdoptRequest,
  CancelRequest,
  ChangeRequestInput,
  DecisionSignal,
  DeploymentRequest,
  Resolution,
} from '../workflows/messages';
import type { Deps } from './deps';

/**
 * Verifies what was said to a workflow before anything follows from it: that the API said it, to this workflow, and
 * that it makes sense. What was not is recorded as refused and changes nothing.
 */
const name = z.string().min(1).max(200);
const text = z.string().max(2000).optional();
const id = z.int().min(1).max(999_999_999);
const request = name.optional();
const forms = {
  start: z.strictObject({
    promotion: id,
    attempt: id,
    trigger: z.enum(triggers),
    startedBy: name,
    reason: text,
    whenOpen: z.boolean().optional(),
    request,
  }) satisfies z.ZodType<DeploymentRequest>,
  submit: z.strictObject({
    changeRequest: id,
    submission: id,
    by: name,
    request,
  }) satisfies z.ZodType<ChangeRequestInput>,
  decision: z.strictObject({
    id: z.uuid(),
    approver: name,
    decision: z.enum(['approve', 'reject', 'withdraw', 'review']),
    digest: z.string().max(64),
    comment: text,
    mintedBy: name.optional(),
    request,
  }) satisfies z.ZodType<DecisionSignal>,
  adopt: z.strictObject({
    id: z.uuid(),
    target: name,
    by: name,
    reason: z.string().max(2000),
    request,
  }) satisfies z.ZodType<AdoptRequest>,
  cancel: z.strictObject({ by: name, reason: text, request }) satisfies z.ZodType<CancelRequest>,
  resolve: z.strictObject({
    action: z.enum(['retry', 'accept']),
    by: name,
    reason: z.string().max(2000),
    request,
  }) satisfies z.ZodType<Resolution>,
};
type Said = { [P in Purpose]: z.infer<(typeof forms)[P]> };

/** In words, for the audit trail. */
const title: Record<Purpose, string> = {
  start: 'start',
  submit: 'submission',
  decision: 'decision',
  cancel: 'cancel',
  resolve: 'resolution',
  adopt: 'adoption',
};

export function createHeard(deps: Deps) {
  const me = () => Context.current().info.workflowExecution!.workflowId;

  /** Records that something was said that changes nothing. @param subject the key of what it was about. */
  async function refuse(purpose: Purpose, subject: string, message: unknown, why: string): Promise<void> {
    deps.log.warn({ workflow: me(), purpose, why }, `refused a ${title[purpose]}; nothing was changed`);
    await recordAudit(deps.db, {
      actor: 'unknown',
      action: 'signal.refused',
      subject,
      why: `A ${title[purpose]} for ${me()} was refused: ${why}.`,
      after: { claims: shown(message) },
    });
  }

  /** What was said, if the API said it; otherwise it is recorded as refused. */
  async function verified<P extends Purpose>(
    purpose: P,
    subject: string,
    message: unknown,
  ): Promise<Said[P] | undefined> {
    const forged = deps.keyring.whyForged(purpose, me(), message);
    if (forged) return void (await refuse(purpose, subject, message, forged));
    const { signature: _signature, ...rest } = message as { signature: unknown };
    const parsed = forms[purpose].safeParse(rest);
    if (!parsed.success)
      return void (await refuse(purpose, subject, message, 'it does not make sense to this version'));
    return parsed.data as Said[P];
  }

  /** What was verified when the first of this workflow's runs began; the key that signed it may be gone by now. */
  const unsigned = <P extends Purpose>(purpose: P, message: unknown): Said[P] => {
    const { signature: _signature, ...rest } = message as { signature: unknown };
    return forms[purpose].parse(rest) as Said[P];
  };

  /** The same for what a workflow begins with. @throws a failure that ends the workflow. */
  async function verifiedStart<P extends 'start' | 'submit' | 'adopt'>(
    purpose: P,
    message: unknown,
    continues = false,
  ): Promise<Said[P]> {
    const [, subject = me()] = me().split('/');
    const said = continues ? unsigned(purpose, message) : await verified(purpose, subject, message);
    if (!said)
      throw ApplicationFailure.nonRetryable(
        `Refused: only Signalbox's API starts ${me()}. Nothing was changed; the audit trail has the reason. ` +
          'If it was the API, give it and the workers the same signing keys (SIGNALBOX_SIGNING_KEYS_FILE).',
        'Forged',
      );
    return said;
  }

  /**
   * A cancel or a resolution of an attempt, if its sender may; null when it was refused.
   * @param repeated whether this workflow heard the very same before: an answer counts for the question it was given to.
   */
  async function heard(
    purpose: 'cancel' | 'resolve',
    deployment: number,
    message: unknown,
    repeated: boolean,
  ): Promise<CancelRequest | Resolution | null> {
    const row = await deploymentById(deps.db, deployment);
    const said = await verified(purpose, rowKey(row), message);
    if (!said) return null;
    if (repeated) {
      await refuse(purpose, rowKey(row), message, 'it was said before; a repeat changes nothing');
      return null;
    }
    const permission: Permission = purpose;
    const refusal = await whyMayNotNow(deps.db, said.by, permission, row.target);
    if (!refusal) return said;
    await refuse(purpose, rowKey(row), message, refusal.message);
    return null;
  }

  return { refuse, verified, verifiedStart, heard };
}
export type Heard = ReturnType<typeof createHeard>;

/** What a forged message claims, short enough for the trail. */
function shown(message: unknown): string {
  const all = JSON.stringify(message) ?? String(message);
  return all.length > 500 ? `${all.slice(0, 500)}...` : all;
}
