import { noteSeen } from '../db/deployments';
import type { TargetConfig } from '../domain/config';
import type { Observed } from '../domain/observed';
import type { Deps } from './deps';
import { driverOf, targetOf } from './step';

/** A command that observes may take long; a transaction on the record does not wait for it. */
const lookMs = 15_000;

/** What is live on a target that the workers reach. @throws when nobody can say it in time. */
export async function look(deps: Pick<Deps, 'targets' | 'sandbox'>, target: string): Promise<Observed> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`driver.observe did not say within ${lookMs / 1000} s what ${target} runs`)),
      lookMs,
    );
  });
  try {
    return await Promise.race([driverOf(deps, ended(targetOf(deps, target))).observe(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A command that nobody waits for any more is ended, too: the next pass asks again, and they would pile up. */
const ended = (target: TargetConfig): TargetConfig => {
  const { driver } = target;
  if (driver.kind !== 'command') return target;
  const timeoutSeconds = Math.min(driver.observe.timeoutSeconds, lookMs / 1000 + 1);
  return { ...target, driver: { ...driver, observe: { ...driver.observe, timeoutSeconds } } };
};

/**
 * Records what is live on a target of which nobody vouches for what the record says. What cannot be looked at now is
 * looked at by the next pass of reconcile; on a target with runners it is seen when an SRE accepts it.
 */
export async function noteLive(
  deps: Pick<Deps, 'db' | 'targets' | 'log' | 'sandbox'>,
  target: string,
): Promise<void> {
  if (deps.targets().get(target)?.runner) return;
  await look(deps, target)
    .then((live) => noteSeen(deps.db, target, live))
    .catch((thrown: unknown) => deps.log.warn({ target, err: thrown }, `could not look what ${target} runs`));
}
