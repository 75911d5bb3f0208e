import type { MachineName } from '../../domain/machines';
import { labelOf, toneOf } from './format';

/** A state as a signal lamp with its name; colour is never the only sign. */
export const Badge = ({ machine, state }: { machine: MachineName; state: string }) => (
  <span className={`badge tone-${toneOf(machine, state)}`}>{labelOf(machine, state)}</span>
);
