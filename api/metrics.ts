import type { RequestHandler } from 'express';
import { Counter, Gauge, Histogram, register, Registry } from 'prom-client';
import { isTerminal } from '../domain/machines';
import { readFigures } from '../db/figures';
import type { ApiDeps } from './deps';

/** What this process counts of its requests, since it was started. */
export const requestSeconds = new Histogram({
  name: 'signalbox_http_request_duration_seconds',
  help: 'How long requests took, by method, route and status.',
  labelNames: ['method', 'route', 'status'] as const,
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
});
export const streamClients = new Gauge({
  name: 'signalbox_event_stream_clients',
  help: 'Pages and programs that follow changes here.',
});

/**
 * GET /metrics, for Prometheus: what the record says (the same on each API process, and exact across restarts), what
 * this process counted, and what Temporal's SDK counts in it.
 */
export const metrics =
  ({ db, sdkMetrics }: Pick<ApiDeps, 'db' | 'sdkMetrics'>): RequestHandler =>
  async (_request, response) => {
    const parts = await Promise.all([recordMetrics(db), register.metrics(), sdkMetrics?.() ?? '']);
    response.type(register.contentType).send(parts.join('\n'));
  };

/** The record's figures as a text of their own. */
async function recordMetrics(db: ApiDeps['db']): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name, help, registers }).set(value);
  const figures = await readFigures(db);
  const done = new Counter({
    name: 'signalbox_deployments_total',
    help: 'Deployments that have ended, by target and outcome.',
    labelNames: ['target', 'outcome'] as const,
    registers,
  });
  const open = new Gauge({
    name: 'signalbox_deployments_open',
    help: 'Deployments that have not ended, by target and status; queued: waiting for the lane, waiting-for-window: asleep.',
    labelNames: ['target', 'status'] as const,
    registers,
  });
  for (const { target, status, count } of figures.deployments)
    if (isTerminal('deployment', status)) done.inc({ target, outcome: status }, count);
    else open.set({ target, status }, count);
  const waits = new Gauge({
    name: 'signalbox_lane_wait_seconds',
    help: 'How long the next deployment in the queue of a target has waited for its lane.',
    labelNames: ['target'] as const,
    registers,
  });
  for (const { target, seconds } of figures.queues) waits.set({ target }, seconds);
  gauge('signalbox_approvals_waiting', 'Change requests that wait for approvers.', figures.approvals.count);
  gauge(
    'signalbox_approvals_oldest_seconds',
    'How long the oldest of them has waited.',
    figures.approvals.seconds,
  );
  gauge(
    'signalbox_reviews_overdue',
    'Reviews after the fact whose deadline has passed.',
    figures.reviewsOverdue,
  );
  gauge('signalbox_notifications_undeliverable', 'Notifications that were given up.', figures.undeliverable);
  gauge(
    'signalbox_audit_unsealed_seconds',
    'Age of the oldest entry of the audit trail without a seal.',
    figures.unsealedSeconds,
  );
  gauge(
    'signalbox_reconcile_age_seconds',
    'Since when a deployment under way was not compared with Temporal; 0 when none is.',
    figures.unsweptSeconds,
  );
  return registry.metrics();
}
