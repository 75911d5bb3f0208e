import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';
import type { Person } from '../db/people';
import { requestSeconds } from './metrics';

/**
 * Follows each request: a span, under which Temporal's client starts and signals workflows, a figure by its route, and
 * a line in the log with the id that is answered as X-Request-Id. What only reads is logged for debugging alone.
 */
export const observe =
  (log: Logger): RequestHandler =>
  (request, response, next) => {
    const parent = propagation.extract(context.active(), request.headers);
    const { method } = request;
    const span = trace
      .getTracer('signalbox')
      .startSpan(
        method,
        { kind: SpanKind.SERVER, attributes: { 'http.request.method': method, 'url.path': request.path } },
        parent,
      );
    const took = requestSeconds.startTimer();
    response.once('close', () => {
      const { statusCode: status, locals } = response;
      // A route's own pattern, so that there are as many names as routes and not as keys.
      const route = request.route ? `${request.baseUrl}${String(request.route.path)}` : 'other';
      const seconds = took({ method, route, status });
      const { person } = locals.person ? (locals.person as Person) : { person: undefined };
      const about = { request: locals.request as string, person, method, route, status, seconds };
      const level = status >= 500 ? 'error' : method === 'GET' || method === 'HEAD' ? 'debug' : 'info';
      log[level](about, `${method} ${request.originalUrl.split('?')[0]!.slice(0, 200)}: ${status}`);
      span.updateName(`${method} ${route}`);
      span.setAttributes({
        'http.route': route,
        'http.response.status_code': status,
        'signalbox.request': about.request,
      });
      if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    });
    context.with(trace.setSpan(parent, span), next);
  };
