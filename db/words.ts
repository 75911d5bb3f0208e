import { SignalboxError } from '../domain/errors';
import type { WordStatus } from '../domain/machines';
import { whyNotSaid, type Alarm, type WordKind } from '../domain/words';
import type { ChangeRequestRow, Decision } from './change-requests';
import type { Db, Tx } from './connect';
import { rowKey, type DeploymentRow } from './deployments';
import { bySignalbox, movedBy, tryTransition } from './transition';

/**
 * The inbox of each attempt: what people said to it, and what became of that. A word is a row before its workflow hears
 * of it, and the transaction that moves the attempt settles it (migration 011), so that none is lost with a signal, a run
 * or a workflow, and none outlives its attempt.
 */
export interface WordRow {
  id: number;
  deployment: number;
  kind: WordKind;
  /** Of a resolution. */
  action: 'retry' | 'accept' | null;
  said_by: string;
  reason: string | null;
  /** Id of the HTTP request; its signed signal carries the same. */
  request: string;
  status: WordStatus;
  outcome: string | null;
  ended_at: Date | null;
  created_at: Date;
}
export type NewWord = Pick<WordRow, 'kind' | 'action' | 'said_by' | 'reason' | 'request'>;

/**
 * Records a word, if its attempt can hear it in this state.
 * @param alarmSeconds how long an undo of its target is tried before an SRE is asked.
 * @returns its number. @throws illegal-transition.
 */
export async function say(tx: Tx, deployment: number, word: NewWord, alarmSeconds?: number): Promise<number> {
  // Locked: what is said to a state is recorded before the attempt leaves it, or is refused.
  const row = (await tx('deployments').where({ id: deployment }).forNoKeyUpdate().first()) as DeploymentRow;
  const alarm = alarmSeconds === undefined ? undefined : await alarmOf(tx, row, alarmSeconds);
  const why = whyNotSaid(word.kind, row.status, alarm);
  if (why) throw new SignalboxError('illegal-transition', `${rowKey(row)} is ${row.status}; ${why}`);
  const [said] = (await tx('words')
    .insert({
      deployment,
      ...word,
      ...movedBy({ by: word.said_by, why: word.reason, request: word.request }),
    })
    .returning('id')) as [{ id: number }];
  return said.id;
}

/** When the alarm of the undo that is tried now rings; undefined between two of them. */
async function alarmOf(tx: Tx, { id, status }: DeploymentRow, seconds: number): Promise<Alarm | undefined> {
  if (status !== 'rolling-back') return undefined;
  const undo = (await tx('deployment_steps')
    .where({ deployment: id, status: 'running' })
    .orderBy('started_at', 'desc')
    .first('started_at')) as { started_at: Date } | undefined;
  return undo && { at: new Date(undo.started_at.getTime() + seconds * 1000), seconds };
}

export const wordById = async (tx: Tx, id: number) =>
  (await tx('words').where({ id }).first()) as WordRow | undefined;

export const wordByRequest = async (tx: Tx, deployment: number, kind: WordKind, request: string) =>
  (await tx('words').where({ deployment, kind, request }).first()) as WordRow | undefined;

/**
 * The word that a signed message is. The API of the previous version only sends it: then it is recorded here, between two
 * moves of its attempt, so that the next one settles it.
 */
export const wordSaid = (db: Db, deployment: number, word: NewWord): Promise<WordRow> =>
  db.transaction(async (tx) => {
    const { kind, request } = word;
    await tx('deployments').where({ id: deployment }).forNoKeyUpdate().first('id');
    await tx('words')
      .insert({ deployment, ...word, ...movedBy({ by: word.said_by, why: word.reason, request }) })
      .onConflict(['deployment', 'kind', 'request'])
      .ignore();
    return (await tx('words').where({ deployment, kind, request }).first()) as WordRow;
  });

/** What waits to be heard. */
export const waitingWords = async (tx: Tx, deployment: number): Promise<Pick<WordRow, 'id' | 'kind'>[]> =>
  (await tx('words')
    .where({ deployment, status: 'waiting' })
    .orderBy('id')
    .select('id', 'kind')) as WordRow[];

/** Words that wait for longer than a signal takes, and who must hear them. In a paused workflow signals would pile up. */
export const unheardWords = async (tx: Tx): Promise<{ id: number; kind: WordKind; owner: string }[]> =>
  (await tx('words')
    .join('deployments', 'deployments.id', 'words.deployment')
    .where('words.status', 'waiting')
    .whereNull('deployments.paused')
    .whereRaw(`words.created_at < now() - interval '5 seconds'`)
    .orderBy('words.id')
    .limit(200)
    .select('words.id', 'words.kind', 'owner')) as { id: number; kind: WordKind; owner: string }[];

/** @returns false when it was settled before. */
export const refuseWord = (tx: Tx, id: number, outcome: string): Promise<boolean> =>
  tryTransition(tx, 'word', id, 'refused', bySignalbox(outcome), { outcome });

/** What a decision says; to which request and submission is said beside it. */
export type SaidDecision = Omit<Decision, 'changeRequest' | 'submission'>;
export interface WaitingDecision {
  word: number;
  created_at: Date;
  change_request: number;
  submission: number;
  said: SaidDecision;
}

/** Records a decision before it is sent. Its verdict is a row in `decisions`, whose transaction settles this one (migration 015). */
export const sayDecision = (
  tx: Tx,
  { id, submission }: Pick<ChangeRequestRow, 'id' | 'submission'>,
  said: SaidDecision,
): Promise<unknown> =>
  tx('words').insert({
    change_request: id,
    submission,
    kind: 'decision',
    said_by: said.approver,
    reason: said.comment ?? null,
    request: said.request ?? said.id,
    said: JSON.stringify(said),
    ...movedBy({ by: said.approver, why: said.comment, request: said.request }),
  });

const decisionsWaiting = (tx: Tx) =>
  tx('words')
    .where({ kind: 'decision', status: 'waiting' })
    .orderBy('id')
    .select('id as word', 'change_request', 'submission', 'said', 'created_at');

/** What the word said, while it waits. */
export const waitingDecision = async (tx: Tx, word: number) =>
  (await decisionsWaiting(tx).where({ id: word }).first()) as WaitingDecision | undefined;

/** What was decided on a request and is not recorded yet. */
export const decisionsUnheard = async (tx: Tx, request: number): Promise<WaitingDecision[]> =>
  (await decisionsWaiting(tx).where({ change_request: request })) as WaitingDecision[];

/** Decisions that wait for longer than a signal takes. */
export const unheardDecisions = async (tx: Tx): Promise<WaitingDecision[]> =>
  (await decisionsWaiting(tx)
    .whereRaw(`created_at < now() - interval '5 seconds'`)
    .limit(200)) as WaitingDecision[];
