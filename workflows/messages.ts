import { defineQuery, defineSignal } from '@temporalio/workflow';
import { changeRequestKey, deploymentKey } from '../domain/keys';
import type { Trigger } from '../domain/machines';

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
}

export interface CancelRequest {
  by: string;
  reason?: string;
}
export interface Resolution {
  action: 'retry' | 'accept';
  by: string;
  reason: string;
}
export interface DecisionSignal {
  id: string;
  approver: string;
  decision: 'approve' | 'reject';
  comment?: string;
}
export interface Progress {
  status: string;
  doing: string;
  waitingFor: string | null;
}

/** The lane may be free: look again. */
export const laneFree = defineSignal('laneFree');
export const cancelDeployment = defineSignal<[CancelRequest]>('cancelDeployment');
/** An SRE's answer to a failed rollback. */
export const resolveRollback = defineSignal<[Resolution]>('resolveRollback');
export const approvalDecision = defineSignal<[DecisionSignal]>('approvalDecision');
/** Its promotion moved on: look at the record. */
export const changeRequestMoved = defineSignal('changeRequestMoved');
export const progress = defineQuery<Progress>('progress');
