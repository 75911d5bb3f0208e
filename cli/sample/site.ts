import { createServer } from 'node:http';
import { appendFileSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The sample's site: a shop that serves the release behind `current` and keeps its orders apart from it. The
 * link is read once per request, so that one answer never mixes two releases.
 *
 *   /         the shop        /version  which release answers        /health  whether its catalogue loads
 *   /orders   GET: how many; POST: one more (live data, which a rollback must not lose)
 */
const [root, ordersFile, port] = process.argv.slice(2) as [string, string, string];

interface Release {
  folder: string;
  digest: string;
  version: string;
}
function currentRelease(): Release | undefined {
  let link: string;
  try {
    link = readlinkSync(join(root, 'current'));
  } catch {
    return undefined;
  }
  const folder = join(root, link);
  return {
    folder,
    digest: basename(link),
    version: readFileSync(join(folder, 'version.txt'), 'utf8').trim(),
  };
}
const orders = () => {
  try {
    return readFileSync(ordersFile, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
};

const server = createServer((request, response) => {
  const answer = (status: number, body: unknown) =>
    response
      .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      .end(`${JSON.stringify(body)}\n`);
  try {
    const path = request.url?.split('?')[0];
    if (path === '/orders') {
      if (request.method !== 'POST') return answer(200, { orders: orders().length });
      mkdirSync(dirname(ordersFile), { recursive: true });
      appendFileSync(ordersFile, `${JSON.stringify({ at: new Date().toISOString() })}\n`);
      return answer(201, { orders: orders().length });
    }
    const release = currentRelease();
    if (!release) return answer(503, { error: 'no release is deployed yet' });
    const { digest, version } = release;
    if (path === '/version') return answer(200, { version, release: digest });
    const read = (name: string) => readFileSync(join(release.folder, name), 'utf8');
    if (path === '/health') {
      try {
        const { items } = JSON.parse(read('catalogue.json')) as { items: unknown[] };
        return answer(200, { status: 'ok', version, release: digest, items: items.length });
      } catch (thrown) {
        return answer(500, {
          error: `catalogue.json: ${(thrown as Error).message}`,
          version,
          release: digest,
        });
      }
    }
    if (path !== '/') return answer(404, { error: 'not found' });
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(read('index.html'));
  } catch (thrown) {
    answer(500, { error: String(thrown) });
  }
});
server.listen(Number(port), '127.0.0.1');
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
