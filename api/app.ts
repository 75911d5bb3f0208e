import { randomUUID } from 'node:crypto';
import compression from 'compression';
import express, { Router, type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import { absolutePath as swaggerPath } from 'swagger-ui-dist';
import { notFound, SignalboxError } from '../domain/errors';
import { whyTooMuch } from '../domain/input';
import { accessRoutes } from './access';
import { auditRoutes } from './audit';
import { bulkRoutes } from './backlog/bulk';
import { blockerRoutes } from './backlog/blockers';
import { epicRoutes } from './backlog/epics';
import { itemRoutes } from './backlog/items';
import { wipLimitRoutes } from './backlog/wip-limits';
import { authenticate, readers, ownAddress } from './auth';
import { calendarFeed, calendarRoutes } from './calendar';
import { changeRequestRoutes } from './change-requests';
import { createCredentials } from './credentials';
import { deliveryMetricsRoutes } from './delivery-metrics';
import type { ApiDeps } from './deps';
import { windowRoutes } from './deployment-windows';
import { deploymentRoutes } from './deployments';
import { eventStream } from './events';
import { readiness } from './health';
import { metrics } from './metrics';
import { needsRoutes } from './needs';
import { observe } from './observe';
import { openApiDocument } from './openapi';
import { problemHandler } from './problem';
import { promotionRoutes } from './promotions';
import { register, type Route } from './route';
import { runnerRoutes } from './runners';
import { sessionRoutes, signInRoutes } from './sign-in';
import { targetRoutes } from './targets';
import { webhookRoutes } from './webhooks';

/** @param accessChanged called when a token was revoked or a person disabled. */
export const apiRoutes = (deps: ApiDeps, accessChanged: () => void = () => undefined): Route[] => [
  ...targetRoutes(deps),
  ...epicRoutes(deps),
  ...bulkRoutes(deps),
  ...itemRoutes(deps),
  ...blockerRoutes(deps),
  ...wipLimitRoutes(deps),
  ...promotionRoutes(deps),
  ...deploymentRoutes(deps),
  ...changeRequestRoutes(deps),
  ...windowRoutes(deps),
  ...calendarRoutes(deps),
  ...needsRoutes(deps),
  ...deliveryMetricsRoutes(deps),
  ...webhookRoutes(deps),
  ...accessRoutes(deps, accessChanged),
  ...sessionRoutes(deps),
  ...auditRoutes(deps),
  ...runnerRoutes(deps),
];

const temporalMs = 10_000;

/** The API, its documentation and the Operations page on one port. */
export function createApp(deps: ApiDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.use((_request, response, next) => {
    response.locals.request = randomUUID();
    response.set('X-Request-Id', response.locals.request as string);
    next();
  });
  app.use(observe(deps.log));
  // What Temporal is asked within a request has this long; without it a silent server would hold the request.
  app.use((_request, _response, next) => {
    // eslint-disable-next-line no-restricted-properties -- gRPC counts from this clock
    void deps.temporal.withDeadline(Date.now() + temporalMs, () => Promise.resolve(next()));
  });
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: policy },
      // Only where it is reached by HTTPS for good.
      strictTransportSecurity: deps.signIn?.kind === 'oidc',
    }),
  );
  app.use(compression());

  app.get('/health/live', (_request, response) => void response.json({ status: 'live' }));
  app.get(
    '/health/ready',
    readiness(() => ({
      database: deps.db.raw('SELECT 1'),
      temporal: deps.temporal.workflowService.getSystemInfo({}),
    })),
  );

  const credentials = createCredentials(deps);
  // Prometheus reaches each process by an address of its own.
  app.get('/metrics', authenticate(deps, credentials), readers, metrics(deps));

  app.use(ownAddress(deps));
  app.use('/api', demandJson);

  const routes = apiRoutes(deps, credentials.forget);
  const document = openApiDocument(routes);
  app.get('/api/openapi.json', (_request, response) => void response.json(document));
  app.get('/api/docs/swagger-initializer.js', (_request, response) => {
    response
      .type('js')
      .send(
        "window.ui = SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#swagger-ui', deepLinking: true });",
      );
  });
  // Of the package its page alone: its sources' maps are no part of it.
  app.get('/api/docs/*file', (request, _response, next) => {
    if (
      !/^\/api\/docs\/(swagger-ui(-bundle|-standalone-preset)?\.(js|css)|index\.(html|css)|favicon-\d+x\d+\.png)?$/.test(
        request.path,
      )
    )
      throw notFound(`page ${request.path.slice(0, 200)}`);
    next();
  });
  app.use('/api/docs', docsPolicy, express.static(swaggerPath()));

  app.use(signInRoutes(deps));

  app.get('/api/calendar.ics', calendarFeed(deps));

  const api = Router({ caseSensitive: true });
  api.use(authenticate(deps, credentials));
  api.get('/events', readers, eventStream(deps));
  // Compressed bodies are not taken: a small one could unpack to a large one.
  const json = (limit: number) =>
    express.json({ limit, strict: true, inflate: false, type: () => true, verify: demandBody });
  for (const { method, path, bodyLimit } of routes) if (bodyLimit) api[method](path, json(bodyLimit));
  api.use(json(262_144));
  for (const route of routes) register(api, deps.db, route);
  api.use((request) => {
    throw notFound(`${request.method} ${request.originalUrl.split('?')[0]!.slice(0, 200)}`);
  });
  app.use('/api', api);

  app.use(
    express.static(deps.webDir, {
      index: 'index.html',
      // These have their content's digest in their name.
      setHeaders: (response, path) => {
        if (/[/\\]assets[/\\]/.test(path))
          response.setHeader('Cache-Control', 'public, max-age=31536000, immutable');
      },
    }),
  );
  // The page's tabs, and what is open in them, have addresses of their own.
  app.get(
    /^\/(overview|promotions|change-requests|backlog|epics|calendar|audit)(\/[A-Za-z0-9.-]{1,40})?$/,
    (_request, response) => response.sendFile('index.html', { root: deps.webDir }),
  );
  app.use((request, response) => {
    // Whoever typed an address is told by the page where to go on; a program gets a problem.
    const typed = request.method === 'GET' && request.accepts(['json', 'html']) === 'html';
    if (typed) return response.status(404).sendFile('index.html', { root: deps.webDir });
    throw notFound(`page ${request.path.slice(0, 200)}`);
  });
  app.use(problemHandler(deps));
  return app;
}

