import type { RequestHandler } from 'express';
import { createSession } from 'better-sse';
import { may } from '../domain/permissions';
import { whoAsks } from './auth';
import type { ApiDeps } from './deps';
import { streamClients } from './metrics';

/**
 * GET /api/events: what changes, as server-sent events. `change` carries entity, key and version; `reset` says
 * that something may have been missed (at the start, and when the database's announcements were interrupted) and
 * everything is to be read again. A client that does not read is let go, so that it can not fill the memory; it
 * comes back and gets a `reset`. One whose credential is no longer good is let go for good: as soon as the database
 * announces that somebody's access has changed, each second while announcements do not arrive, and when it runs out.
 */
const keepAliveMs = 15_000;
const retryMs = 1_000;
const maxUnread = 1_048_576;
const unheardMs = 1_000;
const runOutMs = 15_000;

export function eventStream(deps: ApiDeps): RequestHandler {
  const { changes } = deps;
  return async (request, response) => {
    const session = await createSession(request, response, {
      keepAlive: keepAliveMs,
      retry: retryMs,
      // Not to be compressed: the compressor would hold events back.
      headers: { 'Cache-Control': 'no-store, no-transform' },
    });
    const end = () => response.end();
    let askedAt = performance.now();
    const recheck = () => {
      askedAt = performance.now();
      // A database that is away says nothing about the credential.
      void whoAsks(deps, request).then(
        (person) => {
          if (!person || !may(person.grants, 'read')) end();
        },
        () => undefined,
      );
    };
    const stop = changes.listen((change) => {
      if (change === undefined || change.entity === 'access') recheck();
      if (!session.isConnected || change?.entity === 'access') return;
      if (response.writableLength > maxUnread) response.destroy();
      else if (change) session.push(change, 'change');
      else session.push({}, 'reset');
    });
    changes.closing.addEventListener('abort', end);
    const timer = setInterval(() => {
      if (!changes.following() || performance.now() - askedAt >= runOutMs) recheck();
    }, unheardMs);
    streamClients.inc();
    session.once('disconnected', () => {
      streamClients.dec();
      clearInterval(timer);
      stop();
      changes.closing.removeEventListener('abort', end);
    });
    session.push({}, 'reset');
  };
}
