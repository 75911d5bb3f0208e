import type { Resource } from '@opentelemetry/resources';
import type { SpanProcessor } from '@opentelemetry/sdk-trace-node';

/** Where spans of workflows go, when OpenTelemetry is on; the other spans follow the global tracer. */
export interface Tracing {
  resource: Resource;
  spans: SpanProcessor;
}
