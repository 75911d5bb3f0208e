import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A real git server (`git daemon`) behind a gate: while it is shut, connections are taken and nothing is said. */
export interface SlowRemote {
  url: string;
  shut(): void;
  open(): void;
  stop(): Promise<void>;
}

/** @param repository folder of the repository that it serves. */
export async function slowRemote(repository: string): Promise<SlowRemote> {
  const port = await freePort();
  const args = [
    '--reuseaddr',
    '--export-all',
    '--listen=127.0.0.1',
    `--port=${port}`,
    `--base-path=${dirname(repository)}`,
  ];
  const daemon = spawn('git', ['-c', 'safe.directory=*', 'daemon', ...args, dirname(repository)], {
    stdio: 'ignore',
    detached: true,
    env: {
      ...process.env,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
  });
  await untilListening(port);
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  let isShut = false;
  const gate = createServer((client) => {
    sockets.add(client);
    client.on('error', () => undefined);
    const pass = () => {
      const behind = connect(port, '127.0.0.1').on('error', () => client.destroy());
      sockets.add(behind);
      client.pipe(behind).pipe(client);
      client.on('close', () => behind.destroy());
    };
    if (isShut) waiting.add(pass);
    else pass();
  });
  gate.listen(0, '127.0.0.1');
  await once(gate, 'listening');
  return {
    url: `git://127.0.0.1:${(gate.address() as AddressInfo).port}/${basename(repository)}`,
    shut: () => void (isShut = true),
    open() {
      isShut = false;
      for (const pass of waiting) pass();
      waiting.clear();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      gate.close();
      // git daemon is a child of git.
      process.kill(-daemon.pid!, 'SIGTERM');
      await once(daemon, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function untilListening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const up = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
    ]);
    socket.destroy();
    if (up) return;
    await sleep(50);
  }
}
