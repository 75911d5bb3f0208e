import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import pg from 'pg';
import { cut, socketLimits } from './half-open';

/**
 * Follows what the database announces (LISTEN/NOTIFY) over one connection of its own. It proves itself by a round
 * trip: it announces something to itself and hears it. One that is lost, or on which that no longer comes, is
 * replaced; what was missed meanwhile is not replayed, so listeners read everything again, and every waiter also
 * re-reads once a second.
 */
export interface Changes {
  /**
   * Reads until `read` answers something, waking at each announcement and at least every second.
   * @returns what was read, or undefined after `timeoutMs`.
   */
  until<T>(read: () => Promise<T | undefined>, timeoutMs: number): Promise<T | undefined>;
  /**
   * Hears of every change; undefined stands for "something may have been missed, read everything again".
   * @returns what ends it.
   */
  listen(listener: (change: Change | undefined) => void): () => void;
  /** Whether announcements arrive now. */
  following(): boolean;
  /** Aborts when following ends. */
  closing: AbortSignal;
  close(): Promise<void>;
}

/** That something changed: which entity, its key, its version (of a log: the number of its last line). */
export interface Change {
  entity: string;
  key: string;
  version: number;
}

/** How often it proves itself, how long that may take, and how long a new connection may take. */
const pulseMs = 2_000;
const answerMs = 3_000;
const connectMs = 4_000;

export function followChanges(databaseUrl: string): Changes {
  const waiters = new Set<() => void>();
  const listeners = new Set<(change: Change | undefined) => void>();
  const tell = (change: Change | undefined) => {
    waiters.forEach((wake) => wake());
    listeners.forEach((listener) => listener(change));
  };
  let client: pg.Client | undefined;
  let current = () => undefined as void;
  const closing = new AbortController();
  // One listener for each open event stream.
  setMaxListeners(0, closing.signal);
  let closed = false;
  let retry: NodeJS.Timeout | undefined;

  const listen = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: databaseUrl,
      application_name: 'signalbox-changes',
      connectionTimeoutMillis: connectMs,
      ...socketLimits,
    });
    const itself = `signalbox_${randomBytes(8).toString('hex')}`;
    let pulse: NodeJS.Timeout | undefined;
    let gone = false;
    const again = () => {
      if (gone) return;
      gone = true;
      clearInterval(pulse);
      if (client === next) client = undefined;
      // Its other end may not be there to say goodbye to.
      cut(next);
      if (!closed) retry = setTimeout(() => void listen(), 500);
    };
    let heardAt = performance.now();
    let askedAt = heardAt;
    const prove = () => {
      const now = performance.now();
      // This process stood still: what waits in its socket has not been read yet.
      if (now - askedAt > 2 * pulseMs) heardAt = now;
      if (now - heardAt > pulseMs + answerMs) return again();
      askedAt = now;
      next.query('SELECT pg_notify($1, $2)', [itself, '']).catch(again);
    };
    next.on('error', again);
    next.on('end', again);
    next.on('notification', ({ channel, payload }) => {
      heardAt = performance.now();
      if (channel === itself) return;
      const [entity, key, version] = (payload ?? '').split(' ');
      tell({ entity: entity!, key: key!, version: Number(version) });
    });
    try {
      await next.connect();
      heardAt = askedAt = performance.now();
      pulse = setInterval(prove, pulseMs);
      await next.query(`LISTEN signalbox; LISTEN ${itself}`);
      if (closed) return again();
      client = next;
      current = again;
      tell(undefined);
    } catch {
      again();
    }
  };
  const first = listen();

  return {
    async until(read, timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        // Registered before reading, so that an announcement during the read is not lost.
        let announced = false;
        let wake = () => {
          announced = true;
        };
        const waiter = () => wake();
        waiters.add(waiter);
        try {
          const found = await read();
          if (found !== undefined) return found;
          const left = deadline - performance.now();
          if (left <= 0) return undefined;
          if (!announced)
            await new Promise<void>((resolve) => {
              const timer = setTimeout(resolve, Math.min(left, 1000));
              wake = () => {
                clearTimeout(timer);
                resolve();
              };
            });
        } finally {
          waiters.delete(waiter);
        }
      }
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    following: () => client !== undefined,
    closing: closing.signal,
    async close() {
      closed = true;
      closing.abort();
      clearTimeout(retry);
      await first;
      current();
    },
  };
}
