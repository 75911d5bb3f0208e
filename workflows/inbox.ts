import { condition, patched, setHandler } from '@temporalio/workflow';
import type { Plan, WaitingWord } from '../activities/lifecycle';
import { asSent } from '../domain/as-sent';
import { sentences } from '../domain/sentences';
import type { WordKind } from '../domain/words';
import { record } from './activities';
import { cancelDeployment, resolveRollback, type CancelRequest, type Resolution } from './messages';
import { ignoreUnknownSignals } from './signals';

/**
 * What people say to an attempt: cancel it, resolve its failed rollback. Each word is a row in the record before it is
 * a signal, and the transaction that moves the attempt settles that row; a signal only brings the workflow to look. So a
 * word that is dropped here (with a run, a workflow, a worker) still stands in the record: the next run and a recovery
 * read what waits, and `reconcile` signals it again. Handlers only enqueue; one loop verifies each word as it comes, so
 * that also one without a row (of an older API, or typed into the Temporal UI) counts or is refused with a trace.
 */
export interface Inbox {
  /** Takes what waits in the record. */
  take(words: WaitingWord[] | undefined): void;
  /** Hears what comes beside the process, until it ends. @param stop is called once a cancel counts. */
  hear(deployment: number, stop?: () => void): Promise<void>;
  /** Whether nothing is left to hear or to follow, so that the run may end for another one. */
  idle(): boolean;
  /** Until all that came was heard. */
  drained(): Promise<void>;
  /** Why it is cancelled; undefined while no cancel counts. */
  why(): string | undefined;
  /** From now on there is something to resolve. Called before the record says so: an SRE may answer at once. */
  asks(): void;
  /** The question was answered; what else was said to it no longer counts. */
  answered(): void;
  /** The next resolution that counts. */
  resolution(plan: Plan): Promise<Resolution>;
}

/** @param resumes the attempt of a workflow that was lost: those of the previous version heard no cancels. */
export function openInbox(resumes = false): Inbox {
  const said: { kind: WordKind; message: unknown }[] = [];
  const answers: Resolution[] = [];
  // Runs that began on the previous version heard an answer only once they waited for it.
  const unheard: unknown[] = [];
  const counted = new Set<string | undefined>();
  let cancel: CancelRequest | undefined;
  let listening = false;
  let hearing = false;
  let question = 0;
  let asking = false;
  const hearsAll = () => patched('every-word-is-heard');
  setHandler(cancelDeployment, (message) => {
    if (!resumes || hearsAll()) said.push({ kind: 'cancel', message: asSent(message) });
  });
  setHandler(resolveRollback, (message) => {
    if (hearsAll()) said.push({ kind: 'resolve', message: asSent(message) });
    else unheard.push(asSent(message));
  });
  ignoreUnknownSignals();

  async function hearOne(deployment: number): Promise<void> {
    const { kind, message } = said.shift()!;
    const asked = question;
    hearing = true;
    const word = await record.heard(kind, deployment, message);
    hearing = false;
    if (!word) return;
    if (!('action' in word)) cancel ??= word;
    // One word is one word, however often it is signalled; and it answers the question that was asked then, no later one.
    else if (asking && asked === question && !counted.has(word.request)) {
      counted.add(word.request);
      answers.push(word);
    }
  }

  return {
    take(words = []) {
      for (const { id, kind } of words) said.push({ kind, message: { word: id } });
    },
    async hear(deployment, stop) {
      listening = true;
      for (;;) {
        await condition(() => said.length > 0);
        await hearOne(deployment);
        if (cancel) stop?.();
      }
    },
    idle: () => said.length === 0 && !hearing && !cancel,
    // One that was refused at admission has no row that anything could have been said to.
    drained: () => condition(() => !listening || (said.length === 0 && !hearing)),
    why: () => cancel && sentences(`Cancelled by ${cancel.by}${cancel.reason ? `: ${cancel.reason}` : ''}`),
    asks() {
      question += 1;
      asking = true;
    },
    answered() {
      asking = false;
      answers.length = 0;
    },
    async resolution(plan) {
      unheard.length = 0;
      for (;;) {
        await condition(() => answers.length > 0 || unheard.length > 0);
        const answer = answers.shift();
        if (answer) return answer;
        const word = await record.heard('resolve', plan.deployment, unheard.shift());
        if (word && 'action' in word) return word;
      }
    },
  };
}
