import { isTerminal, type DeploymentStatus, type WordStatus } from './machines';

/** What a person can say to an attempt. */
export const wordKinds = ['cancel', 'resolve'] as const;
export type WordKind = (typeof wordKinds)[number];

/** Why nothing of the kind can be said to an attempt in this state, in plain words; undefined when it can. */
export function whyNotSaid(kind: WordKind, status: DeploymentStatus): string | undefined {
  if (kind === 'resolve')
    return status === 'rollback-failed' ? undefined : 'only a failed rollback is resolved.';
  if (isTerminal('deployment', status)) return 'it has ended.';
  if (status === 'rolling-back') return 'it is being undone already.';
  if (status === 'rollback-failed')
    return 'its undo has failed. Resolve it: retry undoes again, accept takes what is live into the record.';
  return undefined;
}

/** What became of a word, in plain words. @param paused who paused its workflow. */
export const wordOutcome = (status: WordStatus, outcome: string | null, paused: string | null): string =>
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
