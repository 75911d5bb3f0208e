import { defineQuery, defineSignal } from '@temporalio/workflow';
import { changeRequestKey, deploymentKey } from '../domain/keys';
import type { Trigger } from '../domain/machines';
import type { Signed } from '../temporal-config/signing';

/** Everything that is said to a workflow, and the ids under which they are found. */
export const deployWorkflowId = (promotion: number, attempt: number) =>
  `deploy/${deploymentKey(promotion, attempt).replace('.', '/')}`;
export const recoverWorkflowId = (promotion: number, attempt: number) =>
  `recover/${deploymentKey(promotion, attempt).replace('.', '/')}`;
export const changeRequestWorkflowId = (id: number, submission: number) =>
  `rfc/${changeRequestKey(id)}/${submission}`;

export interface DeploymentRequest {
  promotion: number;
  attempt: number;
  trigger: Trigger;
  startedBy: string;
  reason?: string;
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
}
export interface ChangeRequestInput {
  changeRequest: number;
  submission: number;
  /** Who submits it. */
  by: string;
  request?: string;
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
  decision: 'approve' | 'reject';
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
/** Its promotion moved on: look at the record. */
export const changeRequestMoved = defineSignal('changeRequestMoved');
export const progress = defineQuery<Progress>('progress');
