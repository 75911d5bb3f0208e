import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * A TCP proxy whose connections can go dark: packets vanish, nothing is closed, as behind a firewall that forgot them
 * or before a database whose host is gone. That is what half-open means; a closed connection would be noticed at once.
 */
export interface DarkProxy {
  url: string;
  /** From now on nothing passes over the connections that are open; @param others nor over new ones. */
  goDark(others: 'all' | 'present'): void;
  /** What is opened from now on passes; what was dark stays dark. */
  lighten(): void;
  /** How many connections were opened through it. */
  opened(): number;
  close(): Promise<void>;
}

/** @param url of the server behind it. */
export async function darkProxy(url: string): Promise<DarkProxy> {
  const server = new URL(url);
  const sockets = new Set<Socket>();
  let generation = 0;
  let dark = 0;
  let allDark = false;
  let opened = 0;
  const proxy = createServer((client) => {
    opened += 1;
    const mine = ++generation;
    const passes = () => !allDark && mine > dark;
    const behind = connect(Number(server.port), server.hostname);
    for (const [from, to] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (bytes) => void (passes() && to.write(bytes)));
      from.on('close', () => {
        sockets.delete(from);
        if (passes()) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  return {
    url: Object.assign(new URL(url), { port: String(port), hostname: '127.0.0.1' }).href,
    goDark(others) {
      dark = generation;
      allDark = others === 'all';
    },
    lighten() {
      dark = generation;
      allDark = false;
    },
    opened: () => opened,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
