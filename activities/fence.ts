import { ApplicationFailure } from '@temporalio/activity';
import { verdict } from './causes';
import type { StepContext } from './step';

/** The failure by which a target says that a higher number has acted there. */
const type = 'Fenced';

/** @param held the number that acted there. */
export const fenced = (target: string, fence: number, held: number) =>
  verdict(
    type,
    `Fencing number ${fence} was refused: ${held} already acted on ${target}. Nothing was changed.`,
  );

/**
 * Acts on the target under a new fencing number. When the target refuses it, the record is asked once more: whoever
 * still holds the step gets a number above the target's own, and whoever lost it does nothing.
 */
export async function underFence<T>(context: StepContext, act: (fence: number) => Promise<T>): Promise<T> {
  const fence = await context.fence();
  try {
    return await act(fence);
  } catch (thrown) {
    if (!(thrown instanceof ApplicationFailure && thrown.type === type)) throw thrown;
    context.note(`${context.step}: ${thrown.message} Asking the record whether this step still holds.`);
    return act(await context.fence());
  }
}
