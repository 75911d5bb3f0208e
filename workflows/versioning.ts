import type { WorkflowDefinitionOptions } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';

/**
 * What has begun ends on the worker version where it began. Only where workers have versions: Temporal refuses every task of
 * a worker without one that asks for it. (Such a worker has a build id all the same, but no name of a worker deployment.)
 */
export const staysOnItsVersion = (): WorkflowDefinitionOptions =>
  workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'PINNED' } : {};
