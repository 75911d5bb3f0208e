import { Router, type Response } from 'express';
import type * as OpenId from 'openid-client';
import { messageOf, SignalboxError } from '../domain/errors';
import type { Grant } from '../domain/permissions';
import { isReserved } from '../domain/person';
import { recordAudit } from '../db/audit';
import type { Tx } from '../db/connect';
import type { Voided } from '../db/approvals';
import { findPersonCalled, setGrants, type PersonRow } from '../db/people';
import { startSession } from '../db/sessions';
import { movedBy } from '../db/transition';
import { cookieOf, sessionCookie } from './auth';
import { tellMoved } from './change-requests';
import type { ApiDeps, OidcSignIn } from './deps';
import { limitOf } from './limits';
import { fit } from '../domain/input';
import { sentences } from '../domain/sentences';

/**
 * Sign-in by OpenID Connect: authorization code with PKCE, state and nonce; the issuer, the audience and the one
 * algorithm are pinned by the configuration, and the ID token's signature is checked. A person's roles are those of
 * their groups, written anew at each sign-in.
 */
const signInCookie = '__Host-signalbox-sign-in';
const signInSeconds = 600;
const providerSeconds = 10;
const cookie = (name: string, value: string, sameSite: 'Lax' | 'Strict', seconds: number) =>
  `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=${sameSite}; Max-Age=${seconds}`;

