import { Context } from '@temporalio/activity';
import type { Activities } from '../../activities';
import { controlQueue } from '../../temporal-config/names';
import { gate } from './until';
import type { World } from './world';

/** What tests do to what is under way. */

/**
 * Stops an activity until it is let go, or is cancelled.
 * @param options.effectFirst after its effect, before its report. @param options.once its first try only.
 */
export function hold(
  world: World,
  name: keyof Activities,
  options: { effectFirst?: boolean; once?: boolean } = {},
): { there: Promise<void>; go(): void } {
  const [there, go] = [gate(), gate()];
  world.faults[name] = async (run) => {
    if (options.once) delete world.faults[name];
    const value = options.effectFirst ? await run() : undefined;
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    there.open();
    await Promise.race([go.opened, Context.current().cancelled]).finally(() => clearInterval(beat));
    return options.effectFirst ? value : run();
  };
  return { there: there.opened, go: go.open };
}

/** One pass of reconciling, with rows old enough to be looked at. @returns each repair in plain words. */
export async function reconcile(world: World): Promise<string[]> {
  await world.owner('deployments').update({ created_at: new Date(Date.now() - 60_000) });
  return world.client.workflow.execute('reconcile', {
    taskQueue: controlQueue,
    workflowId: `reconcile-${process.hrtime.bigint()}`,
  });
}
