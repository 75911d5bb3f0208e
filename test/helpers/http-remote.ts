import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A real git server behind HTTP (`git http-backend`). */
export interface HttpRemote {
  url: string;
  /** What was asked of it: paths, and who asked where somebody said so. */
  asked: { path: string; login: string | undefined }[];
  stop(): Promise<void>;
}

/**
 * @param folder whose repositories it serves.
 * @param rules where it leads to elsewhere instead, and whom alone it lets in (`name:password`), by the path asked for.
 */
export async function httpRemote(
  folder: string,
  rules: { leads?(path: string): string | undefined; lets?(path: string): string | undefined } = {},
): Promise<HttpRemote> {
  const asked: HttpRemote['asked'] = [];
  const server = createServer((request, response) => {
    const { pathname: path } = new URL(request.url!, 'http://remote');
    const [, basic] = /^Basic (.*)$/.exec(request.headers.authorization ?? '') ?? [];
    const login = basic && Buffer.from(basic, 'base64').toString();
    asked.push({ path, login });
    const to = rules.leads?.(path);
    const whom = rules.lets?.(path);
    if (to) response.writeHead(301, { location: to }).end();
    else if (whom !== undefined && login !== whom)
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    else serve(folder, request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function serve(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url!, 'http://remote');
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
  });
  request.pipe(backend.stdin);
  backend.stdin.on('error', () => undefined);
  const said: Buffer[] = [];
  backend.stdout.on('data', (part: Buffer) => said.push(part));
  backend.on('close', () => {
    const all = Buffer.concat(said);
    const end = all.indexOf('\r\n\r\n');
    const head = all.subarray(0, end).toString().split('\r\n');
    const headers = Object.fromEntries(head.map((row) => row.split(/: (.*)/, 2) as [string, string]));
    response.writeHead(Number.parseInt(headers.Status ?? '200', 10), headers).end(all.subarray(end + 4));
  });
}
