import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'selfsigned';
import { cacheDir, cached, onPath, run } from '../cli/embedded/fetch-part';
import type { Ports } from '../cli/embedded/ports';
import type { Processes } from '../cli/embedded/processes';
import { connectTemporal, type Temporal } from '../temporal-config/connection';

/**
 * A production Temporal server, built from its released source and run with the files of temporal-config/server on a
 * real PostgreSQL, behind mutual TLS. What the benchmarks and the proof measure and prove on.
 */
export const serverVersion = '1.32.0';
const files = resolve('temporal-config', 'server');
const parts = {
  'temporal-server': 'go.temporal.io/server/cmd/server',
  'temporal-sql-tool': 'go.temporal.io/server/cmd/tools/sql',
};

export interface Production {
  /** How a client reaches it: the environment that the SDK reads. */
  env: Record<string, string>;
  connect(namespace: string): Promise<Temporal>;
}

/** Where it lies once it is built. */
export const builtServer = () => join(cacheDir(), `temporal-server-${serverVersion}`);

/** Builds the server and its schema tool once. @returns the folder where they lie. @throws without Go. */
export function buildServer(): Promise<string> {
  return cached(builtServer(), async (temporary) => {
    const go = onPath('go');
    if (!go)
      throw new Error(
        'The production server is built from source: install Go (go.dev/dl) and put it on PATH.',
      );
    console.log(
      `Building Temporal's server ${serverVersion} and its schema tool (about 20 minutes, once) ...`,
    );
    for (const [name, module] of Object.entries(parts)) {
      const env = { ...process.env, GOBIN: join(temporary, 'bin') };
      await run(go, ['install', `${module}@v${serverVersion}`], { env, maxBuffer: 100_000_000 });
      // Named after its folder by Go.
      await copyFile(join(temporary, 'bin', module.split('/').at(-1)!), join(temporary, name));
      await chmod(join(temporary, name), 0o755);
    }
  });
}

/** @param databaseOwnerUrl of a login that may make databases. */
export async function startProduction(options: {
  folder: string;
  ports: Ports;
  processes: Processes;
  databaseOwnerUrl: string;
}): Promise<Production> {
  const { folder, ports, processes } = options;
  const built = await buildServer();
  const database = new URL(options.databaseOwnerUrl);
  const env = {
    POSTGRES_HOST: database.hostname,
    POSTGRES_PORT: database.port,
    POSTGRES_USER: database.username,
    POSTGRES_PWD: decodeURIComponent(database.password),
  };
  // Twice: the second time, as at every upgrade, it finds everything there.
  for (let times = 0; times < 2; times++)
    await run('sh', [join(files, 'schema.sh')], {
      env: { ...env, PATH: `${built}:${process.env.PATH}` },
    });

  const certificates = await makeCertificates(join(folder, 'tls'));
  const names = ['FRONTEND', 'HISTORY', 'MATCHING', 'WORKER'];
  const chosen: Record<string, string> = {};
  for (const name of [...names, ...names.map((one) => `${one}_MEMBERSHIP`), 'METRICS'])
    chosen[`${name}_PORT`] = String(await ports.take(`temporal-${name.toLowerCase()}`));
  const client = {
    TEMPORAL_ADDRESS: `127.0.0.1:${chosen.FRONTEND_PORT}`,
    TEMPORAL_TLS_CLIENT_CERT_PATH: certificates.client.cert,
    TEMPORAL_TLS_CLIENT_KEY_PATH: certificates.client.key,
    TEMPORAL_TLS_SERVER_CA_CERT_PATH: certificates.ca,
    TEMPORAL_TLS_SERVER_NAME: certificates.name,
  };
  const connect = (namespace: string) => connectTemporal({ namespace, env: client });
  const server = {
    name: 'temporal',
    program: join(built, 'temporal-server'),
    args: ['start'],
    cwd: folder,
    env: {
      ...env,
      ...chosen,
      PATH: process.env.PATH,
      TEMPORAL_SERVER_CONFIG_FILE_PATH: join(files, 'server.yaml'),
      TEMPORAL_ALLOW_NO_AUTH: 'true',
      DYNAMIC_CONFIG: join(files, 'dynamic.yaml'),
      LOG_LEVEL: 'warn',
      // One host; the number for a cluster is in the file.
      NUM_HISTORY_SHARDS: '4',
      TLS_CERT: certificates.server.cert,
      TLS_KEY: certificates.server.key,
      TLS_CLIENT_CA: certificates.ca,
      TLS_SERVER_NAME: certificates.name,
    },
    stopSignal: 'SIGTERM' as const,
  };
  await processes.start(server, async () => {
    for (const deadline = Date.now() + 60_000; ; await sleep(100))
      try {
        const temporal = await connect('temporal-system');
        await temporal.connection.workflowService.describeNamespace({ namespace: temporal.namespace });
        return await temporal.connection.close();
      } catch (thrown) {
        if (Date.now() > deadline) throw thrown;
      }
  });
  return { env: client, connect };
}

interface Pair {
  cert: string;
  key: string;
}
/** An authority of its own, and what it signed for the server and for clients. @returns the files. */
async function makeCertificates(
  folder: string,
): Promise<{ ca: string; name: string; server: Pair; client: Pair }> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const name = 'temporal.signalbox';
  const ca = await generate([{ name: 'commonName', value: 'signalbox authority' }], {
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  await writeFile(join(folder, 'ca.crt'), ca.cert);
  const signed = async (who: string): Promise<Pair> => {
    const made = await generate([{ name: 'commonName', value: who }], {
      algorithm: 'sha256',
      ca: { key: ca.private, cert: ca.cert },
      extensions: [
        { name: 'keyUsage', digitalSignature: true, keyEncipherment: true },
        // The server is a client of its own frontend.
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: [{ type: 2, value: who }] },
      ],
    });
    const pair = { cert: join(folder, `${who}.crt`), key: join(folder, `${who}.key`) };
    await writeFile(pair.cert, made.cert);
    await writeFile(pair.key, made.private, { mode: 0o600 });
    return pair;
  };
  return {
    ca: join(folder, 'ca.crt'),
    name,
    server: await signed(name),
    client: await signed('client.signalbox'),
  };
}
