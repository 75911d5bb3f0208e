import { noteSeen } from '../db/deployments';
import type { TargetConfig } from '../domain/config';
import type { Observed } from '../domain/observed';
import type { Deps } from './deps';
import { createDriver } from './drivers/driver';
import { targetOf } from './step';

/** A command that observes may take long; a transaction on the record does not wait for it. */
const lookMs = 15_000;

/** What is live on a target that the workers reach. @throws when nobody can say it in time. */
export async function look(deps: Pick<Deps, 'targets'>, target: string): Promise<Observed> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`driver.observe did not say within ${lookMs / 1000} s what ${target} runs`)),
      lookMs,
    );
  });
  try {
    return await Promise.race([createDriver(ended(targetOf(deps, target).driver)).observe(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A command that nobody waits for any more is ended, too: the next pass asks again, and they would pile up. */
const ended = (driver: TargetConfig['driver']): TargetConfig['driver'] => {
  if (driver.kind !== 'command') return driver;
  const timeoutSeconds = Math.min(driver.observe.timeoutSeconds, lookMs / 1000 + 1);
  return { ...driver, observe: { ...driver.observe, timeoutSeconds } };
};

/**
 * Records what is live on a target of which nobody vouches for what the record says. What cannot be looked at now is
 * looked at by the next pass of reconcile; on a target with runners it is seen when an SRE accepts it.
 */
export async function noteLive(deps: Pick<Deps, 'db' | 'targets' | 'log'>, target: string): Promise<void> {
  if (deps.targets().get(target)?.runner) return;
  await look(deps, target)
    .then((live) => noteSeen(deps.db, target, live))
    .catch((thrown: unknown) => deps.log.warn({ target, err: thrown }, `could not look what ${target} runs`));
}
