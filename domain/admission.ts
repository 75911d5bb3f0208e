import type { OpenBlocker } from './backlog/item';
import { inWords } from './backlog/item';
import type { TargetConfig } from './config';
import { conflictRefusal, overlapping, type Scheduled } from './conflicts';
import type { WindowStatus } from './windows/status';
import { shown } from './windows/window';
import { changeRequestKey, itemKey, promotionKey } from './keys';
import type {
  ChangeRequestStatus,
  ChangeType,
  DeploymentStatus,
  PromotionStatus,
  Risk,
  Trigger,
} from './machines';
import { inWords as liveInWords, type Observed } from './observed';
import { may, whyMayNot, type Grant, type Permission } from './permissions';
import { sentences } from './sentences';

/**
 * Whether an attempt may begin, and go on: one rule set, `whyNotNow`, asked at the click, at admission, when the lane is
 * taken, before the migration and before the swap. Undoing asks nothing.
 */
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
  /** What tells these windows from any others, also from others of the same revision. */
  windowStamp: string;
  /** Digests of how the target builds and acts that its approval binds to; empty and null: none was noted. */
  recipe: string;
  acts: string | null;
  /** Keys of the backlog items that it carries. */
  backlogItems: string[];
  /** What blocks them. */
  blockers: Blocker[];
  /** Why overlapping another schedule is accepted. */
  conflictsAccepted: string | null;
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
  /** What was live before this promotion, as it was found, where rolling it back would leave something else. */
  cameAfter: Observed | null;
  /** The database's clock: milliseconds since 1970. */
  now: number;
}
/** How it stands, and who wants what: all that `whyNotNow` needs, read in one statement. */
export interface Asked extends Standing {
  trigger: Trigger;
  startedBy: string;
  /** What the starter holds at this moment. */
  grants: Grant[];
  /** Outside of its window it waits for it instead of being refused. */
  whenOpen: boolean;
  /** Whether the target acts as it did when it was approved, here and where its steps are done. */
  recipeBinds: boolean;
  /** What stands in the calendar of this target and of those that must not run beside it, itself left out. */
  calendar: Scheduled[];
  /** How long deployments to the target usually take, in milliseconds. */
  usualMs: number;
  /** Undefined for a target that the targets file does not name. */
  window: WindowStatus | undefined;
  /**
   * Its migration has begun. No window holds it any more: the release from before would run on data that is not its own, and
   * what is written meanwhile would be lost with an undo.
   */
  migrates?: boolean;
}
export interface Blocker extends OpenBlocker {
  item: number;
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

/** Where the rule is asked. */
export type Place = 'click' | 'admission' | 'lane' | 'migrate' | 'swap';
/**
 * What a no means: it ends as refused (before migrate or swap that undoes it), it sleeps until its window opens, or it is
 * held where it is, with its lane.
 */
export interface No extends Refusal {
  then: 'refuse' | 'sleep' | 'hold';
}

/** What starting each kind of attempt needs. */
export const permissionOf: Record<Trigger, Permission> = {
  deploy: 'deploy',
  retry: 'deploy',
  rollback: 'rollback',
};

type Rule = (asked: Asked, config: TargetConfig | undefined, at: Place) => Refusal | undefined;
const everywhere: readonly Place[] = ['click', 'admission', 'lane', 'migrate', 'swap'];
const untilItHasTheLane: readonly Place[] = ['click', 'admission', 'lane'];

/**
 * Every rule, where it is asked, and whether of a rollback by hand too, which brings back what was live already. The
 * first that says no counts; the window comes last, because what it closes may be waited for.
 */
const rules: readonly { why: Rule; at: readonly Place[]; byHand: boolean }[] = [
  { why: whyMayNotStart, at: everywhere, byHand: true },
  { why: whyOutOfOrder, at: everywhere, byHand: true },
  { why: whySwitchedOff, at: everywhere, byHand: true },
  { why: whyVoid, at: everywhere, byHand: false },
  { why: whyActsOtherwise, at: everywhere, byHand: false },
  { why: whyItemsBlocked, at: everywhere, byHand: false },
  // Once it has the lane, what is planned waits for it.
  { why: whyOverlap, at: untilItHasTheLane, byHand: false },
];
/** What a closed window means where the attempt cannot be refused for it, or was told to wait. */
const closed: Record<Place, No['then']> = {
  click: 'refuse',
  admission: 'refuse',
  lane: 'sleep',
  migrate: 'hold',
  swap: 'hold',
};

/** Why an attempt may not begin, or go on, at this place; undefined when it may. */
export function whyNotNow(asked: Asked, config: TargetConfig | undefined, at: Place): No | undefined {
  const byHand = asked.trigger === 'rollback';
  const window = byHand ? undefined : whyOutside(asked, at);
  // What it would overlap does not matter when it does not begin anyway.
  for (const rule of rules) {
    if (!rule.at.includes(at) || (byHand && !rule.byHand)) continue;
    if (rule.why === whyOverlap && window?.then === 'refuse') return window;
    const refusal = rule.why(asked, config, at);
    if (refusal) return { ...refusal, then: 'refuse' };
  }
  return window;
}

function whyOutside(asked: Asked, at: Place): No | undefined {
  const waits = asked.whenOpen && closed[at] === 'refuse' ? 'sleep' : closed[at];
  const refusal = asked.window && whyClosed(asked.target, asked.window, waits);
  if (!refusal || asked.migrates) return undefined;
  // A window that never opens is not slept for.
  return { ...refusal, then: waits === 'sleep' && asked.window!.nextOpen === null ? 'refuse' : waits };
}

function whyMayNotStart({ startedBy, grants, trigger, target }: Asked): Refusal | undefined {
  const permission = permissionOf[trigger];
  return may(grants, permission, target) ? undefined : whyMayNot(startedBy, grants, permission, target);
}

/** Whether promotion and change request are where such an attempt starts from, or is, by now. */
function whyOutOfOrder(s: Asked, _config: TargetConfig | undefined, at: Place): Refusal | undefined {
  const key = promotionKey(s.id);
  if (s.trigger === 'rollback') {
    // What it returns to is settled with the lane.
    if (!untilItHasTheLane.includes(at)) return undefined;
    return s.promotion === 'deployed' ||
      (s.promotion === 'rolled-back' && (s.returnsTo ?? s.cameAfter) !== null)
      ? whyNoReturn(s)
      : refuse(
          'illegal-transition',
          `${key} is ${s.promotion}; only a deployed promotion can be rolled back.`,
        );
  }
  if (at === 'migrate' || at === 'swap')
    return s.promotion === 'executing'
      ? undefined
      : refuse('illegal-transition', `${key} is ${s.promotion}, not executing.`);
  if (at === 'lane')
    return s.promotion === 'approved'
      ? undefined
      : refuse('not-approved', `${key} lost its approval or was withdrawn while it waited.`);
  if (s.trigger === 'deploy') {
    if (s.promotion === 'approved') return undefined;
    if (s.promotion === 'pending')
      return refuse(
        'not-approved',
        `${key} is not approved yet; its change request ${changeRequestKey(s.id)} needs a decision.`,
      );
    if (s.promotion === 'rolled-back')
      return refuse('illegal-transition', `${key} rolled back; retry it instead of deploying it again.`);
    if (s.promotion === 'deployed' && s.live?.promotion !== s.id) return whyLiveNoMore(s);
    return refuse(
      'illegal-transition',
      s.promotion === 'superseded'
        ? `${key} is superseded: a newer promotion to ${s.target} went first. Nothing was done; ship ${s.revision} again if it is to be live after all.`
        : `${key} is ${s.promotion} and cannot be deployed.`,
    );
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
  return undefined;
}

/** A rollback by hand is not stopped by the switch, but without its target there is nothing that could act. */
function whySwitchedOff({ target, trigger }: Asked, config: TargetConfig | undefined): Refusal | undefined {
  if (trigger === 'rollback' && config) return undefined;
  const why = switchedOff(config);
  return why === undefined
    ? undefined
    : refuse('promotions-disabled', `Promotions to ${target} are switched off: ${why}`);
}

/** Why an approval does not count any more; undefined when it does. */
function whyVoid(s: Asked): Refusal | undefined {
  return s.approvalStands
    ? undefined
    : refuse(
        'approval-void',
        `${changeRequestKey(s.id)} lacks an approval: nobody who may still give it has given it, or only who overrode a window for it. Let somebody else approve it, or ship it again.`,
      );
}

/** Whoever is told so sends the request back (`rebind`), so that it can be approved again. */
function whyActsOtherwise(s: Asked, config: TargetConfig | undefined): Refusal | undefined {
  return s.recipeBinds
    ? undefined
    : refuse(
        'approval-void',
        `The approval of ${changeRequestKey(s.id)} does not bind any more: ${changedSince(s.target, config)}. Let it be approved again.`,
      );
}
export const changedSince = (target: string, config: TargetConfig | undefined) =>
  `how ${target} is deployed was changed in the targets file${config?.runner ? ', here or where its runner is' : ''}`;

function whyItemsBlocked(s: Asked): Refusal | undefined {
  return whyBlocked(s.blockers);
}
/** Why a change that carries blocked items is neither shipped nor deployed; undefined when none of them is blocked. */
export const whyBlocked = (blockers: readonly Blocker[]): Refusal | undefined =>
  blockers.length === 0
    ? undefined
    : {
        code: 'blocked',
        message: sentences(
          blockers.map(blockedInWords).join('; '),
          'Nothing that carries a blocked item is shipped: resolve what blocks it first',
        ),
        detail: { blockers: blockers.map(({ item, ...blocker }) => ({ item: itemKey(item), ...blocker })) },
      };
export const blockedInWords = (blocker: Blocker) =>
  `${itemKey(blocker.item)} is blocked by ${inWords(blocker)}`;

/** Of one that sleeps, when its window opens. Two that sleep beside each other take turns when they wake. */
function whyOverlap(s: Asked, _config: TargetConfig | undefined, at: Place): Refusal | undefined {
  const from = s.window?.open === false ? (s.window.nextOpen ?? s.now) : s.now;
  const kinds = at === 'lane' ? ['planned'] : ['planned', 'scheduled'];
  const calendar = s.calendar.filter(({ kind }) => kinds.includes(kind));
  return conflictRefusal(
    changeRequestKey(s.id),
    overlapping(calendar, from, from + s.usualMs),
    s.conflictsAccepted,
  );
}

/** What an author had to do with a change. */
export interface OwnPart {
  author: string;
  part: 'shipped' | 'requested' | 'changed';
  /** It is not theirs, but of who minted their token. */
  byToken: boolean;
}

/**
 * Segregation of duties: why somebody who had a part in a change does not decide on it. No role is exempt. A token speaks
 * for who minted it too, so that nobody approves their own change by a token made out to somebody else.
 */
export function ownChange(key: string, person: string, own: OwnPart | undefined): Refusal | undefined {
  if (!own) return undefined;
  const did = `${own.author} ${own.part === 'changed' ? 'changed what' : own.part} ${key}${own.part === 'changed' ? ' says' : ''}`;
  return own.byToken
    ? refuse(
        'own-change',
        `The token of ${person} was made by ${own.author}, and ${did}; decide by another credential.`,
      )
    : refuse('own-change', `${did}; somebody else has to decide.`);
}

/** Why what was deployed, and is live no more, is not deployed by another click. */
function whyLiveNoMore({ id, target, revision, live }: Asked): Refusal {
  const key = promotionKey(id);
  const now = live ? promotionKey(live.promotion) : undefined;
  return refuse(
    'not-current',
    now
      ? `${key} was deployed and is superseded: ${target} runs ${now} now. Nothing was done. To bring ${key} back, ship ${revision} again, or roll back ${now} if it came right after it.`
      : `${key} was deployed and is not what ${target} runs now. Nothing was done. To bring it back, ship ${revision} again.`,
  );
}

/** Why this promotion cannot be rolled back by hand; undefined when it can. */
function whyNoReturn({ id, target, live, returnsTo, cameAfter }: Asked): Refusal | undefined {
  const key = promotionKey(id);
  // One of Signalbox's deployments, or a release that was taken into the record.
  if (returnsTo !== null || cameAfter?.kind === 'release') return undefined;
  if (cameAfter?.kind === 'foreign')
    return refuse(
      'nothing-to-return-to',
      `Before ${key}, ${target} ran ${liveInWords(cameAfter)}, which was never adopted: there is no release of it to return to. Make it live by hand as it was, then take it into the record with "signalbox adopt ${target}".`,
    );
  if (live?.promotion !== id && cameAfter === null)
    return refuse(
      'not-current',
      `${key} is not what ${target} runs (${live ? promotionKey(live.promotion) : 'nothing'} is); only the current release can be rolled back.`,
    );
  return refuse(
    'nothing-to-return-to',
    `${key} was the first deployment of ${target}: there is no earlier release to return to.`,
  );
}

const whenClosed: Record<No['then'], string> = {
  refuse: 'Deploy when it opens, or override the window with a second person',
  sleep: 'It goes on when it opens; to begin before that, override the window with a second person',
  hold: 'It goes on when it opens, unless it is undone before (windowHoldSeconds of the target); to go on now, override the window with a second person',
};

/** Why a deployment does not begin outside of its window; undefined inside. @param then what follows from it. */
export function whyClosed(
  target: string,
  status: WindowStatus,
  then: No['then'] = 'refuse',
): Refusal | undefined {
  if (status.open) return undefined;
  const nextOpen = status.nextOpen === null ? null : new Date(status.nextOpen).toISOString();
  return {
    code: 'window-closed',
    message: nextOpen
      ? sentences(
          `${target} is closed: ${status.reason}`,
          `It opens ${shown(status.nextOpen!, 'UTC')}`,
          whenClosed[then],
        )
      : sentences(
          `${target} is closed: ${status.reason}`,
          'No window opens within a year; add one, or override it with a second person',
        ),
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
