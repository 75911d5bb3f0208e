import type { temporal } from '@temporalio/proto';

type Event = temporal.api.history.v1.IHistoryEvent;

/** The events of a history which say that an activity of this name has completed. */
export const completionsOf = (events: Event[], name: string): Event[] =>
  events.filter(({ activityTaskCompletedEventAttributes: completed }) => {
    const scheduled = completed && events[Number(completed.scheduledEventId) - 1];
    return scheduled?.activityTaskScheduledEventAttributes!.activityType!.name === name;
  });
