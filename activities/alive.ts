import { Context } from '@temporalio/activity';
import { recordSummaries } from '../domain/record-acts';
import { wrapped } from './wrapped';

const heartbeatMs = 1_000;

/** Tells Temporal each second while it works that its worker lives: what was begun and killed is soon tried again. */
export async function beating<T>(work: () => Promise<T>): Promise<T> {
  const activity = Context.current();
  const beat = setInterval(() => activity.info.isLocal || activity.heartbeat(), heartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(beat);
  }
}

/** Of a worker's activities, those that write the record beat. Steps do so themselves, with their trouble. */
export const alive = <A extends object>(activities: A): A =>
  wrapped(activities, (run, name) =>
    name in recordSummaries ? (...args) => beating(() => run(...args)) : run,
  );
