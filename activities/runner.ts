import { join } from 'node:path';
import type { Observed } from '../domain/observed';
import type { TargetDeps } from './deps';
import type { OnHost } from '../db/left';
import { forged, orderedBy } from './orders';
import { removeFrom } from './rooms';
import { driverOf, targetOf, verdict } from './step';
import { tidyTarget } from './tidy';

/** What a runner does on its host besides the steps themselves. */
export function createRunnerActivities(
  deps: TargetDeps & {
    id: string;
    host: string;
    /** The only target whose steps are done here. */
    target: string;
    claim(deployment: number, owner: string, runner: string): Promise<boolean>;
    /** What an ended attempt of this workflow left here; undefined when the record knows of nothing. */
    left(key: string, owner: string): Promise<OnHost | undefined>;
  },
) {
  return {
    /** Takes a deployment: its steps come to this runner's own queue from now on. */
    async claimRunner({
      deployment,
      key,
    }: {
      deployment: number;
      key: string;
    }): Promise<{ id: string; host: string }> {
      const owner = orderedBy().workflowId;
      if (!(await deps.claim(deployment, owner, deps.id)))
        throw verdict('Superseded', `${key} is not run by ${owner} any more; this runner does nothing.`);
      deps.log.info({ deployment: key, runner: deps.id }, `${key}: its steps are done here`);
      return { id: deps.id, host: deps.host };
    },
    /** What is live on the target now. */
    async observe({ deployment }: { target: string; deployment?: number }): Promise<Observed> {
      const found = await driverOf(deps, targetOf(deps, deps.target)).observe();
      const { workflowId: owner } = orderedBy();
      // A workflow of the version before believes the answer.
      if (deployment !== undefined) await deps.journal.sighted({ deployment, owner, what: 'live', found });
      return found;
    },
    /**
     * What is removed is asked of the record, not of whoever orders it.
     * @returns the deployments whose backups were removed.
     */
    async tidy(given: Pick<OnHost, 'key'>): Promise<number[]> {
      const { workflowId } = orderedBy();
      const left = await deps.left(String(given.key).slice(0, 30), workflowId);
      if (left?.target !== deps.target)
        throw forged(`${workflowId} has no attempt that ended on ${deps.target}, as is recorded.`);
      await tidyTarget(deps, left);
      const room = join(deps.stateDir, 'backups', deps.target);
      const removed: number[] = [];
      for (const { deployment, reference } of left.old)
        if (await removeFrom(room, reference, deps.log)) removed.push(deployment);
      return removed;
    },
  };
}
export type { OnHost };
export type RunnerActivities = ReturnType<typeof createRunnerActivities>;
