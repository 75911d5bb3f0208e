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
  close(): Promise<void>;
}

export function followChanges(databaseUrl: string): Changes {
  const waiters = new Set<() => void>();
  const wakeAll = () => waiters.forEach((wake) => wake());
  let client: pg.Client | undefined;
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
    next.on('notification', wakeAll);
    try {
      await next.connect();
      await next.query('LISTEN signalbox');
      if (closed) return again();
      client = next;
      wakeAll();
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
    async close() {
      closed = true;
      clearTimeout(retry);
      await first;
      await client?.end().catch(() => undefined);
    },
  };
}
