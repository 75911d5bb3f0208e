import { json, Router } from 'express';
import { SignalboxError } from '../domain/errors';
import { emptyBody, sessionView } from '../domain/schemas';
import { recordAudit } from '../db/audit';
import { endSession, startSession } from '../db/sessions';
import type { ApiDeps } from './deps';
import { limitOf } from './limits';
import { oidcRoutes } from './oidc';
import { route, type Route } from './route';

/** How people sign in. Before one is signed in: which ways there are, and the way itself. */
const localHours = 24 * 30;

export function signInRoutes(deps: ApiDeps): Router {
  const { db, signIn } = deps;
  const failures = limitOf('failures');
  const router = Router();
  router.get('/api/sign-in', (_request, response) => void response.json({ way: signIn?.kind ?? 'token' }));
  if (signIn?.kind === 'oidc') router.use(oidcRoutes(deps, signIn));
  if (signIn?.kind === 'local')
    router.post('/api/sign-in', json({ limit: '1kb', inflate: false }), async (request, response) => {
      const { code } = (request.body ?? {}) as { code?: unknown };
      const id = response.locals.request as string;
      if (typeof code !== 'string' || !signIn.redeem(code)) {
        response.locals.who = request.ip;
        await failures(request, response);
        const why = 'A sign-in link that is not the present one, or was used already.';
        await recordAudit(db, {
          actor: 'unknown',
          action: 'sign-in.refused',
          subject: 'page',
          why,
          request: id,
        });
        throw new SignalboxError(
          'not-signed-in',
          'This sign-in link is not valid or was used already. Every link is good once; "npx signalbox sign-in" prints the next one.',
        );
      }
      const person = signIn.people[0]!;
      const move = { by: person, why: 'by the link of the embedded mode', request: id };
      const session = await startSession(db, { person, kind: 'local', hours: localHours }, move);
      response.json({ session });
    });
  return router;
}

/** What one can do with one's own session. */
export const sessionRoutes = ({ db }: ApiDeps): Route[] => [
  route({
    method: 'delete',
    path: '/session',
    summary: 'Sign out: ends this session',
    permission: 'read',
    body: emptyBody,
    answers: { status: 200, schema: sessionView },
    async handle({ session, person, request }) {
      if (!session)
        throw new SignalboxError('not-switchable', 'This is a token, not a session; a token is revoked.');
      await endSession(db, session.id, { by: person, why: 'signed out', request });
      return { body: { person } };
    },
  }),
];
