import { homedir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { OpenTelemetryWorkflowClientInterceptor } from '@temporalio/interceptors-opentelemetry';
import { loadClientConfig, loadClientConnectConfig } from '@temporalio/envconfig';
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

/** Files with secrets by which Temporal's clients are configured: the file of profiles, and the key that each of them names. */
export function temporalSecretFiles(env: NodeJS.ProcessEnv): string[] {
  const settings = env.XDG_CONFIG_HOME ?? join(env.HOME ?? homedir(), '.config');
  const file = env.TEMPORAL_CONFIG_FILE ?? join(settings, 'temporalio', 'temporal.toml');
  const key = env.TEMPORAL_TLS_CLIENT_KEY_PATH;
  return [file, ...(key ? [key] : []), ...keysNamedIn(file)];
}
function keysNamedIn(file: string): string[] {
  try {
    const { profiles } = loadClientConfig({ configSource: { path: file }, overrideEnvVars: {} });
    return Object.values(profiles).flatMap(({ tls }) =>
      tls?.clientKey && 'path' in tls.clientKey ? [tls.clientKey.path] : [],
    );
  } catch {
    // There is none, or it is none: then nobody is configured by it.
    return [];
  }
}

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
