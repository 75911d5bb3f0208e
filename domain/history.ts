/**
 * A workflow's history as Temporal's tools write it (JSON of `temporal.api.history.v1.History`), told in plain words.
 * What only Temporal itself needs (workflow tasks) is left out.
 */
export interface HistoryEvent {
  id: number;
  at: string;
  text: string;
}
interface RawEvent {
  eventId: string;
  eventTime: string;
  eventType: string;
  userMetadata?: { summary?: Payload };
  [attributes: string]: unknown;
}
interface Payload {
  data?: string;
}
interface Failure {
  message?: string;
  cause?: Failure;
  applicationFailureInfo?: { type?: string };
  timeoutFailureInfo?: { timeoutType?: string };
}

/** @param history as parsed from JSON. */
export function tellHistory(history: unknown): HistoryEvent[] {
  const { events } = history as { events: RawEvent[] };
  const titles = new Map<string, string>();
  return events.flatMap((event) => {
    const text = tell(event, titles);
    return text === undefined
      ? []
      : [{ id: Number(event.eventId), at: event.eventTime.replace(/(\.\d{3})\d*Z$/, '$1Z'), text }];
  });
}

/** @param titles what was scheduled or started, by the number of the event that did. */
function tell(event: RawEvent, titles: Map<string, string>): string | undefined {
  const kind = event.eventType.replace('EVENT_TYPE_', '');
  const name = kind.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const about = (event[`${name}EventAttributes`] ?? {}) as Record<string, unknown>;
  const summary = textOf(event.userMetadata?.summary);
  const title = () =>
    titles.get(String(about.scheduledEventId ?? about.startedEventId ?? about.initiatedEventId)) ?? 'a step';
  const failed = () => deepest(about.failure as Failure | undefined);
  switch (kind) {
    case 'WORKFLOW_EXECUTION_STARTED':
      return `${nameOf(about.workflowType)} started${summary ? `: ${summary}` : ''}`;
    case 'WORKFLOW_EXECUTION_COMPLETED':
      return 'the workflow completed';
    case 'WORKFLOW_EXECUTION_FAILED':
      return `the workflow failed: ${failed()}`;
    case 'WORKFLOW_EXECUTION_TIMED_OUT':
      return 'the workflow timed out';
    case 'WORKFLOW_EXECUTION_TERMINATED':
      return `the workflow was terminated${about.reason ? `: ${String(about.reason)}` : ''}`;
    case 'WORKFLOW_EXECUTION_CANCELED':
      return 'the workflow was cancelled';
    case 'WORKFLOW_EXECUTION_CANCEL_REQUESTED':
      return 'its cancellation was asked for in Temporal';
    case 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW':
      return 'goes on in a new run, with a short history';
    case 'WORKFLOW_EXECUTION_SIGNALED':
      return `was told: ${String(about.signalName)}`;
    case 'ACTIVITY_TASK_SCHEDULED':
      titles.set(event.eventId, summary ?? nameOf(about.activityType));
      return `${titles.get(event.eventId)}: scheduled`;
    case 'ACTIVITY_TASK_STARTED':
      return `${title()}: begun${Number(about.attempt ?? 1) > 1 ? `, try ${String(about.attempt)}` : ''}`;
    case 'ACTIVITY_TASK_COMPLETED':
      return `${title()}: done`;
    case 'ACTIVITY_TASK_FAILED':
      return `${title()}: failed: ${failed()}`;
    case 'ACTIVITY_TASK_TIMED_OUT':
      return `${title()}: timed out: ${failed()}`;
    case 'ACTIVITY_TASK_CANCEL_REQUESTED':
      return `${title()}: asked to stop`;
    case 'ACTIVITY_TASK_CANCELED':
      return `${title()}: stopped`;
    case 'TIMER_STARTED':
      titles.set(event.eventId, summary ?? 'a timer');
      return `timer: ${titles.get(event.eventId)}, ${String(about.startToFireTimeout)}`;
    case 'TIMER_FIRED':
      return `timer rang: ${title()}`;
    case 'TIMER_CANCELED':
      return `timer stopped: ${title()}`;
    case 'MARKER_RECORDED': {
      const details = about.details as Record<string, { payloads?: Payload[] }> | undefined;
      const data = textOf(details?.data?.payloads?.[0]);
      const activity = /"activity_type":"(\w+)"/.exec(data ?? '')?.[1];
      const why = about.failure ? `: failed: ${failed()}` : '';
      return `${summary ?? activity ?? String(about.markerName)}: written${why}`;
    }
    default:
      return undefined;
  }
}

const nameOf = (type: unknown) => (type as { name?: string } | undefined)?.name ?? 'something';
const deepest = (failure: Failure | undefined): string =>
  failure?.cause ? deepest(failure.cause) : (failure?.message ?? 'no message');
function textOf(payload: Payload | undefined): string | undefined {
  if (!payload?.data) return undefined;
  const text = new TextDecoder().decode(
    Uint8Array.from(atob(payload.data), (letter) => letter.charCodeAt(0)),
  );
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : text;
  } catch {
    return text;
  }
}
