import { examineDatabase } from './database';
import type { Difference, Examined } from './difference';
import { examineTargets } from './targets';
import { examineWorkflows } from './workflows';

export type { Difference, Examined };

/** Compares record, Temporal and targets, and changes nothing. */
export async function examine(
  examined: Examined,
): Promise<{ differences: Difference[]; elsewhere: string[] }> {
  const record = await examineDatabase(examined);
  const workflows = await examineWorkflows(examined);
  const { differences, elsewhere } = await examineTargets(examined);
  return { differences: [...record, ...workflows, ...differences], elsewhere };
}
