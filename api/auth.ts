import type { Request, RequestHandler } from 'express';
import { SignalboxError } from '../domain/errors';
import { may, whyMayNot } from '../domain/permissions';
import { recordAudit } from '../db/audit';
import { findPerson, type Person } from '../db/people';
import { personBySession } from '../db/sessions';
import { personByToken } from '../db/tokens';
import type { Credentials } from './credentials';
import type { ApiDeps } from './deps';
import { limitOf } from './limits';

/**
 * Who is asking. Programs, and pages of the embedded mode, send a token as a bearer; people who signed in by OpenID
 * Connect have a cookie that only travels over HTTPS. Loopback has no cookies: they ignore the port, so that any other
 * local server that the browser visits would get them.
 */
export const sessionCookie = '__Host-signalbox';
/** A session that is not used for so long is over. */
const idleMinutes = { oidc: 120, local: 60 * 24 * 7 };

const safe = (request: Request) => ['GET', 'HEAD', 'OPTIONS'].includes(request.method);

/** Refuses requests that address another host (DNS rebinding) or come from another site's page. */
export const ownAddress =
  ({ origins }: Pick<ApiDeps, 'origins'>): RequestHandler =>
  (request, _response, next) => {
    const own = origins();
    const hosts = own.map((origin) => new URL(origin).host);
    if (!hosts.includes(request.get('host') ?? ''))
      throw new SignalboxError(
        'wrong-host',
        `This Signalbox is ${own[0]}, and answers under no other name; correct the address, or api.publicUrl in the configuration.`,
      );
    const origin = request.get('origin');
    if (origin !== undefined && !safe(request) && !own.includes(origin))
      throw new SignalboxError('cross-site', 'A page of another site may not do this.');
    next();
  };

/** Who is asking, as it stands now; undefined without a credential that is good. */
export async function whoAsks(deps: ApiDeps, request: Request): Promise<Person | undefined> {
  const given = credentialOf(request);
  const person = given && (await personOf(deps, given, byToken(deps)));
  return person && actingAs(deps, request, person);
}

/** Finds out who is asking, or refuses. */
export function authenticate(deps: ApiDeps, credentials: Credentials): RequestHandler {
  const failures = limitOf('failures');
  const requests = limitOf('requests');
  return async (request, response, next) => {
    const given = credentialOf(request);
    const person = given && (await personOf(deps, given, credentials.byToken));
    if (!person) {
      response.locals.who = request.ip;
      await failures(request, response);
      if (given)
        await recordAudit(deps.db, {
          actor: 'unknown',
          action: 'sign-in.refused',
          subject: 'api',
          why: `A ${given.by === 'cookie' ? 'session' : 'token'} that is not known, has run out or was revoked, from ${request.ip}.`,
          request: response.locals.request as string,
        });
      throw new SignalboxError(
        'not-signed-in',
        given
          ? 'This token or session is not known, has run out or was revoked. Sign in again, or use another token.'
          : 'Sign in on the page, or send a token: "Authorization: Bearer ...". Tokens of the embedded mode are in endpoints.json.',
      );
    }
    // A browser attaches a cookie by itself, also to what another site's page sends; only our own page may act by it.
    if (given.by === 'cookie' && !safe(request) && request.get('origin') === undefined)
      throw new SignalboxError('cross-site', 'Requests by a session have to say their Origin.');
    const acting = await actingAs(deps, request, person);
    if (!acting)
      throw new SignalboxError(
        'not-switchable',
        'Only a session of the embedded mode can act as somebody else, and only as one of the sample people who are not disabled; sign in as that person.',
      );
    response.locals.person = acting;
    response.locals.who = person.credential;
    await requests(request, response);
    next();
  };
}

/**
 * A page of the embedded mode may say with each request as which of the sample people. The session stays whose it is, so
 * that what one button or one tab does as somebody else changes nothing for the next.
 */
export const actingHeader = 'signalbox-as';
/** @returns undefined when that is nobody one can act as. */
async function actingAs(
  { db, signIn }: Pick<ApiDeps, 'db' | 'signIn'>,
  request: Request,
  person: Person,
): Promise<Person | undefined> {
  const name = request.get(actingHeader);
  if (name === undefined || name === person.person) return person;
  if (signIn?.kind !== 'local' || person.session?.kind !== 'local' || !signIn.people.includes(name))
    return undefined;
  const other = await findPerson(db, name);
  return other && !other.disabled_at ? { ...person, person: name, grants: other.grants } : undefined;
}

/** Only who may read: a runner's token does its steps, and nothing else. It comes after `authenticate`. */
export const readers: RequestHandler = (_request, response, next) => {
  const { person, grants } = response.locals.person as Person;
  if (!may(grants, 'read')) {
    const { code, message, needs } = whyMayNot(person, grants, 'read');
    throw new SignalboxError(code, message, { needs });
  }
  next();
};

interface Credential {
  by: 'bearer' | 'cookie';
  value: string;
}
function credentialOf(request: Request): Credential | undefined {
  const header = request.get('authorization');
  if (header !== undefined) {
    const value = /^Bearer ([\x21-\x7e]{1,500})$/.exec(header)?.[1];
    return value ? { by: 'bearer', value } : undefined;
  }
  const value = cookieOf(request, sessionCookie);
  return value ? { by: 'cookie', value } : undefined;
}

/** A cookie's value; undefined when there is none. */
export function cookieOf(request: Request, name: string): string | undefined {
  for (const part of (request.get('cookie') ?? '').slice(0, 8_192).split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name) return value;
  }
  return undefined;
}

const byToken =
  ({ db }: ApiDeps) =>
  async (value: string) =>
    (await personByToken(db, value))?.person;

async function personOf(
  { db }: ApiDeps,
  { by, value }: Credential,
  ofToken: Credentials['byToken'],
): Promise<Person | undefined> {
  if (!value.startsWith('sbs_')) return by === 'bearer' ? ofToken(value) : undefined;
  // A stolen cookie is no bearer token, and the other way round.
  const kind = by === 'cookie' ? 'oidc' : 'local';
  const person = await personBySession(db, value, idleMinutes[kind]);
  return person?.session?.kind === kind ? person : undefined;
}
