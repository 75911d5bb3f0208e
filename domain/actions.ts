import { mayFollow, type ChangeRequestStatus, type DeploymentStatus, type PromotionStatus } from './machines';
import type { Permission } from './permissions';

/** What a person can do with a promotion in its present state; derived from the tables of the machines. */
export type Action =
  'submit' | 'approve' | 'reject' | 'deploy' | 'retry' | 'rollback' | 'cancel' | 'resolve' | 'withdraw';

/** What each of them needs. */
export const actionPermission: Record<Action, Permission> = {
  submit: 'submit',
  approve: 'decide',
  reject: 'decide',
  deploy: 'deploy',
  retry: 'deploy',
  rollback: 'rollback',
  cancel: 'cancel',
  resolve: 'resolve',
  withdraw: 'withdraw',
};

export interface Standing {
  promotion: PromotionStatus;
  changeRequest: ChangeRequestStatus;
  /** State of the attempt that has not ended, if there is one. */
  attempt?: DeploymentStatus;
  /** Whether its release is what the target runs, with an earlier one to return to. */
  canReturn: boolean;
}

export function actionsFor(s: Standing): Action[] {
  if (s.attempt === 'rollback-failed') return ['resolve'];
  if (s.attempt)
    return mayFollow('deployment', s.attempt, 'cancelled') ||
      mayFollow('deployment', s.attempt, 'rolling-back')
      ? ['cancel']
      : [];
  const may: [Action, boolean][] = [
    ['submit', mayFollow('changeRequest', s.changeRequest, 'submitted') && s.changeRequest === 'draft'],
    ['approve', mayFollow('promotion', s.promotion, 'approved') && s.changeRequest === 'submitted'],
    ['reject', mayFollow('promotion', s.promotion, 'rejected') && s.changeRequest === 'submitted'],
    ['deploy', mayFollow('promotion', s.promotion, 'executing')],
    ['retry', s.promotion === 'rolled-back' && s.changeRequest === 'approved'],
    ['rollback', s.promotion === 'deployed' && s.canReturn],
    ['withdraw', mayFollow('promotion', s.promotion, 'withdrawn')],
  ];
  return may.filter(([, yes]) => yes).map(([action]) => action);
}
