/** What Signalbox tells others about; the type of each webhook's payload. */
export const notificationEvents = [
  'approval.asked',
  'approval.reminded',
  'approval.escalated',
  'approval.decided',
  'approval.voided',
  'window.opening',
  'deployment.started',
  'deployment.finished',
  'deployment.rolled-back',
  'deployment.rollback-failed',
  'review.asked',
  'review.overdue',
  'item.unblocked',
] as const;
export type NotificationEvent = (typeof notificationEvents)[number];
