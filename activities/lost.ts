import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';

/** How the workflow that has something to do stands in Temporal. */
export interface WorkflowNow {
  /** The run that has it now: what a run continued as, or was reset to. */
  runId?: string;
  /** How it ended without recording it, in plain words. */
  lost?: string;
  /** Temporal knows nothing of it: nobody ended it. */
  vanished?: true;
  /** It waits for nothing in Temporal but a timer or a signal. */
  waits?: true;
  /** Why it stands still, and what lets it go on, in plain words: who paused it or its step, say. It is not lost. */
  paused?: string;
}

/**
 * @param runId a run of it that the record knows. Its chain is followed to the last run, so that one which continued, or was
 * reset, counts as what became of it; a workflow that merely has the same id does not.
 */
export async function workflowNow(
  temporal: Client,
  workflowId: string,
  runId?: string,
): Promise<WorkflowNow> {
  const described = (run?: string) => descriptionOf(temporal, workflowId, run);
  const latest = await described();
  const known = runId === undefined || runId === latest?.runId ? latest : await described(runId);
  const now = known && latest && chainOf(known) === chainOf(latest) ? latest : known;
  if (!now) return { lost: `Its workflow ${workflowId} has vanished from Temporal.`, vanished: true };
  const { name } = now.status;
  // Of a chain that is continued at this very moment the next run is not to be seen yet.
  if (name === 'RUNNING' || name === 'PAUSED' || name === 'CONTINUED_AS_NEW')
    return { runId: now.runId, ...(pausedBy(now) ?? failing(now) ?? waiting(now)) };
  return {
    lost: `Its workflow ${workflowId} ended as ${name.toLowerCase().replaceAll('_', ' ')} without recording an end.`,
  };
}

/** How a workflow ended without recording it, in plain words; undefined while it runs or is paused. */
export const lost = async (
  temporal: Client,
  workflowId: string,
  runId?: string,
): Promise<string | undefined> => (await workflowNow(temporal, workflowId, runId)).lost;

/** Whether two runs of a workflow are of one chain: one continued, or was reset, to the other. False when one is gone. */
export async function sameChain(temporal: Client, workflowId: string, ...runs: [string, string]) {
  const [one, other] = await Promise.all(runs.map((run) => descriptionOf(temporal, workflowId, run)));
  return one !== undefined && other !== undefined && chainOf(one) === chainOf(other);
}

/** Undefined when Temporal knows no such run. */
const descriptionOf = (temporal: Client, workflowId: string, run?: string) =>
  temporal.workflow
    .getHandle(workflowId, run)
    .describe()
    .catch((thrown: unknown) => {
      if (thrown instanceof WorkflowNotFoundError) return undefined;
      throw thrown;
    });

/** Id of the first run of its chain: kept when it continues as new and when it is reset. */
const chainOf = ({ raw, runId }: WorkflowExecutionDescription) =>
  raw.workflowExecutionInfo?.firstRunId || runId;

/** When anything last happened to a run, by Temporal's clock. */
export async function lastEventOf(temporal: Client, workflowId: string, runId?: string): Promise<number> {
  const { history } = await temporal.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: temporal.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  return Number(history!.events![0]!.eventTime!.seconds) * 1_000;
}

function pausedBy({ raw, workflowId, status }: WorkflowExecutionDescription): { paused: string } | undefined {
  const because = (by?: string | null, reason?: string | null) =>
    `paused in Temporal by ${by || 'somebody'}${reason ? ` (${reason})` : ''}`;
  if (status.name === 'PAUSED') {
    const { identity, reason } = raw.workflowExtendedInfo?.pauseInfo ?? {};
    return {
      paused: `${because(identity, reason)}; it goes on after: temporal workflow unpause --workflow-id ${workflowId}`,
    };
  }
  const step = raw.pendingActivities?.find(({ paused }) => paused);
  if (!step) return undefined;
  const { manual } = step.pauseInfo ?? {};
  return {
    paused: `its step ${step.activityType?.name} is ${because(manual?.identity, manual?.reason)}; it goes on after: temporal activity unpause --workflow-id ${workflowId} --activity-id ${step.activityId}`,
  };
}

function waiting({ raw, status }: WorkflowExecutionDescription): { waits: true } | undefined {
  const busy = raw.pendingWorkflowTask ?? raw.pendingActivities?.[0];
  return status.name === 'RUNNING' && !busy ? { waits: true } : undefined;
}

/** A task that was tried this often is not merely one whose worker was killed. */
const failingFrom = 3;
/** Its task ends in vain each time: no worker there can go on from its history, as after a downgrade. */
function failing({ raw, workflowId }: WorkflowExecutionDescription): { paused: string } | undefined {
  const { attempt } = raw.pendingWorkflowTask ?? {};
  if (!attempt || attempt < failingFrom) return undefined;
  return {
    paused: `standing still, because its workflow task fails again and again in Temporal (try ${attempt}; its history there says why); it goes on after: starting a worker of the newest version that has run here. If such workers run: temporal workflow terminate --workflow-id ${workflowId}, and its recovery takes over`,
  };
}
