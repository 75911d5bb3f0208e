import { mayFollow, type ChangeRequestStatus, type DeploymentStatus, type PromotionStatus } from './machines';
import type { Permission } from './permissions';

/** What a person can do with a promotion in its present state; derived from the tables of the machines. */
export type Action =
  | 'submit'
  | 'approve'
  | 'reject'
  | 'withdraw-approval'
  | 'review'
  | 'revise'
  | 'deploy'
  | 'deploy-when-open'
  | 'retry'
  | 'rollback'
  | 'cancel'
  | 'resolve'
  | 'withdraw';

/** What each of them needs. */
export const actionPermission: Record<Action, Permission> = {
  submit: 'submit',
  approve: 'decide',
  reject: 'decide',
  'withdraw-approval': 'decide',
  review: 'decide',
  revise: 'edit-change',
  deploy: 'deploy',
  'deploy-when-open': 'deploy',
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
  /** Whether its review is waited for. */
  reviewDue: boolean;
  /** Whether an approval that was given can be taken back. */
  approvalGiven: boolean;
  /** Whether it is outside of its window, which opens some time. */
  closed: boolean;
}

export function actionsFor(s: Standing): Action[] {
  const always: [Action, boolean][] = [
    ['withdraw-approval', s.approvalGiven && ['submitted', 'approved'].includes(s.changeRequest)],
    ['review', s.reviewDue],
  ];
  const also = always.filter(([, yes]) => yes).map(([action]) => action);
  if (s.attempt === 'rollback-failed') return ['resolve'];
  if (s.attempt)
    return mayFollow('deployment', s.attempt, 'cancelled') ||
      mayFollow('deployment', s.attempt, 'rolling-back')
      ? ['cancel', ...also]
      : also;
  const mayRetry = s.promotion === 'rolled-back' && s.changeRequest === 'approved';
  const may: [Action, boolean][] = [
    ['submit', mayFollow('changeRequest', s.changeRequest, 'submitted') && s.changeRequest === 'draft'],
    ['approve', mayFollow('promotion', s.promotion, 'approved') && s.changeRequest === 'submitted'],
    ['reject', mayFollow('promotion', s.promotion, 'rejected') && s.changeRequest === 'submitted'],
    ['revise', mayFollow('changeRequest', s.changeRequest, 'draft')],
    ['deploy', mayFollow('promotion', s.promotion, 'executing')],
    ['deploy-when-open', s.closed && (mayFollow('promotion', s.promotion, 'executing') || mayRetry)],
    ['retry', mayRetry],
    ['rollback', ['deployed', 'rolled-back'].includes(s.promotion) && s.canReturn],
    ['withdraw', mayFollow('promotion', s.promotion, 'withdrawn')],
  ];
  return [...may.filter(([, yes]) => yes).map(([action]) => action), ...also];
}