export function oidcRoutes(deps: ApiDeps, signIn: OidcSignIn): Router {
  const { db } = deps;
  const { oidc, publicUrl } = signIn;
  const redirectUri = new URL('/api/sign-in/callback', publicUrl).href;
  const connected = lazily(() => connect(signIn));
  const failures = limitOf('failures');
  const router = Router();

  const failed = async (response: Response, why: string): Promise<void> => {
    const request = response.locals.request as string;
    await recordAudit(db, { actor: 'unknown', action: 'sign-in.refused', subject: 'page', why, request });
    response.append('Set-Cookie', cookie(signInCookie, '', 'Lax', 0));
    // Behind #, where the page reads it and no server logs it.
    response.redirect(303, `/#problem=${encodeURIComponent(why)}`);
  };

  router.get('/api/sign-in/oidc', async (_request, response) => {
    let client, config;
    try {
      ({ client, config } = await connected());
    } catch (thrown) {
      deps.log.error({ err: thrown, issuer: oidc.issuer }, 'the OpenID provider could not be used');
      return failed(
        response,
        `The sign-in service ${oidc.issuer} does not answer as it should. Try again; an operator finds the reason in the log.`,
      );
    }
    const verifier = client.randomPKCECodeVerifier();
    const state = client.randomState();
    const nonce = client.randomNonce();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: oidc.scopes.join(' '),
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    const kept = Buffer.from(JSON.stringify({ verifier, state, nonce })).toString('base64url');
    // Lax: it has to come back with the provider's redirect.
    response.append('Set-Cookie', cookie(signInCookie, kept, 'Lax', signInSeconds));
    response.redirect(303, url.href);
  });

  router.get('/api/sign-in/callback', async (request, response) => {
    response.locals.who = request.ip;
    let begun: { verifier: string; state: string; nonce: string };
    try {
      begun = JSON.parse(Buffer.from(cookieOf(request, signInCookie) ?? '', 'base64url').toString()) as never;
    } catch {
      await failures(request, response);
      return failed(
        response,
        'This sign-in was not begun here, or took longer than ten minutes. Sign in again.',
      );
    }
    try {
      const { client, config } = await connected();
      const here = new URL(request.originalUrl, publicUrl);
      const tokens = await client.authorizationCodeGrant(config, here, {
        pkceCodeVerifier: begun.verifier,
        expectedState: begun.state,
        expectedNonce: begun.nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims()!;
      const known = oidc.nameClaim in claims && oidc.groupsClaim in claims;
      const all = known
        ? claims
        : { ...claims, ...(await client.fetchUserInfo(config, tokens.access_token, claims.sub)) };
      const found = identityOf(oidc, all);
      const requestId = response.locals.request as string;
      const { session, voided } = await db.transaction((tx) =>
        enter(tx, found, oidc.sessionHours, requestId),
      );
      for (const lapsed of voided) await tellMoved(deps, lapsed);
      response.append('Set-Cookie', cookie(signInCookie, '', 'Lax', 0));
      response.append('Set-Cookie', cookie(sessionCookie, session, 'Strict', oidc.sessionHours * 3600));
      response.redirect(303, '/');
    } catch (thrown) {
      if (thrown instanceof SignalboxError) return failed(response, thrown.message);
      deps.log.warn({ err: thrown }, 'a sign-in by OpenID Connect was refused');
      await failures(request, response);
      return failed(
        response,
        sentences(`The sign-in was refused: ${messageOf(thrown).slice(0, 300)}`, 'Sign in again'),
      );
    }
  });
  return router;
}

/** Made at the first use, and again when that failed. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    (made ??= make().catch((thrown: unknown) => {
      made = undefined;
      throw thrown;
    }));
}

async function connect({ oidc, clientSecret }: OidcSignIn) {
  // Loaded when somebody signs in this way: most starts never do.
  const client: typeof OpenId = await import('openid-client');
  const secret = clientSecret();
  const config = await client.discovery(
    new URL(oidc.issuer),
    oidc.clientId,
    { id_token_signed_response_alg: oidc.algorithm, ...(secret ? { client_secret: secret } : {}) },
    secret ? undefined : client.None(),
    {
      // The configuration lets plain HTTP through for an issuer on this machine alone.
      execute: oidc.issuer.startsWith('http:')
        ? [client.allowInsecureRequests, client.enableNonRepudiationChecks]
        : [client.enableNonRepudiationChecks],
      timeout: providerSeconds,
    },
  );
  return { client, config };
}

interface Identity {
  /** Issuer and subject: who it is, whatever they call themselves. */
  subject: string;
  name: string;
  grants: Grant[];
  /** Those that stand in an approval chain count there too. */
  groups: string[];
}

function identityOf(oidc: OidcSignIn['oidc'], claims: Record<string, unknown>): Identity {
  const name = claims[oidc.nameClaim];
  const groups = claims[oidc.groupsClaim];
  if (typeof name !== 'string' || !name.isWellFormed() || !/^[^\p{Cc}]{1,200}$/u.test(name))
    throw new SignalboxError('not-signed-in', `The sign-in service gave no usable "${oidc.nameClaim}".`);
  const member = Array.isArray(groups) ? groups.filter((group) => typeof group === 'string').map(fit) : [];
  const grants = [
    ...new Set(member.flatMap((group) => (Object.hasOwn(oidc.roles, group) ? oidc.roles[group]! : []))),
  ];
  if (grants.length === 0)
    throw new SignalboxError(
      'role-required',
      `${name} is signed in there, but in no group that has a role here. Ask an administrator to be added to one.`,
    );
  return { subject: fit(`${oidc.issuer} ${String(claims.sub)}`), name, grants, groups: member.slice(0, 500) };
}

/**
 * Writes who came in, and begins their session. Who it is says the subject; what they call themselves there is free to
 * choose, so a name that somebody has here is never taken by it. An administrator links them.
 */
async function enter(tx: Tx, { subject, name, grants, groups }: Identity, hours: number, request: string) {
  const known = (await tx('people').where({ subject }).first()) as PersonRow | undefined;
  const other = known ? undefined : await findPersonCalled(tx, name);
  if (other)
    throw new SignalboxError(
      'not-signed-in',
      `${other.subject ? `Somebody else signed in here as ${other.name} before` : `There is a ${other.name} here already, who never signed in by this service`}. If that is you, let an administrator run: signalbox person link ${JSON.stringify(other.name)} --subject ${JSON.stringify(subject)}`,
    );
  if (known?.disabled_at)
    throw new SignalboxError('not-signed-in', `${known.name} is shut out. Ask an administrator.`);
  if (isReserved(known?.name ?? name))
    throw new SignalboxError(
      'not-signed-in',
      `Nobody can sign in as "${name}": Signalbox itself signs with that name. Ask an administrator of the sign-in service for another one.`,
    );
  const person = known?.name ?? name;
  const move = { by: person, why: 'signed in by OpenID Connect', request };
  const voided: Voided[] = await setGrants(tx, person, grants, move, groups);
  if (!known)
    await tx('people')
      .where({ name: person })
      .update({ subject, ...movedBy(move) });
  return { voided, session: await startSession(tx, { person, kind: 'oidc', hours }, move) };
}
