import type { TargetConfig } from './config';
import type { WindowStatus } from './windows/status';
import { shown } from './windows/window';
import { changeRequestKey, promotionKey } from './keys';
import type {
  ChangeRequestStatus,
  ChangeType,
  DeploymentStatus,
  PromotionStatus,
  Risk,
  Trigger,
} from './machines';

/** Whether an attempt may start: one rule for the click, for admission and for taking the lane. */
export interface Standing {
  id: number;
  target: string;
  title: string;
  revision: string;
  commit: string;
  promotion: PromotionStatus;
  changeRequest: ChangeRequestStatus;
  type: ChangeType;
  risk: Risk;
  /** Whether everybody whose approval it needs, and who may still approve, has approved what it says. */
  approvalStands: boolean;
  /** Windows that were overridden for it, and until when (milliseconds since 1970). */
  overridden: { window: number; until: number }[];
  /** Revision of the windows at this moment. */
  windowRevision: number;
  /** Digest of the build recipe that its approval binds to; empty: none was noted. */
  recipe: string;
  /** Keys of the backlog items that it carries. */
  backlogItems: string[];
  /** Why overlapping another schedule is accepted. */
  conflictsAccepted: string | null;
  /** Whether any change is planned for a time. */
  anyPlanned: boolean;
  /** Number of the latest attempt; 0 when there was none. */
  lastAttempt: number;
  /** The attempt that has not ended. */
  open: { attempt: number; status: DeploymentStatus; trigger: Trigger } | null;
  live: Live | null;
  /**
   * The deployment to whose release rolling this promotion back returns: the one before it while its own is live, or when
   * it was the last to touch the target and its rollback was accepted elsewhere than there. null: there is none.
   */
  returnsTo: number | null;
}
/** What the target runs: whose release it is, and the deployment that a rollback returns to. */
export interface Live {
  promotion: number;
  before: number | null;
}
export interface Refusal {
  code: string;
  /** What is wrong and what can be done, for a person. */
  message: string;
  /** For programs, such as when it would pass. */
  detail?: Record<string, unknown>;
}

/**
 * Why this kind of attempt may not start now; undefined when it may.
 * @param switchedOff why the target takes no promotions; undefined when it does.
 */
export function whyNot(s: Standing, trigger: Trigger, switchedOff: string | undefined): Refusal | undefined {
  const key = promotionKey(s.id);
  if (trigger === 'rollback')
    return s.promotion === 'deployed' || (s.promotion === 'rolled-back' && s.returnsTo !== null)
      ? whyNoReturn(s)
      : refuse(
          'illegal-transition',
          `${key} is ${s.promotion}; only a deployed promotion can be rolled back.`,
        );
  if (switchedOff !== undefined)
    return refuse('promotions-disabled', `Promotions to ${s.target} are switched off: ${switchedOff}`);
  if (trigger === 'deploy') {
    if (s.promotion === 'approved') return whyVoid(s);
    if (s.promotion === 'pending')
      return refuse(
        'not-approved',
        `${key} is not approved yet; its change request ${changeRequestKey(s.id)} needs a decision.`,
      );
    if (s.promotion === 'rolled-back')
      return refuse('illegal-transition', `${key} rolled back; retry it instead of deploying it again.`);
    return refuse('illegal-transition', `${key} is ${s.promotion} and can not be deployed.`);
  }
  if (s.promotion !== 'rolled-back')
    return refuse(
      'illegal-transition',
      `${key} is ${s.promotion}; only a promotion that rolled back can be retried.`,
    );
  if (s.changeRequest !== 'approved')
    return refuse(
      'approval-void',
      `${changeRequestKey(s.id)} is ${s.changeRequest}, so its approval no longer binds; ship it again.`,
    );
  return whyVoid(s);
}

/** Why an approval does not count any more; undefined when it does. */
export const whyVoid = (s: Pick<Standing, 'id' | 'approvalStands'>): Refusal | undefined =>
  s.approvalStands
    ? undefined
    : refuse(
        'approval-void',
        `${changeRequestKey(s.id)} lacks an approval: nobody who may still give it has given it, or only who overrode a window for it. Let somebody else approve it, or ship it again.`,
      );

/**
 * Segregation of duties: why this decision can not count; undefined when it can. No role is exempt. A token speaks for
 * who minted it too, so that nobody approves their own change by a token made out to somebody else.
 * @param authors who shipped and who requested the change.
 */
export function ownChange(
  key: string,
  decision: { approver: string; mintedBy?: string },
  authors: string[],
): Refusal | undefined {
  if (authors.includes(decision.approver))
    return refuse('own-change', `${decision.approver} shipped ${key}; somebody else has to decide.`);
  if (decision.mintedBy !== undefined && authors.includes(decision.mintedBy))
    return refuse(
      'own-change',
      `The token of ${decision.approver} was made by ${decision.mintedBy}, who shipped ${key}; decide by another credential.`,
    );
  return undefined;
}

/** Why this promotion can not be rolled back by hand; undefined when it can. */
export function whyNoReturn({
  id,
  target,
  live,
  returnsTo,
}: Pick<Standing, 'id' | 'target' | 'live' | 'returnsTo'>): Refusal | undefined {
  const key = promotionKey(id);
  if (returnsTo !== null) return undefined;
  if (live?.promotion !== id)
    return refuse(
      'not-current',
      `${key} is not what ${target} runs (${live ? promotionKey(live.promotion) : 'nothing'} is); only the current release can be rolled back.`,
    );
  return refuse(
    'nothing-to-return-to',
    `${key} was the first deployment of ${target}: there is no earlier release to return to.`,
  );
}

/** Why a deployment does not begin outside of its window; undefined inside. */
export function whyClosed(target: string, status: WindowStatus): Refusal | undefined {
  if (status.open) return undefined;
  const nextOpen = status.nextOpen === null ? null : new Date(status.nextOpen).toISOString();
  return {
    code: 'window-closed',
    message: nextOpen
      ? `${target} is closed: ${status.reason}. It opens ${shown(status.nextOpen!, 'UTC')}. Deploy when it opens, or override the window with a second person.`
      : `${target} is closed: ${status.reason}. No window opens within a year; add one, or override it with a second person.`,
    detail: { windows: status.windows, nextOpen },
  };
}

/** Why a target takes no promotions; undefined when it does. @param config its entry in the targets file, if any. */
export const switchedOff = (config: TargetConfig | undefined): string | undefined =>
  config === undefined
    ? 'the targets file no longer names this target'
    : config.promotionsEnabled
      ? undefined
      : (config.promotionsDisabledReason ?? 'the targets file gives no reason');

export const refuse = (code: string, message: string): Refusal => ({ code, message });
