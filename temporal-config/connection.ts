import { Client } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';

export interface TemporalPlace {
  /** host:port of the frontend; undefined: from the environment (TEMPORAL_ADDRESS, TLS, API key, profile). */
  address?: string;
  namespace?: string;
}
export interface Temporal {
  connection: NativeConnection;
  client: Client;
  namespace: string;
  address: string;
}

/**
 * Connects to Temporal. Worker and API of one process share the connection, which lets a workflow begin on the
 * worker beside the API that started it.
 * @throws when it is not reached, naming the address and what to set.
 */
export async function connectTemporal(place: TemporalPlace = {}): Promise<Temporal> {
  const configured = place.address
    ? { connectionOptions: { address: place.address }, namespace: place.namespace }
    : loadClientConnectConfig();
  const namespace = place.namespace ?? configured.namespace ?? 'default';
  const address = configured.connectionOptions.address ?? 'localhost:7233';
  let connection: NativeConnection;
  try {
    connection = await NativeConnection.connect(configured.connectionOptions);
  } catch (thrown) {
    throw new Error(`No Temporal server answers at ${address}; start one or correct TEMPORAL_ADDRESS.`, {
      cause: thrown,
    });
  }
  return { connection, client: new Client({ connection, namespace }), namespace, address };
}
