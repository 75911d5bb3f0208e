import { predecessorsOf, rowOf, type MachineName, type State } from '../domain/machines';
import type { Tx } from './connect';

const tables = {
  promotion: 'promotions',
  changeRequest: 'change_requests',
  deployment: 'deployments',
} as const satisfies Partial<Record<MachineName, string>>;
export type StoredMachine = keyof typeof tables;

/**
 * The one way a status changes: a compare-and-set against the legal predecessors of `to`.
 * @param set further columns of the same row, written in the same statement.
 * @returns false when the row was in no state that may become `to`: the caller lost, nothing changed.
 */
export async function transition<M extends StoredMachine>(
  tx: Tx,
  machine: M,
  id: number,
  to: State<M>,
  set: Record<string, unknown> = {},
): Promise<boolean> {
  const at = rowOf(machine, to)?.at;
  const changed = await tx(tables[machine])
    .where({ id })
    .whereIn('status', predecessorsOf(machine, to))
    .update({
      ...set,
      status: to,
      ...(at ? { [at]: tx.fn.now() } : {}),
      version: tx.raw('version + 1'),
      updated_at: tx.fn.now(),
    });
  return changed === 1;
}
