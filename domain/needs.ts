/**
 * What waits for somebody, the most urgent first: within each of these what is an emergency comes before the rest, and what
 * waits longest before what came later.
 */
export const needKinds = [
  'rollback-failed',
  'rolled-back',
  'review-overdue',
  'override',
  'decision',
  'deploy',
  'review',
  'draft',
] as const;
export type NeedKind = (typeof needKinds)[number];
