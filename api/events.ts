import type { RequestHandler } from 'express';
import { createSession } from 'better-sse';
import { whoAsks } from './auth';
import type { ApiDeps } from './deps';
import { streamClients } from './metrics';

/**
 * GET /api/events: what changes, as server-sent events. `change` carries entity, key and version; `reset` says
 * that something may have been missed (at the start, and when the database's announcements were interrupted) and
 * everything is to be read again. A client that does not read is let go, so that it can not fill the memory; it
 * comes back and gets a `reset`. One whose credential is no longer good is let go for good.
 */
const keepAliveMs = 15_000;
const retryMs = 1_000;
const maxUnread = 1_048_576;

export function eventStream(deps: ApiDeps): RequestHandler {
  const { changes, recheckMs = 15_000 } = deps;
  return async (request, response) => {
    const session = await createSession(request, response, {
      keepAlive: keepAliveMs,
      retry: retryMs,
      // Not to be compressed: the compressor would hold events back.
      headers: { 'Cache-Control': 'no-store, no-transform' },
    });
    const stop = changes.listen((change) => {
      if (!session.isConnected || change?.entity === 'access') return;
      if (response.writableLength > maxUnread) response.destroy();
      else if (change) session.push(change, 'change');
      else session.push({}, 'reset');
    });
    const end = () => response.end();
    changes.closing.addEventListener('abort', end);
    const recheck = setInterval(() => {
      // A database that is away says nothing about the credential.
      void whoAsks(deps, request).then(
        (person) => person ?? end(),
        () => undefined,
      );
    }, recheckMs);
    streamClients.inc();
    session.once('disconnected', () => {
      streamClients.dec();
      clearInterval(recheck);
      stop();
      changes.closing.removeEventListener('abort', end);
    });
    session.push({}, 'reset');
  };
}
