import { Counter, Gauge, Histogram } from 'prom-client';

/** What a worker counts of its own work, since it was started. */
export const stepSeconds = new Histogram({
  name: 'signalbox_step_duration_seconds',
  help: 'How long a try of a step took, by what became of it: done, failed (a verdict), fault (tried again), cancelled.',
  labelNames: ['target', 'step', 'result'] as const,
  buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600],
});
export const logLines = new Counter({
  name: 'signalbox_log_lines_total',
  help: "Lines of commands' output and of notes that were stored.",
});
export const repairs = new Counter({
  name: 'signalbox_reconcile_repairs_total',
  help: 'What reconcile found lost and put right.',
  labelNames: ['kind'] as const,
});
export const reconciledAt = new Gauge({
  name: 'signalbox_reconcile_last_success_timestamp_seconds',
  help: 'When this worker last compared the record with Temporal to the end.',
});
