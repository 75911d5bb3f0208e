import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import pino from 'pino';
import { createApp } from '../../api/app';
import type { ApiDeps } from '../../api/deps';
import { followChanges } from '../../db/changes';
import { mintToken } from '../../db/tokens';
import { createWindows } from '../../db/windows';
import type { Role } from '../../domain/machines';
import { people } from './people';
import { patienceMs } from './until';
import type { World } from './world';

/** Long for a verdict on a busy machine, but some tests wait it out: a verdict that does not come. */
const verdictMs = 60_000;
/** What a test ships is copied however long that takes here; those of a slow repository set less. */
const copyMs = patienceMs;

/** The API over a world, on a real port, with one token per role. */
export const tokenOf = (role: Role | 'both') => `token-of-${role}`;
export const personOf: Record<Role | 'both', string> = {
  contributor: 'carla',
  approver: 'amir',
  'release-manager': 'rosa',
  sre: 'sven',
  admin: 'ada',
  both: 'bo',
};

export async function serveWorld(
  world: World,
  options: Partial<Pick<ApiDeps, 'verdictMs' | 'signIn' | 'keyring' | 'copyMs'>> = {},
) {
  const { db } = world;
  for (const role of Object.keys(personOf) as (Role | 'both')[])
    await mintToken(
      db,
      { person: personOf[role], grants: people[personOf[role]]! },
      { by: 'signalbox', why: 'a token of the test' },
      tokenOf(role),
    );
  const changes = followChanges(world.databaseUrl);
  let origins: string[] = [];
  const start = async (verdictMs: number): Promise<Server> => {
    const server = createServer(
      createApp({
        db,
        changes,
        temporal: world.client,
        targets: () => world.targets,
        windows: createWindows(db),
        mirror: (...args) => world.deps.source.mirror(...args),
        resolveRevision: (...args) => world.deps.source.resolve(...args),
        compare: (...args) => world.deps.source.compare(...args),
        runUrl: (workflowId) => `http://ui/${encodeURIComponent(workflowId)}`,
        webDir: join(process.cwd(), 'dist/web'),
        log: pino({ level: 'silent' }),
        verdictMs,
        keyring: options.keyring ?? world.keyring,
        origins: () => origins,
        signIn: options.signIn,
        copyMs: options.copyMs ?? copyMs,
      }),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server;
  };
  const server = await start(options.verdictMs ?? verdictMs);
  const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  origins = [base];
  const call = async (
    role: Role | 'both' | undefined,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        ...(role ? { authorization: `Bearer ${tokenOf(role)}` } : {}),
        'content-type': 'application/json',
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const type = response.headers.get('content-type') ?? '';
    return {
      status: response.status,
      headers: response.headers,
      type,
      text,
      body: (type.includes('json') && text ? JSON.parse(text) : text) as any,
    };
  };
  /** Somebody else, with a token of their own: what they send. */
  const somebody = async (person: string, grants: string[]) => {
    const { body } = await call('admin', 'POST', '/api/tokens', { person, roles: grants, expiresAt: null });
    const authorization = `Bearer ${body.token}`;
    return {
      person,
      get: (path: string) => call(undefined, 'GET', path, undefined, { authorization }),
      post: (path: string, body: unknown = {}) => call(undefined, 'POST', path, body, { authorization }),
      patch: (path: string, body: unknown, more: Record<string, string> = {}) =>
        call(undefined, 'PATCH', path, body, { authorization, ...more }),
    };
  };
  return {
    base,
    call,
    somebody,
    get: (path: string, role: Role = 'sre') => call(role, 'GET', path),
    post: (role: Role | 'both', path: string, body: unknown = {}, headers?: Record<string, string>) =>
      call(role, 'POST', path, body, headers),
    patch: (role: Role | 'both', path: string, body: unknown, headers?: Record<string, string>) =>
      call(role, 'PATCH', path, body, headers),
    remove: (role: Role | 'both', path: string, headers?: Record<string, string>) =>
      call(role, 'DELETE', path, {}, headers),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await changes.close();
    },
  };
}
export type Served = Awaited<ReturnType<typeof serveWorld>>;
