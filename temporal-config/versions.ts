import type { Temporal } from './connection';

/** Worker deployment under which all versions of Signalbox's workers are known to Temporal. */
const deploymentName = 'signalbox';

/** What a worker with a build id registers as. What does not ask to stay on its version goes to the current one. */
export const versionOf = (buildId: string) => ({
  version: { deploymentName, buildId },
  useWorkerVersioning: true as const,
  defaultVersioningBehavior: 'AUTO_UPGRADE' as const,
});

export interface WorkerVersion {
  buildId: string;
  /** `draining`: nothing begins on it, some deployments go on; `drained`: its workers can be ended. */
  status: 'inactive' | 'current' | 'ramping' | 'draining' | 'drained';
  /** Of a ramping one: percent of the deployments that begin on it. */
  percent?: number;
  /** When its status became what it is, as far as Temporal keeps that. */
  since: Date;
  /** Deployments that stay on it until they have ended. */
  deployments: number;
}
/** By number, as temporal.api.enums.v1.WorkerDeploymentVersionStatus. */
const statuses = ['inactive', 'inactive', 'current', 'ramping', 'draining', 'drained', 'inactive'] as const;
/** gRPC status codes. */
const notFound = 5;
const failedPrecondition = 9;
const codeOf = (thrown: unknown) => (thrown as { code?: number }).code;

const staying = `ExecutionStatus = 'Running' AND WorkflowType IN ('deployPromotion', 'recoverDeployment')`;

/** Undefined: no worker has called itself by a version yet. */
const described = ({ connection, namespace }: Temporal) =>
  connection.workflowService.describeWorkerDeployment({ namespace, deploymentName }).then(
    ({ workerDeploymentInfo }) => workerDeploymentInfo,
    (thrown: unknown) => {
      if (codeOf(thrown) === notFound) return undefined;
      throw thrown;
    },
  );

/** The versions that Temporal has heard of, the newest first; none while all workers run without a build id. */
export async function workerVersions(temporal: Temporal): Promise<WorkerVersion[]> {
  const info = await described(temporal);
  const newestFirst = [...(info?.versionSummaries ?? [])].sort(
    (a, b) => dateOf(b.createTime).getTime() - dateOf(a.createTime).getTime(),
  );
  return Promise.all(
    newestFirst.map(async (summary) => {
      const buildId = summary.deploymentVersion?.buildId ?? '';
      const status = statuses[summary.status ?? 0] ?? 'inactive';
      const since = {
        inactive: summary.createTime,
        current: summary.currentSinceTime,
        ramping: summary.rampingSinceTime,
        draining: summary.lastDeactivationTime,
        drained: summary.drainageInfo?.lastChangedTime,
      }[status];
      const { count } = await temporal.client.workflow.count(
        `${staying} AND TemporalWorkerDeploymentVersion = '${deploymentName}:${buildId}'`,
      );
      return {
        buildId,
        status,
        ...(status === 'ramping' ? { percent: info?.routingConfig?.rampingVersionPercentage ?? 0 } : {}),
        since: dateOf(since ?? summary.createTime),
        deployments: count,
      };
    }),
  );
}

/**
 * What begins from now on begins on this version, or this share of it; what has begun on another ends there.
 * @param percent left out: all.
 * @throws naming what to start when no worker of that version is there.
 */
export async function routeTo(temporal: Temporal, buildId: string, percent?: number): Promise<void> {
  const { workflowService } = temporal.connection;
  const to = { namespace: temporal.namespace, deploymentName, buildId, identity: `signalbox@${process.pid}` };
  try {
    await (percent === undefined
      ? workflowService.setWorkerDeploymentCurrentVersion(to)
      : workflowService.setWorkerDeploymentRampingVersion({ ...to, percentage: percent }));
  } catch (thrown) {
    const code = codeOf(thrown);
    if (code !== notFound && code !== failedPrecondition) throw thrown;
    const known = (await described(temporal))?.versionSummaries?.some(
      ({ deploymentVersion }) => deploymentVersion?.buildId === buildId,
    );
    throw new Error(
      known
        ? `Temporal does not send deployments to ${buildId}: ${(thrown as { details?: string }).details ?? String(thrown)}`
        : `No worker has called itself ${buildId} yet; start one first: signalbox worker --build-id ${buildId} ...`,
      { cause: thrown },
    );
  }
}

const dateOf = (time: { seconds?: unknown } | null | undefined) =>
  new Date(Number(time?.seconds ?? 0) * 1000);
