import { Client } from '@temporalio/client';
import { OpenTelemetryWorkflowClientInterceptor } from '@temporalio/interceptors-opentelemetry';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';

export interface TemporalPlace {
  /** host:port of the frontend; undefined: as the environment configures it. */
  address?: string;
  namespace?: string;
  /** Instead of the process's own environment. */
  env?: Record<string, string>;
}
export interface Temporal {
  connection: NativeConnection;
  client: Client;
  namespace: string;
  address: string;
}

/** Whether the environment names a Temporal server. */
export const isConfigured = (): boolean =>
  Boolean(process.env.TEMPORAL_ADDRESS || process.env.TEMPORAL_PROFILE);

/**
 * Connects to Temporal. Worker and API of one process share the connection, which lets a workflow begin on the
 * worker beside the API that started it.
 *
 * Without a place it is configured as every client of Temporal is: by TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
 * TEMPORAL_API_KEY and TEMPORAL_TLS_*, or by a profile (TEMPORAL_PROFILE) of the file that TEMPORAL_CONFIG_FILE names.
 * @throws when it is not reached, naming the address and what to set.
 */
export async function connectTemporal(place: TemporalPlace = {}): Promise<Temporal> {
  const configured = place.address
    ? { connectionOptions: { address: place.address }, namespace: place.namespace }
    : loadClientConnectConfig(place.env && { overrideEnvVars: place.env, disableFile: true });
  const namespace = place.namespace ?? configured.namespace ?? 'default';
  const { address } = configured.connectionOptions;
  if (!address)
    throw new Error(
      'TEMPORAL_ADDRESS is not set; set it to the Temporal server, host:port, or TEMPORAL_PROFILE to a profile that has one.',
    );
  let connection: NativeConnection;
  try {
    connection = await NativeConnection.connect(configured.connectionOptions);
  } catch (thrown) {
    throw new Error(`No Temporal server answers at ${address}; start one or correct TEMPORAL_ADDRESS.`, {
      cause: thrown,
    });
  }
  // Passes the trace on in which something is started or signalled; does nothing where none is kept.
  const interceptors = { workflow: [new OpenTelemetryWorkflowClientInterceptor()] };
  return { connection, client: new Client({ connection, namespace, interceptors }), namespace, address };
}
