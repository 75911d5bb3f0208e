import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResourcesSync, envDetectorSync, Resource } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import type { Tracing } from '../temporal-config/tracing';

export interface RunningTracing extends Tracing {
  /** Sends what is left. */
  stop(): Promise<void>;
}

/**
 * Starts OpenTelemetry where the environment asks for it: OTEL_EXPORTER_OTLP_ENDPOINT names a collector (OTLP over
 * HTTP), OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES what this process is called there. Before the first connection.
 * @returns undefined when nobody asks: then nothing is traced.
 */
export function startTracing(service: string): RunningTracing | undefined {
  if (!process.env.OTEL_EXPORTER_OTLP_ENDPOINT && !process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
    return undefined;
  const resource = new Resource({ 'service.name': service }).merge(
    detectResourcesSync({ detectors: [envDetectorSync] }),
  );
  const spans = new BatchSpanProcessor(new OTLPTraceExporter());
  const provider = new NodeTracerProvider({ resource, spanProcessors: [spans] });
  provider.register();
  return { resource, spans, stop: () => provider.shutdown() };
}