const jsonType = /^application\/json[ \t]*(;|$)/i;
/**
 * What is sent is JSON, and says so: whatever else a page of another site can have a browser send without asking is called
 * otherwise. So that is refused where nothing is sent, too, unless it only reads.
 */
function demandJson(request: Request, _response: Response, next: NextFunction): void {
  const type = request.get('content-type');
  const sends =
    request.get('transfer-encoding') !== undefined || Number(request.get('content-length') ?? 0) > 0;
  const reads = ['GET', 'HEAD', 'OPTIONS'].includes(request.method);
  const asked = type === undefined ? sends : sends || !reads;
  if (asked && !jsonType.test(type ?? ''))
    throw new SignalboxError(
      'unsupported-media',
      `Send JSON, and say so: Content-Type: application/json. This request says ${type ? `"${type.slice(0, 100)}"` : 'nothing'}.`,
    );
  next();
}

/** Before it is parsed. In another encoding its bytes would say nothing. */
function demandBody(_request: unknown, _response: unknown, body: Buffer, encoding: string): void {
  const refuse = (status: number, type: string, why: string) =>
    Object.assign(new Error(why), { status, type });
  if (encoding !== 'utf-8') throw refuse(415, 'charset.unsupported', encoding);
  const why = whyTooMuch(body.toString('latin1'));
  if (why) throw refuse(400, 'entity.too.much', `it ${why}`);
}

/** What the page may load and where it may connect: its own files and its own API. */
const policy = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'self'"],
  'frame-ancestors': ["'none'"],
};
/** Swagger UI sets styles in its markup; scripts stay as they are. */
const docsPolicy = helmet.contentSecurityPolicy({
  useDefaults: false,
  directives: { ...policy, 'style-src': ["'self'", "'unsafe-inline'"] },
});
