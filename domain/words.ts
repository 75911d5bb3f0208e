import { isTerminal, type DeploymentStatus, type WordStatus } from './machines';

/** What a person can say to an attempt. */
export const wordKinds = ['cancel', 'resolve'] as const;
export type WordKind = (typeof wordKinds)[number];

/** Why nothing of the kind can be said to an attempt in this state, in plain words; undefined when it can. */
export function whyNotSaid(kind: WordKind, status: DeploymentStatus, alarm?: Alarm): string | undefined {
  if (kind === 'resolve') {
    if (status === 'rollback-failed') return undefined;
    const when = status === 'rolling-back' ? whenAsked(alarm) : '';
    return `only a failed rollback is resolved.${when}`;
  }
  if (isTerminal('deployment', status)) return 'it has ended.';
  if (status === 'rolling-back') return `it is being undone already.${whenAsked(alarm)}`;
  if (status === 'rollback-failed')
    return 'its undo has failed. Resolve it: retry undoes again, accept takes what is live into the record.';
  return undefined;
}

/** When an SRE is asked about an undo that still fails, and how long that takes by the targets file. */
export interface Alarm {
  at: Date;
  seconds: number;
}
const whenAsked = (alarm: Alarm | undefined) =>
  alarm
    ? ` Its undo is tried until about ${alarm.at.toISOString().slice(11, 19)} UTC (undoAlarmSeconds of the target: ${alarm.seconds}); if it still fails then, it is resolved with retry or accept.`
    : '';

const underWay = 'It is being rolled back.';
/** What a cancel that was followed reads like once its attempt has gone on. */
const followed: Partial<Record<DeploymentStatus, string>> = {
  'rolled-back': 'It was rolled back.',
  'rollback-failed': 'It was to be rolled back, and that failed.',
};

/** What became of a word, in plain words. @param attempt how that stands. @param paused who paused its workflow. */
export const wordOutcome = (
  status: WordStatus,
  outcome: string | null,
  attempt: DeploymentStatus,
  paused: string | null,
): string =>
  (outcome === underWay ? followed[attempt] : undefined) ??
  outcome ??
  (status !== 'waiting'
    ? status
    : paused
      ? `It is recorded and waits to be heard: the deployment is ${paused}.`
      : 'It is recorded and waits to be heard: nothing has followed from it yet. It is heard as soon as Temporal and a worker answer.');

/** Waits for a worker: what a decision that was accepted says of itself. */
export const decisionWaits =
  'It is kept and waits to be recorded. It is recorded as soon as Temporal and a worker answer.';

/** What was asked, for people: a cancel, a retry of the undo, that the target is accepted as it is. */
export const wordTitle = ({ kind, action }: { kind: WordKind; action: 'retry' | 'accept' | null }): string =>
  kind === 'cancel' ? 'cancel' : action === 'retry' ? 'undo again' : 'accept as it is';

/** A state of a word, as it reads before its outcome. */
export const wordState: Record<WordStatus, string> = {
  waiting: 'waiting',
  done: 'done',
  refused: 'refused',
  expired: 'too late',
};
