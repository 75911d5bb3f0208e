import { Context } from '@temporalio/activity';
import type { Observed } from '../domain/observed';
import { removeTree } from './archive';
import type { TargetDeps } from './deps';
import { createDriver } from './drivers/driver';
import type { OnHost } from './lifecycle';
import { targetOf, verdict } from './step';
import { tidyTarget } from './tidy';

/** What a runner does on its host besides the steps themselves. */
export function createRunnerActivities(
  deps: TargetDeps & {
    id: string;
    host: string;
    claim(deployment: number, owner: string, runner: string): Promise<boolean>;
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
      const owner = Context.current().info.workflowExecution!.workflowId;
      if (!(await deps.claim(deployment, owner, deps.id)))
        throw verdict('Superseded', `${key} is not run by ${owner} any more; this runner does nothing.`);
      deps.log.info({ deployment: key, runner: deps.id }, `${key}: its steps are done here`);
      return { id: deps.id, host: deps.host };
    },
    /** What is live on the target now. */
    observe: ({ target }: { target: string }): Promise<Observed> =>
      createDriver(targetOf(deps, target).driver).observe(),
    /** @returns the deployments whose backups were removed. */
    async tidy(left: OnHost): Promise<number[]> {
      await tidyTarget(deps, left);
      for (const { reference } of left.old) await removeTree(reference);
      return left.old.map(({ deployment }) => deployment);
    },
  };
}
export type RunnerActivities = ReturnType<typeof createRunnerActivities>;
