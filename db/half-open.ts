import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/**
 * A connection whose other end is gone without a word (a firewall that forgot it, a host that died) looks like one that
 * waits for a slow answer. Here the two are told apart: when nothing has arrived for a while on a connection that owes
 * an answer, the server is asked over another one whether it still works on it. If it does not, or does not answer, the
 * connection is closed, and what waited for it fails at once. A statement that takes long is never touched.
 */
export interface HalfOpen {
  /** Watches a connection until it ends. */
  watch(connection: pg.Client): void;
  /** Whether an idle connection can be used; asks it when it was idle for long. */
  usable(connection: pg.Client): boolean | Promise<boolean>;
}

const tickMs = 500;
const silentMs = 1_500;
const lookMs = 3_000;
/** The answer may be on its way while the server says that it has none to give. */
const onItsWayMs = 300;
const trustMs = 5_000;

/** As a database's connections are opened everywhere: the network says within a minute that the other end is gone. */
export const socketLimits = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 };

type Inner = pg.Client & { connection: NodeJS.EventEmitter & { stream: Socket }; processID: number };
interface State {
  /** Bytes written when the server last said that it is ready for a query. */
  settled: number;
  read: number;
  movedAt: number;
  /** Since when it owes an answer and nothing arrives. */
  silentSince?: number;
  asking: boolean;
  /** One that was opened like it turned out dead. */
  suspect: boolean;
}

/** Closes a connection without waiting for its other end. */
export const cut = (connection: pg.Client, why?: Error): void => {
  (connection as Inner).connection.stream.destroy(why);
};

export function createHalfOpen(databaseUrl: string): HalfOpen {
  const states = new Map<Inner, State>();
  let timer: NodeJS.Timeout | undefined;
  let tickedAt = 0;

  const owes = (connection: Inner, state: State) => connection.connection.stream.bytesWritten > state.settled;

  const tick = () => {
    const now = performance.now();
    // This process stood still: what waits in its sockets has not been read yet.
    const stoodStill = now - tickedAt > 3 * tickMs;
    tickedAt = now;
    for (const [connection, state] of states) {
      const { bytesRead } = connection.connection.stream;
      if (bytesRead !== state.read) Object.assign(state, { read: bytesRead, movedAt: now, suspect: false });
      else if (owes(connection, state) && !stoodStill) {
        state.silentSince ??= now;
        if (now - state.silentSince >= silentMs && !state.asking) void ask(connection, state);
        continue;
      }
      state.silentSince = undefined;
    }
  };

  const ask = async (connection: Inner, state: State) => {
    state.asking = true;
    const standing = await standingOf(databaseUrl, connection.processID);
    if (standing === 'gone') await sleep(onItsWayMs, undefined, { ref: false });
    state.asking = false;
    const silent = connection.connection.stream.bytesRead === state.read && owes(connection, state);
    if (standing === 'gone' && silent && state.silentSince !== undefined) bury(connection);
    state.silentSince = undefined;
  };

  const bury = (connection: Inner) => {
    // Who shared its way is asked no questions; a new connection costs less than a wait.
    for (const [, state] of states) if (performance.now() - state.movedAt > silentMs) state.suspect = true;
    const why = new Error('The connection to PostgreSQL was lost: it passed nothing any more');
    cut(connection, Object.assign(why, { code: 'ETIMEDOUT' }));
  };

  return {
    watch(client) {
      const connection = client as Inner;
      const { stream } = connection.connection;
      const now = performance.now();
      const state: State = {
        settled: stream.bytesWritten,
        read: stream.bytesRead,
        movedAt: now,
        asking: false,
        suspect: false,
      };
      connection.connection.on('readyForQuery', () => {
        state.settled = stream.bytesWritten;
        state.movedAt = performance.now();
      });
      states.set(connection, state);
      if (!timer) {
        tickedAt = now;
        timer = setInterval(tick, tickMs).unref();
      }
      stream.once('close', () => {
        states.delete(connection);
        if (states.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      });
    },
    usable(client) {
      const state = states.get(client as Inner);
      if (!state || state.suspect) return false;
      if (performance.now() - state.movedAt < trustMs) return true;
      return client.query('SELECT 1').then(
        () => true,
        () => false,
      );
    },
  };
}

/** What the server says of a session: that it works, that it waits for us or is gone; or that it cannot be known. */
async function standingOf(databaseUrl: string, pid: number): Promise<'works' | 'gone' | 'unknown'> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'signalbox-look',
    connectionTimeoutMillis: lookMs,
    query_timeout: lookMs,
  }) as Inner;
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ me: number; pid: number | null; state: string | null }>(
      'SELECT pg_backend_pid() AS me, a.pid, a.state FROM (SELECT 1) AS one LEFT JOIN pg_stat_activity AS a ON a.pid = $1',
      [pid],
    );
    const { me, pid: found, state } = rows[0]!;
    // Behind a pooler a session's number is not the server's.
    if (me !== client.processID) return 'unknown';
    if (found === null) return 'gone';
    if (state === null) return 'unknown';
    return /^(active|fastpath)/.test(state) ? 'works' : 'gone';
  } catch (thrown) {
    // It answers, but has no room for us, or does not let us in.
    return /^(53|28)/.test(String((thrown as { code?: string }).code)) ? 'unknown' : 'gone';
  } finally {
    cut(client);
  }
}
