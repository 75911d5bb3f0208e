import { ApplicationFailure } from '@temporalio/activity';
import type { Db } from '../db/connect';
import { NotOwner } from '../db/deployments';
import { knownIncarnation } from '../db/installation';
import { NotMoved } from '../db/transition';
import { incarnationOf } from '../domain/incarnation';
import { createAdoption } from './adopt';
import { createBackup } from './backup';
import { createBackupKeeping } from './backups/by-hand';
import { createBuild } from './build';
import type { Deps, TargetDeps } from './deps';
import { createChangeRequestActivities } from './governance';
import { createReconcileActivities } from './reconcile';
import { createHeard } from './heard';
import { createHealthCheck, createVerifyRollback } from './health-check';
import { createLifecycle } from './lifecycle';
import { createNotifyActivities } from './notify';
import { ofWorkflows, orderedBy } from './orders';
import { createRetention } from './retention';
import { createStepRunner } from './step';
import { createTraces } from './traces';
import { createWindowActivities } from './windows';
import { createMigrate, createSwap } from './swap';
import { createRestoreData, createTakeOut, createUndoSwap } from './undo';
import { wrapped } from './wrapped';

/** The steps on a target, on whichever host they run. */
export function createSteps(deps: TargetDeps) {
  const runStep = createStepRunner(deps);
  return {
    build: createBuild(deps, runStep),
    backup: createBackup(runStep),
    migrate: createMigrate(runStep),
    swap: createSwap(runStep),
    healthCheck: createHealthCheck(runStep),
    undoSwap: createUndoSwap(runStep),
    undoMigrate: createRestoreData(runStep),
    takeOut: createTakeOut(runStep),
    verifyRollback: createVerifyRollback(runStep),
    tracesOf: createTraces(deps),
  };
}
export type Steps = ReturnType<typeof createSteps>;

/**
 * An attempt that another workflow has taken over, or that the record has lost, is ended by what it asks next; so is one
 * that was further than the record is, because the database was restored or failed over, or because somebody answered for a
 * worker. Recovery then looks at the target.
 */
const ofOwner = <A extends object>(db: Db, activities: A): A =>
  wrapped(
    activities,
    (run) =>
      (...args) =>
        run(...args).catch(async (thrown: unknown) => {
          if (thrown instanceof NotOwner || (thrown instanceof NotMoved && (await isFurther(db, thrown))))
            throw ApplicationFailure.nonRetryable(thrown.message, 'Superseded');
          throw thrown;
        }),
  );

/** Nobody but its workflow moves an attempt: one that is elsewhere never gets to where that believes it to be. */
async function isFurther(db: Db, { machine }: NotMoved): Promise<boolean> {
  if (machine === 'deployment') return true;
  const { workflowId } = orderedBy();
  return incarnationOf(workflowId) !== (await knownIncarnation(db));
}

/** All activities of a worker: those that act on a target, and those that write Signalbox's own record. */
export function createActivities(deps: Deps) {
  const heard = createHeard(deps);
  const all = {
    ...createSteps(deps),
    ...ofOwner(deps.db, { heard: heard.heard }),
    ...ofOwner(deps.db, createLifecycle(deps, heard)),
    ...createChangeRequestActivities(deps, heard),
    ...ofOwner(deps.db, createWindowActivities(deps)),
    ...createNotifyActivities(deps),
    ...createReconcileActivities(deps),
    ...createBackupKeeping(deps),
    ...createRetention(deps),
    ...createAdoption(deps, heard),
  };
  return ofWorkflows(all, deps.log);
}

export type Activities = ReturnType<typeof createActivities>;
