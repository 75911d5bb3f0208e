import { createHash, timingSafeEqual } from 'node:crypto';
import compression from 'compression';
import express, { Router, type Express } from 'express';
import helmet from 'helmet';
import { absolutePath as swaggerPath } from 'swagger-ui-dist';
import { notFound, SignalboxError } from '../domain/errors';
import { personByToken } from '../db/tokens';
import { changeRequestRoutes } from './change-requests';
import type { ApiDeps } from './deps';
import { deploymentRoutes } from './deployments';
import { eventStream } from './events';
import { openApiDocument } from './openapi';
import { problemHandler } from './problem';
import { promotionRoutes } from './promotions';
import { register, type Route } from './route';
import { targetRoutes } from './targets';

export const apiRoutes = (deps: ApiDeps): Route[] => [
  ...targetRoutes(deps),
  ...promotionRoutes(deps),
  ...deploymentRoutes(deps),
  ...changeRequestRoutes(deps),
];

/** The API, its documentation and the Operations page on one port. */
export function createApp(deps: ApiDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use(
    helmet({
      contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } },
      strictTransportSecurity: false,
    }),
  );
  app.use(compression());

  app.get('/health/live', (_request, response) => void response.json({ status: 'live' }));
  app.get('/health/ready', async (_request, response) => {
    const parts = {
      database: await answers(deps.db.raw('SELECT 1')),
      temporal: await answers(deps.temporal.workflowService.getSystemInfo({})),
    };
    response.status(Object.values(parts).every((part) => part === 'ready') ? 200 : 503).json(parts);
  });

  const routes = apiRoutes(deps);
  const document = openApiDocument(routes);
  app.get('/api/openapi.json', (_request, response) => void response.json(document));
  app.get('/api/docs/swagger-initializer.js', (_request, response) => {
    response
      .type('js')
      .send(
        "window.ui = SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#swagger-ui', deepLinking: true });",
      );
  });
  app.use('/api/docs', express.static(swaggerPath()));

  app.post('/api/sign-in', express.json({ limit: '1kb' }), (request, response) => {
    const { code } = (request.body ?? {}) as { code?: unknown };
    if (!deps.signIn || typeof code !== 'string' || !equal(code, deps.signIn.code))
      throw new SignalboxError(
        'not-signed-in',
        'This sign-in link is not valid; use the one that "signalbox up" printed last.',
      );
    response.json({ tokens: deps.signIn.tokens });
  });

  const api = Router({ caseSensitive: true });
  api.use(async (request, response, next) => {
    const token = /^Bearer ([\x21-\x7e]{1,500})$/.exec(request.get('authorization') ?? '')?.[1];
    const person = token && (await personByToken(deps.db, token));
    if (!person)
      throw new SignalboxError(
        'not-signed-in',
        token
          ? 'This token is not known; tokens of the embedded mode are in endpoints.json.'
          : 'Send a token: "Authorization: Bearer ...". Tokens of the embedded mode are in endpoints.json.',
      );
    response.locals.person = person;
    next();
  });
  api.get('/events', eventStream(deps.changes));
  api.use(express.json({ limit: '256kb', strict: true, type: () => true }));
  for (const route of routes) register(api, deps.db, route);
  api.use((request) => {
    throw notFound(`${request.method} ${request.originalUrl.split('?')[0]!.slice(0, 200)}`);
  });
  app.use('/api', api);

  app.use(express.static(deps.webDir, { index: 'index.html' }));
  app.use((request) => {
    throw notFound(`page ${request.path.slice(0, 200)}`);
  });
  app.use(problemHandler(deps.log));
  return app;
}

/** Compares without telling by its duration how much was right. */
const equal = (a: string, b: string) => timingSafeEqual(sha256(a), sha256(b));
const sha256 = (text: string) => createHash('sha256').update(text).digest();

const answers = (part: PromiseLike<unknown>) =>
  Promise.race([
    Promise.resolve(part),
    new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), 2_000).unref()),
  ]).then(
    () => 'ready',
    () => 'away',
  );
