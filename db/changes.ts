import { setMaxListeners } from 'node:events';
import pg from 'pg';

/**
 * Follows what the database announces (LISTEN/NOTIFY) over one connection of its own. A lost connection is
 * made again; what was missed meanwhile is not replayed, so every waiter also re-reads once a second.
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

export function followChanges(databaseUrl: string): Changes {
  const waiters = new Set<() => void>();
  const listeners = new Set<(change: Change | undefined) => void>();
  const tell = (change: Change | undefined) => {
    waiters.forEach((wake) => wake());
    listeners.forEach((listener) => listener(change));
  };
  let client: pg.Client | undefined;
  const closing = new AbortController();
  // One listener for each open event stream.
  setMaxListeners(0, closing.signal);
  let closed = false;
  let retry: NodeJS.Timeout | undefined;

  const listen = async (): Promise<void> => {
    const next = new pg.Client({ connectionString: databaseUrl, application_name: 'signalbox-changes' });
    let gone = false;
    const again = () => {
      if (gone) return;
      gone = true;
      if (client === next) client = undefined;
      next.end().catch(() => undefined);
      if (!closed) retry = setTimeout(() => void listen(), 500);
    };
    next.on('error', again);
    next.on('end', again);
    next.on('notification', ({ payload }) => {
      const [entity, key, version] = (payload ?? '').split(' ');
      tell({ entity: entity!, key: key!, version: Number(version) });
    });
    try {
      await next.connect();
      await next.query('LISTEN signalbox');
      if (closed) return again();
      client = next;
      tell(undefined);
    } catch {
      again();
    }
  };
  const first = listen();

  return {
    async until(read, timeoutMs) {
      const deadline = Date.now() + timeoutMs;
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
          const left = deadline - Date.now();
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
      await client?.end().catch(() => undefined);
    },
  };
}
