import { Context } from '@temporalio/activity';
import type { Traces } from '../db/amend';
import { beating } from './alive';
import { judge } from './causes';
import type { TargetDeps } from './deps';
import type { Driver } from './drivers/driver';
import { actsIn } from './drivers/numbers';
import { orderedBy } from './orders';
import { driverOf, targetOf } from './step';

export type { Traces };

/** Which attempt is looked for at its target. */
export interface LookedFor {
  target: string;
  /** Its number; not said by the previous version. */
  deployment?: number;
  /** CP-7.1 */
  key: string;
  /** Of which Signalbox, in which incarnation of its database: a key comes again after a restore. */
  origin: string;
}

/** After so many tries what cannot be seen is said, so that nothing waits for a target that does not answer. */
const tries = 4;

/**
 * Looks at a target, on whichever host it is: what is live, and what the target's own journal has of an attempt.
 * @throws while it is worth another try.
 */
export const createTraces =
  (deps: Pick<TargetDeps, 'targets' | 'journal' | 'only' | 'sandbox'>) =>
  async ({ target: named, deployment, key, origin }: LookedFor): Promise<Traces> => {
    const target = deps.only ?? named;
    const { attempt } = Context.current().info;
    const unlessAgain = (thrown: unknown): string => {
      const { is, message } = judge(thrown);
      if (is === 'fault' && attempt < tries) throw thrown;
      return message;
    };
    return beating(async () => {
      try {
        const driver = driverOf(deps, targetOf(deps, target));
        const acts = actsIn(driver.room, key, origin);
        const live = await liveOn(driver);
        return await noted({ acts, ...(live ? { live } : {}) });
      } catch (thrown) {
        return await noted({ acts: [], unseen: unlessAgain(thrown) });
      }
    });

    /** What is looked for is believed from the record. */
    async function noted(found: Traces): Promise<Traces> {
      const { workflowId: owner } = orderedBy();
      // A workflow of the version before does not say which attempt it means by its number.
      if (deployment !== undefined) await deps.journal.sighted({ deployment, owner, what: 'traces', found });
      return found;
    }

    async function liveOn(driver: Driver) {
      try {
        return await driver.observe();
      } catch (thrown) {
        // What it did is known all the same; whatever undoes it looks again.
        unlessAgain(thrown);
        return undefined;
      }
    }
  };
