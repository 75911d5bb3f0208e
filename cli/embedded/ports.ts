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
const freePort = () => listen(0);

const listen = (port: number) =>
  new Promise<number>((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address!.port : port));
    });
  });
