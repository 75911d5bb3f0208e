import { createServer } from 'node:http';
import express from 'express';
import { register } from 'prom-client';
import { readiness } from '../api/health';
import type { Db } from '../db/connect';
import type { Temporal } from '../temporal-config/connection';
import type { SignalboxWorker } from '../worker/worker';
import { listen } from './serve';

/**
 * What a worker that runs alone answers to probes and to Prometheus: /health/live, /health/ready and /metrics. It
 * answers on all addresses of the host and asks for no token, so its port belongs into the cluster's own network.
 */
export async function serveHealth(options: {
  port: number;
  worker: SignalboxWorker;
  /** A runner has none. */
  db?: Db;
  temporal: Temporal;
  sdkMetrics(): Promise<string>;
}): Promise<{ port: number; stop(): void }> {
  const { worker, db, temporal, sdkMetrics } = options;
  const app = express().disable('x-powered-by');
  app.get('/health/live', (_request, response) => void response.json({ status: 'live' }));
  app.get(
    '/health/ready',
    readiness(() => ({
      worker: worker.running() ? Promise.resolve() : Promise.reject(new Error('it is stopping')),
      ...(db ? { database: db.raw('SELECT 1') } : {}),
      temporal: temporal.client.workflowService.getSystemInfo({}),
    })),
  );
  app.get('/metrics', async (_request, response) => {
    const parts = await Promise.all([register.metrics(), sdkMetrics()]);
    response.type(register.contentType).send(parts.join('\n'));
  });
  const server = createServer(app);
  const port = await listen(server, options.port, '0.0.0.0');
  return {
    port,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
