import {
  WorkflowExecutionAlreadyStartedError,
  type Client,
  type WorkflowStartOptions,
} from '@temporalio/client';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';

/**
 * Ids of Signalbox's workflows can be foretold, and whoever reaches Temporal can begin something else under one first. So
 * what is found there is Signalbox's own only if it began as Signalbox begins it: of that type, on that queue, with an input
 * that proves itself, at once and once. Anything else is ended, told, and begun anew.
 */
export interface Own {
  /** Whether the first input is one that Signalbox gave it. */
  isOurs(input: unknown): boolean;
  /** Whether the record has the end of what an ended workflow of this id did, so that nothing is to be begun. */
  isRecorded(): Promise<boolean>;
  /** Records what was found in its place. */
  told(what: string): Promise<unknown>;
}
/** Whoever begins others as fast as this ends them keeps it from beginning; that is said, and not waited out. */
const mostTries = 5;

/** @throws when something else comes in its place again and again. */
export async function startOwn(
  client: Client,
  type: string,
  asked: WorkflowStartOptions & { workflowId: string },
  own: Own,
): Promise<void> {
  let options = asked;
  for (let tries = 1; ; tries++) {
    try {
      await client.workflow.start(type, options);
      return;
    } catch (thrown) {
      if (!(thrown instanceof WorkflowExecutionAlreadyStartedError)) throw thrown;
      if (tries === mostTries)
        throw new Error(
          `Something else is begun as ${asked.workflowId} in Temporal again and again; the audit trail has what. Find out who reaches Temporal.`,
          { cause: thrown },
        );
    }
    const there = await begunAs(client, asked.workflowId);
    if (there?.running) {
      const foreign = whyForeign(there, type, asked.taskQueue, own);
      if (foreign === undefined) return;
      const what = `${asked.workflowId} was taken in Temporal by something that Signalbox did not begin: ${foreign} (run ${there.runId}, begun by "${there.identity}"). It was ended.`;
      await own.told(what);
      await client.workflow
        .getHandle(asked.workflowId, there.runId)
        .terminate(what)
        .catch(() => undefined);
    } else if (await own.isRecorded()) return;
    // Whatever it was, it has ended and nothing of it is recorded.
    options = { ...asked, workflowIdReusePolicy: 'ALLOW_DUPLICATE' };
  }
}

interface Begun {
  runId: string;
  running: boolean;
  type: string;
  taskQueue: string;
  input: unknown;
  identity: string;
  /** Begun again and again, by Temporal itself. */
  cron: string;
  /** Not at once, or only by workers of a version that somebody chose. */
  held: boolean;
}

/** How the run that has an id began; undefined when there is none. */
export async function begunAs(client: Client, workflowId: string, run?: string): Promise<Begun | undefined> {
  const found = await client.workflow
    .getHandle(workflowId, run)
    .describe()
    .catch(() => undefined);
  if (!found) return undefined;
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId: found.runId },
    maximumPageSize: 1,
  });
  const begun = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  if (!begun) return undefined;
  const { firstWorkflowTaskBackoff: backoff, versioningOverride, continuedExecutionRunId } = begun;
  return {
    runId: found.runId,
    running: found.status.name === 'RUNNING' || found.status.name === 'PAUSED',
    type: begun.workflowType?.name ?? '',
    taskQueue: begun.taskQueue?.name ?? '',
    input: valueOf(begun.input?.payloads?.[0]),
    identity: begun.identity ?? '',
    cron: begun.cronSchedule ?? '',
    // One that goes on as a new run may be held back a little by the server.
    held: versioningOverride != null || (!continuedExecutionRunId && Number(backoff?.seconds ?? 0) > 0),
  };
}

function valueOf(payload: Payload | null | undefined): unknown {
  try {
    return payload ? defaultPayloadConverter.fromPayload(payload) : undefined;
  } catch {
    return undefined;
  }
}

function whyForeign(begun: Begun, type: string, queue: string, own: Own): string | undefined {
  if (begun.type !== type) return `a workflow of the type ${begun.type}`;
  if (begun.taskQueue !== queue) return `one for the queue "${begun.taskQueue}"`;
  if (begun.cron) return `one that Temporal begins again by "${begun.cron}"`;
  if (begun.held) return 'one that is held back';
  return own.isOurs(begun.input) ? undefined : 'one that nobody signed';
}
