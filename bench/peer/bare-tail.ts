import { spawn } from 'node:child_process';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The bare peer of who follows a log: `tail -f` of a file, over HTTP. @returns lines per second. */
export async function tailAll(file: string, count: number): Promise<number> {
  const server = createServer((_request, answer) => {
    const tail = spawn('tail', ['-n', '+1', '-f', file], { stdio: ['ignore', 'pipe', 'inherit'] });
    tail.stdout.pipe(answer);
    answer.once('close', () => tail.kill());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const started = performance.now();
  await new Promise<void>((done, failed) => {
    let seen = 0;
    const request = get({ port, agent: false }, (answer) => {
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        seen += chunk.split('\n').length - 1;
        if (seen < count) return;
        done();
        request.destroy();
      });
    });
    request.on('error', failed);
  });
  const perSecond = (count * 1000) / (performance.now() - started);
  await new Promise((done) => server.close(done));
  return perSecond;
}
