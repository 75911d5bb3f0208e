import { createAdoption } from './adopt';
import { createBackup, createRestoreData } from './backup';
import { createBackupKeeping } from './backups/by-hand';
import { createBuild } from './build';
import type { Deps, TargetDeps } from './deps';
import { createChangeRequestActivities } from './governance';
import { createReconcileActivities } from './reconcile';
import { createHeard } from './heard';
import { createHealthCheck, createVerifyRollback } from './health-check';
import { createLifecycle } from './lifecycle';
import { createNotifyActivities } from './notify';
import { createRetention } from './retention';
import { createStepRunner } from './step';
import { createWindowActivities } from './windows';
import { createMigrate, createSwap } from './swap';
import { createTakeOut, createUndoSwap } from './undo';

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
  };
}
export type Steps = ReturnType<typeof createSteps>;

/** All activities of a worker: those that act on a target, and those that write Signalbox's own record. */
export function createActivities(deps: Deps) {
  const heard = createHeard(deps);
  return {
    ...createSteps(deps),
    heard: heard.heard,
    ...createLifecycle(deps, heard),
    ...createChangeRequestActivities(deps, heard),
    ...createWindowActivities(deps),
    ...createNotifyActivities(deps),
    ...createReconcileActivities(deps),
    ...createBackupKeeping(deps),
    ...createRetention(deps),
    ...createAdoption(deps, heard),
  };
}

export type Activities = ReturnType<typeof createActivities>;
