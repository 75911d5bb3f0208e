import { ApplicationFailure } from '@temporalio/common';
import { z } from 'zod';
import { triggers } from '../domain/machines';
import { whyNotSaid, type WordKind } from '../domain/words';
import { recordRefused } from '../db/audit';
import { deploymentById, rowKey, type DeploymentRow } from '../db/deployments';
import { whyMayNotNow } from '../db/people';
import { refuseWord, wordById, wordSaid, type WordRow } from '../db/words';
import { begunAs } from '../temporal-config/own-start';
import type { Purpose, Signed } from '../temporal-config/signing';
import type {
  AdoptRequest,
  CancelRequest,
  ChangeRequestInput,
  DecisionSignal,
  DeploymentRequest,
  Resolution,
} from '../workflows/messages';
import { failpoint } from '../domain/failpoint';
import type { Deps } from './deps';
import { orderedBy } from './orders';
import { sentences } from '../domain/sentences';

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
/** A signal that only brings the workflow to look at a word in the record. */
export const hint = z.strictObject({ word: id });
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
  const me = () => orderedBy().workflowId;

  /** Records that something was said that changes nothing. @param subject the key of what it was about. */
  async function refuse(purpose: Purpose, subject: string, message: unknown, why: string): Promise<void> {
    deps.log.warn({ workflow: me(), purpose, why }, `refused a ${title[purpose]}; nothing was changed`);
    const told = sentences(`A ${title[purpose]} for ${me()} was refused: ${why}`);
    await recordRefused(deps.db, subject, told, { claims: shown(message) });
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

  /** The same for what a workflow begins with. @throws a failure that ends the workflow. */
  async function verifiedStart<P extends 'start' | 'submit' | 'adopt'>(
    purpose: P,
    message: unknown,
  ): Promise<Said[P]> {
    const [, subject = me()] = me().split('/');
    const said = await verified(purpose, subject, message);
    if (said) return said;
    await endCron();
    throw ApplicationFailure.nonRetryable(
      `Refused: only Signalbox's API starts ${me()}. Nothing was changed; the audit trail has the reason. ` +
        'If it was the API, give it and the workers the same signing keys (SIGNALBOX_SIGNING_KEYS_FILE).',
      'Forged',
    );
  }

  /** One that Temporal begins again by itself would be refused again and again. */
  async function endCron(): Promise<void> {
    const { workflowId, runId } = orderedBy();
    const begun = await begunAs(deps.temporal, workflowId, runId);
    if (!begun?.cron) return;
    await deps.temporal.workflow
      .getHandle(workflowId, runId)
      .terminate(`Refused: only Signalbox's API starts ${workflowId}, and it has no cron ("${begun.cron}").`)
      .catch(() => undefined);
  }

  /**
   * The word that was signalled: what the API signed, or a mere hint to look at a word in the record, which needs no
   * signature because it says nothing by itself. Undefined when it was neither; then it was refused.
   */
  async function wordOf(kind: WordKind, row: DeploymentRow, message: unknown): Promise<WordRow | undefined> {
    const hinted = hint.safeParse(message);
    if (hinted.success) {
      const word = await wordById(deps.db, hinted.data.word);
      return word?.deployment === row.id && word.kind === kind && word.status === 'waiting'
        ? word
        : undefined;
    }
    const said = await verified(kind, rowKey(row), message);
    if (!said) return undefined;
    const { by, reason, request } = said;
    const action = 'action' in said ? said.action : null;
    const word = await wordSaid(deps.db, row.id, {
      kind,
      action,
      said_by: by,
      reason: reason ?? null,
      // The request that it was said in is the word's id; without one it is known by its signature.
      request: request ?? `signed ${macOf(message)}`,
    });
    if (word.status === 'waiting') return word;
    await refuse(kind, rowKey(row), message, `it was ${word.status} before; a repeat changes nothing`);
    return undefined;
  }

  /**
   * A cancel or a resolution of an attempt, if its sender still may and the attempt still can; null when not. Its row
   * stays open until the attempt moves, which settles it, so that the next run may hear it again.
   */
  async function heard(
    kind: WordKind,
    deployment: number,
    message: unknown,
  ): Promise<CancelRequest | Resolution | null> {
    await failpoint('heard/before');
    const word = await wordOf(kind, await deploymentById(deps.db, deployment), message);
    if (!word) return null;
    // Read after the word was recorded: what moves the attempt from now on settles it.
    const row = await deploymentById(deps.db, deployment);
    const state = whyNotSaid(kind, row.status);
    const refusal = state
      ? `${rowKey(row)} is ${row.status}; ${state}`
      : (await whyMayNotNow(deps.db, word.said_by, kind, row.target))?.message;
    if (refusal) {
      await refuseWord(deps.db, word.id, refusal);
      await refuse(kind, rowKey(row), message, refusal);
      return null;
    }
    const said = { by: word.said_by, reason: word.reason ?? undefined, request: word.request };
    return word.action ? { ...said, action: word.action, reason: word.reason ?? '' } : said;
  }

  return { refuse, verified, verifiedStart, heard };
}
export type Heard = ReturnType<typeof createHeard>;

/** A verified message's signature. */
const macOf = (message: unknown): string => (message as Signed<object>).signature.mac;

/** What a forged message claims, short enough for the trail. */
function shown(message: unknown): string {
  const all = JSON.stringify(message) ?? String(message);
  return all.length > 500 ? `${all.slice(0, 500)}...` : all;
}
