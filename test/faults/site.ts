import { existsSync, readlinkSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What a target serves, and who watches it. `/version` names the release that is current; `/health` answers 500 for
 * a release that carries a file `sick`, and whatever `behave` says instead.
 */
export interface Site {
  port: number;
  /** Answers health checks in another way; undefined: as it is. */
  behave: undefined | ((answer: ServerResponse, release: string) => void);
  close(): void;
}

export async function serveSite(root: string): Promise<Site> {
  const server: Server = createServer((request, answer) => {
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
    if (site.behave) return site.behave(answer, release);
    const sick = existsSync(join(place, link, 'sick'));
    answer.writeHead(sick ? 500 : 200).end(JSON.stringify({ release, sick }));
  });
  // Those who ask live in this process too: after it stood still, their connections must not be the first thing to go.
  server.keepAliveTimeout = 0;
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const site: Site = {
    port: (server.address() as { port: number }).port,
    behave: undefined,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return site;
}

export interface Seen {
  samples: number;
  failures: string[];
  seen: Set<string>;
}
/** Looks at the link and asks the site for its version, every 10 ms. */
export interface Prober {
  /** What was seen since the last call. */
  take(): Seen;
  /** What was seen so far. */
  so(): Readonly<Seen>;
  stop(): Promise<void>;
}

const everyMs = 10;

export function startProber(root: string, port: number): Prober {
  let now: Seen = { samples: 0, failures: [], seen: new Set() };
  let stopped = false;
  const look = async () => {
    const mine = now;
    try {
      mine.seen.add(basename(readlinkSync(join(root, 'current'))));
      const answer = await fetch(`http://127.0.0.1:${port}/version`);
      const text = await answer.text();
      if (answer.status === 200) mine.seen.add(text);
      else mine.failures.push(`status ${answer.status}: ${text}`);
    } catch (thrown) {
      const { cause } = thrown as { cause?: unknown };
      mine.failures.push(`${String(thrown)}${cause ? ` (${String(cause)})` : ''}`);
    }
    mine.samples += 1;
  };
  const done = (async () => {
    while (!stopped) {
      await look();
      await sleep(everyMs);
    }
  })();
  return {
    so: () => now,
    take() {
      const taken = now;
      now = { samples: 0, failures: [], seen: new Set() };
      return taken;
    },
    async stop() {
      stopped = true;
      await done;
    },
  };
}
