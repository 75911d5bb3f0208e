import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Unhealthy } from './unhealthy';

/** What a target serves, in a thread of its own: it answers while the harness is busy. And who watches it. */
export interface Site {
  port: number;
  /** Releases but the one from before answer health checks so; undefined: as they are. */
  behave(behaviour: Behaviour | undefined): Promise<void>;
  /** How often one that behaves so was asked. */
  asked(): number;
  close(): Promise<void>;
}
export interface Behaviour {
  how: Unhealthy;
  before: string;
}
export interface SiteData {
  root: string;
  /** One number, shared. */
  asked: Int32Array;
}

export async function serveSite(root: string): Promise<Site> {
  const asked = new Int32Array(new SharedArrayBuffer(4));
  const data: SiteData = { root, asked };
  const thread = new Worker(join(__dirname, 'site-thread.js'), { workerData: data });
  const [port] = (await once(thread, 'message')) as [number];
  return {
    port,
    async behave(behaviour) {
      thread.postMessage(behaviour);
      await once(thread, 'message');
    },
    asked: () => Atomics.load(asked, 0),
    async close() {
      await thread.terminate();
    },
  };
}

export interface Seen {
  samples: number;
  failures: string[];
  seen: Set<string>;
  /** Each look that ended at this time: the versions that it saw, or none when it failed. */
  looks: { at: number; saw: string[]; failure?: string }[];
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
  const none = (): Seen => ({ samples: 0, failures: [], seen: new Set(), looks: [] });
  let now = none();
  let stopped = false;
  const look = async () => {
    const mine = now;
    const saw: string[] = [];
    const fail = (failure: string) => {
      mine.failures.push(failure);
      mine.looks.push({ at: Date.now(), saw, failure });
    };
    try {
      saw.push(basename(readlinkSync(join(root, 'current'))));
      const answer = await fetch(`http://127.0.0.1:${port}/version`);
      const text = await answer.text();
      if (answer.status !== 200) fail(`status ${answer.status}: ${text}`);
      else mine.looks.push({ at: Date.now(), saw: [...saw, text] });
      if (answer.status === 200) saw.push(text);
    } catch (thrown) {
      const { cause } = thrown as { cause?: unknown };
      fail(`${String(thrown)}${cause ? ` (${String(cause)})` : ''}`);
    }
    for (const version of saw) mine.seen.add(version);
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
      now = none();
      return taken;
    },
    async stop() {
      stopped = true;
      await done;
    },
  };
}
