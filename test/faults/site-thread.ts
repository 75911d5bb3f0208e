import { existsSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { Behaviour, SiteData } from './site';
import { unhealthy } from './unhealthy';

/**
 * The site of a target. `/version` names the release that is current; `/health` answers 500 for a release that carries
 * a file `sick`. How releases but one behave otherwise is told by message.
 */
const { root, asked } = workerData as SiteData;
let behaviour: Behaviour | undefined;

const server = createServer((request, answer) => {
  let link: string;
  const { pathname, search } = new URL(request.url!, 'http://site');
  // Other targets are asked for by their folder.
  const place = decodeURIComponent(search.slice(1)) || root;
  try {
    link = readlinkSync(join(place, 'current'));
  } catch {
    answer.writeHead(503).end('no release');
    return;
  }
  const release = basename(link);
  if (pathname === '/version') return void answer.end(release);
  answer.setHeader('connection', 'close');
  if (behaviour && release === behaviour.before) return void answer.end(release);
  if (behaviour) return void unhealthy[behaviour.how](answer, Atomics.add(asked, 0, 1) + 1, behaviour.before);
  const sick = existsSync(join(place, link, 'sick'));
  answer.writeHead(sick ? 500 : 200).end(JSON.stringify({ release, sick }));
});
// The harness asks too, and may be busy for long: its connections stay.
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => parentPort!.postMessage((server.address() as AddressInfo).port));
parentPort!.on('message', (told: Behaviour | undefined) => {
  behaviour = told;
  parentPort!.postMessage('heard');
});
