import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** Ports of the embedded parts. Chosen free once, then kept with the state, so that addresses stay the same. */
export interface Ports {
  /** The port this part had before if it is free, otherwise a free one. */
  take(part: string, wanted?: number): Promise<number>;
}

export function rememberedPorts(stateDir: string): Ports {
  const file = join(stateDir, 'ports.json');
  let known: Record<string, number> = {};
  try {
    known = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
  } catch {
    // The first start has none.
  }
  const taken = new Set<number>();
  return {
    async take(part, wanted) {
      let port = wanted ?? known[part] ?? 0;
      if (port === 0 || taken.has(port) || !(await isFree(port))) {
        do port = await freePort();
        while (taken.has(port));
      }
      taken.add(port);
      known[part] = port;
      writeFileSync(file, JSON.stringify(known));
      return port;
    },
  };
}

export const isFree = (port: number): Promise<boolean> => listen(port).then(Boolean, () => false);

/**
 * A port that is free, below those that the system gives to outgoing connections: one of theirs may be in use by any
 * connection of this machine a moment later, before the part that it was chosen for listens.
 */
export async function freePort(): Promise<number> {
  const end = outgoingPorts();
  for (let tries = 0; end > firstPort + 1000 && tries < 100; tries++) {
    const port = randomInt(firstPort, end);
    if (await isFree(port)) return port;
  }
  return listen(0);
}
const firstPort = 20_000;

/** The first port of outgoing connections: Linux says it; elsewhere it is IANA's first dynamic one. */
function outgoingPorts(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    return 49_152;
  }
}

const listen = (port: number) =>
  new Promise<number>((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address!.port : port));
    });
  });
