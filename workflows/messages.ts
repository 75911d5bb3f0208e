import { defineQuery, defineSignal } from '@temporalio/workflow';
import { idIn } from '../domain/incarnation';
import { changeRequestKey, deploymentKey, recoverWorkflowId } from '../domain/keys';
import type { Trigger } from '../domain/machines';
import type { Signed } from '../temporal-config/signing';

/**
 * Everything that is said to a workflow, and the ids under which they are found. An id carries the incarnation of the
 * database in which its number was given out: after a restore a number comes again, and means something else.
 */
export const deployWorkflowId = (promotion: number, attempt: number, incarnation: string) =>
  idIn(`deploy/${deploymentKey(promotion, attempt).replace('.', '/')}`, incarnation);
export { recoverWorkflowId };
/** Wakes whoever waits for a window, after it was changed. */
export const wakeWorkflowId = (revision: number) => `windows/${revision}`;
export const deliverWorkflowId = (delivery: number, round: number, incarnation: string) =>
  idIn(`notify/${delivery}/${round}`, incarnation);
export const changeRequestWorkflowId = (id: number, submission: number, incarnation: string) =>
  idIn(`rfc/${changeRequestKey(id)}/${submission}`, incarnation);

export interface DeploymentRequest {
  promotion: number;
  attempt: number;
  trigger: Trigger;
  startedBy: string;
  reason?: string;
  /** Outside of its window it waits until that opens, instead of being refused. */
  whenOpen?: boolean;
  /** Id of the HTTP request. */
  request?: string;
}
export interface DeploymentOutcome {
  deployment: string;
  status: string;
  outcome: string;
}
export interface RecoveryRequest {
  deployment: number;
  key: string;
  /** What became of the workflow that ran it, in plain words. */
  why: string;
  /** Nobody ended it: Temporal knows nothing of it any more. What had not begun then goes on waiting. */
  vanished?: true;
}
export interface ChangeRequestInput {
  changeRequest: number;
  submission: number;
  /** Who submits it. */
  by: string;
  request?: string;
}

export const adoptWorkflowId = (target: string, id: string) => `adopt/${target}/${id}`;
/** What is live on a target is to be taken into the record. */
export interface AdoptRequest {
  id: string;
  target: string;
  by: string;
  reason: string;
  request?: string;
}

/** One notification to one webhook. */
export interface DeliveryRequest {
  delivery: number;
  /** Raised by each sending again by hand. */
  round: number;
  webhook: string;
  event: string;
  subject: string;
  /** First pause between tries; four times as long each time. */
  retryMs: number;
  giveUpMs: number;
  timeoutMs: number;
}

/** What the API says carries its signature; whoever hears it lets an activity verify it before anything follows. */
export interface CancelRequest {
  by: string;
  reason?: string;
  request?: string;
}
export interface Resolution {
  action: 'retry' | 'accept';
  by: string;
  reason: string;
  request?: string;
}
export interface DecisionSignal {
  id: string;
  approver: string;
  /** `withdraw`: takes one's approval back; `review`: looks at it afterwards. */
  decision: 'approve' | 'reject' | 'withdraw' | 'review';
  /** Digest of what was looked at: the decision binds to it. */
  digest: string;
  comment?: string;
  /** Who minted the token that it was given by, when that is somebody else. */
  mintedBy?: string;
  request?: string;
}
export interface Progress {
  status: string;
  doing: string;
  waitingFor: string | null;
}

/** The lane may be free: look again. */
export const laneFree = defineSignal('laneFree');
export const cancelDeployment = defineSignal<[Signed<CancelRequest>]>('cancelDeployment');
/** An SRE's answer to a failed rollback. */
export const resolveRollback = defineSignal<[Signed<Resolution>]>('resolveRollback');
export const approvalDecision = defineSignal<[Signed<DecisionSignal>]>('approvalDecision');
/** A window was changed: look again whether it is open. */
export const windowChanged = defineSignal('windowChanged');
/** Its promotion moved on: look at the record. */
export const changeRequestMoved = defineSignal('changeRequestMoved');
export const progress = defineQuery<Progress>('progress');
