import { predecessorsOf, rowOf, type MachineName, type State } from '../domain/machines';
import type { Tx } from './connect';

const tables = {
  promotion: 'promotions',
  changeRequest: 'change_requests',
  deployment: 'deployments',
  backlogItem: 'backlog_items',
  word: 'words',
} as const satisfies Partial<Record<MachineName, string>>;
export type StoredMachine = keyof typeof tables;

/** Who moves a row, why, and in which request: what the audit trail says of it. */
export interface Move {
  /** A person, or `signalbox` for what it does by itself. */
  by: string;
  why?: string | null;
  /** Id of the HTTP request that it goes back to. */
  request?: string | null;
}
/** Signalbox itself, when nobody asked for this very step. */
export const bySignalbox = (why: string, request?: string | null): Move => ({
  by: 'signalbox',
  why,
  request,
});

/** Column of the last move; the triggers copy it into the audit trail. */
export const movedBy = (move: Move) => ({ moved: JSON.stringify(move) });

/**
 * The one way a status changes: a compare-and-set against the legal predecessors of `to`.
 * @param set further columns of the same row, written in the same statement.
 * @returns false when the row was in no state that may become `to`: the caller lost, nothing changed. Only for callers
 * that have an answer to that; `transition` is for all others.
 */
export async function tryTransition<M extends StoredMachine>(
  tx: Tx,
  machine: M,
  id: number,
  to: State<M>,
  move: Move,
  set: Record<string, unknown> = {},
): Promise<boolean> {
  const at = rowOf(machine, to)?.at;
  const changed = await tx(tables[machine])
    .where({ id })
    .whereIn('status', predecessorsOf(machine, to))
    .update({
      ...set,
      status: to,
      ...movedBy(move),
      ...(at ? { [at]: tx.fn.now() } : {}),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
  return changed === 1;
}

/**
 * The same where nothing but success is expected. It has no answer that could be ignored.
 * @throws NotMoved when the row is in no state that may become `to`; its transaction is rolled back, so that no half of
 * a story is ever recorded.
 */
export async function transition<M extends StoredMachine>(
  tx: Tx,
  machine: M,
  id: number,
  to: State<M>,
  move: Move,
  set: Record<string, unknown> = {},
): Promise<void> {
  if (await tryTransition(tx, machine, id, to, move, set)) return;
  const row = (await tx(tables[machine]).where({ id }).first('status')) as { status: string } | undefined;
  throw new NotMoved(
    `The record does not fit: ${machine} ${id} is ${row?.status ?? 'not there'} and cannot become ${to}. Nothing was changed.`,
    machine,
  );
}
export class NotMoved extends Error {
  override readonly name = 'NotMoved';
  constructor(
    message: string,
    readonly machine?: StoredMachine,
  ) {
    super(message);
  }
}
