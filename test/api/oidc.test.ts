import type { OidcSignIn } from '../../api/deps';
import { parseConfig } from '../../domain/config';
import { serveWorld, type Served } from '../helpers/api';
import { cookieJar, signInAt, startProvider, type Provider } from '../helpers/oidc';
import { makeWorld, type World } from '../helpers/world';

/** Sign-in by a real OpenID provider, and what must not get in. The story in a browser is in test/browser. */
const publicUrl = 'https://signalbox.test';
let world: World;
let provider: Provider;
const served: Served[] = [];
beforeAll(async () => {
  [world, provider] = await Promise.all([makeWorld(), startProvider(`${publicUrl}/api/sign-in/callback`)]);
});
afterAll(async () => {
  for (const api of served) await api.stop();
  await provider.stop();
  await world.stop();
});

async function serve(more: object = {}): Promise<Served> {
  const { identity } = parseConfig(
    JSON.stringify({
      api: { publicUrl },
      identity: {
        oidc: {
          issuer: provider.issuer,
          clientId: 'signalbox',
          roles: { managers: ['release-manager'], approvers: ['approver'], kiosk: ['sre:kiosk'] },
          ...more,
        },
      },
      targets: {},
    }),
    'test',
  );
  const clientSecret = () => 'a-secret-of-the-test-client';
  const signIn: OidcSignIn = { kind: 'oidc', oidc: identity!.oidc, publicUrl, clientSecret };
  const api = await serveWorld(world, { signIn });
  served.push(api);
  return api;
}

/**
 * Walks the whole way as a browser does. @returns the callback's answer, before any redirect.
 * @param account name and groups; with a bar, the subject before it.
 */
async function signedIn(api: Served, account: string, bend: (callback: URL) => void = () => undefined) {
  const [first, rest = first] = account.split('|') as [string, string?];
  const [name, ...groups] = rest.split(' ') as [string, ...string[]];
  const subject = first.split(' ')[0]!;
  await provider.account(subject, name, groups);
  const jar = cookieJar();
  const begun = await jar.ask(`${api.base}/api/sign-in/oidc`);
  const callback = new URL(await signInAt(jar, begun.headers.get('location')!, subject));
  expect(callback.href.startsWith(`${publicUrl}/api/sign-in/callback?`)).toBe(true);
  bend(callback);
  const local = `${api.base}${callback.pathname}${callback.search}`;
  const answer = await jar.ask(local);
  return { jar, answer, local, location: answer.headers.get('location')! };
}
const problem = (location: string) => decodeURIComponent(location.replace('/#problem=', ''));
const me = (api: Served, jar: ReturnType<typeof cookieJar>) =>
  api.call(undefined, 'GET', '/api/me', undefined, {
    cookie: `__Host-signalbox=${jar.cookies.get('__Host-signalbox')}`,
  });

it('gives a session with the roles of the groups, in a cookie that only HTTPS and this site get', async () => {
  const api = await serve();
  const { jar, answer, location } = await signedIn(api, 'olga managers kiosk unmapped');
  expect([answer.status, location]).toEqual([303, '/']);
  const set = answer.headers.getSetCookie().find((line) => line.startsWith('__Host-signalbox='))!;
  for (const part of ['Secure', 'HttpOnly', 'SameSite=Strict', 'Path=/']) expect(set).toContain(part);
  expect(set).not.toContain('Domain');
  expect((await me(api, jar)).body).toMatchObject({
    person: 'olga',
    roles: ['release-manager', 'sre:kiosk'],
    canBe: [],
  });
});

it('asks for PKCE, state and nonce, and the callback takes each once', async () => {
  const api = await serve();
  const begun = await cookieJar().ask(`${api.base}/api/sign-in/oidc`);
  const asked = Object.fromEntries(new URL(begun.headers.get('location')!).searchParams);
  expect(asked).toMatchObject({
    code_challenge: expect.stringMatching(/^[\w-]{43}$/),
    code_challenge_method: 'S256',
    state: expect.any(String),
    nonce: expect.any(String),
    redirect_uri: `${publicUrl}/api/sign-in/callback`,
  });
  const { local, location } = await signedIn(api, 'olga managers');
  expect(location).toBe('/');
  // Somebody else's browser with the same address gets nothing.
  const stranger = await cookieJar().ask(local);
  expect(problem(stranger.headers.get('location')!)).toMatch(/was not begun here/);
});

it.each([
  ['another state', (url: URL) => url.searchParams.set('state', 'other'), /refused/],
  ['no state', (url: URL) => url.searchParams.delete('state'), /refused/],
  ['another code', (url: URL) => url.searchParams.set('code', 'other'), /refused/],
  ['no code', (url: URL) => url.searchParams.delete('code'), /refused/],
  ['another issuer', (url: URL) => url.searchParams.set('iss', 'https://evil.example'), /refused/],
  ['an error of the provider', (url: URL) => url.searchParams.set('error', 'access_denied'), /refused/],
])('a callback with %s gets nobody in', async (_what, bend, told) => {
  const api = await serve();
  const { jar, location } = await signedIn(api, 'olga managers', bend);
  expect(problem(location)).toMatch(told);
  expect(jar.cookies.has('__Host-signalbox')).toBe(false);
});

it('an ID token that is signed with another algorithm gets nobody in', async () => {
  const api = await serve({ clientId: 'other-algorithm' });
  const { location } = await signedIn(api, 'olga managers');
  expect(problem(location)).toMatch(/refused/);
});

it('a provider that says it is another, or does not answer, is said so', async () => {
  const { port } = new URL(provider.issuer);
  const other = await serve({ issuer: `http://localhost:${port}` });
  const begun = await cookieJar().ask(`${other.base}/api/sign-in/oidc`);
  expect(problem(begun.headers.get('location')!)).toMatch(/does not answer as it should/);
  const away = await serve({ issuer: 'http://127.0.0.1:1' });
  const nothing = await cookieJar().ask(`${away.base}/api/sign-in/oidc`);
  expect(problem(nothing.headers.get('location')!)).toMatch(/does not answer as it should/);
});

it('somebody without a group that has a role, and somebody who is shut out, are told so', async () => {
  const api = await serve();
  expect(problem((await signedIn(api, 'gast visitors')).location)).toMatch(/in no group that has a role/);
  expect((await signedIn(api, 'paul approvers')).location).toBe('/');
  await api.post('admin', '/api/people/paul/disable', {});
  expect(problem((await signedIn(api, 'paul approvers')).location)).toMatch(/shut out/);
});

it('a name stays with whoever had it first, and a person with their name', async () => {
  const api = await serve();
  const first = await signedIn(api, 'nina approvers');
  expect((await me(api, first.jar)).body.person).toBe('nina');
  // Another account calls itself nina.
  expect(problem((await signedIn(api, 'mallory|nina approvers')).location)).toMatch(
    /Somebody else signed in here as nina/,
  );
  // The account of nina calls itself otherwise now: still nina, so nobody becomes a second person to approve their own.
  const renamed = await signedIn(api, 'nina|ninotchka approvers');
  expect((await me(api, renamed.jar)).body.person).toBe('nina');
});

it.each([
  ['of a person who came in by a token so far', 'mallory1|Amir approvers', /There is a amir here already/],
  ['of somebody else, in other letters', 'mallory2|NINA approvers', /Somebody else signed in here as nina/],
  ['of Signalbox itself', 'mallory3|SignalBox approvers', /Nobody can sign in as/],
  ['of nobody who is known', 'mallory4|unknown approvers', /Nobody can sign in as/],
])('a name that is free to choose there takes no name here: %s', async (_what, account, told) => {
  const api = await serve();
  await signedIn(api, 'nina approvers');
  const before = await world.db('people').orderBy('name').select('name', 'grants', 'subject');
  const { jar, location } = await signedIn(api, account);
  expect(problem(location)).toMatch(told);
  expect(jar.cookies.has('__Host-signalbox')).toBe(false);
  expect(await world.db('people').orderBy('name').select('name', 'grants', 'subject')).toEqual(before);
});

it('an administrator links an account to a person, and is an author of what they approve by it', async () => {
  const api = await serve();
  const refused = problem((await signedIn(api, 'anna-at-the-provider|anna approvers')).location);
  const subject = /--subject "([^"]+)"/.exec(refused)![1]!;
  const link = (name: string, to = subject) => api.post('admin', `/api/people/${name}/link`, { subject: to });
  expect((await link('nobody-such')).status).toBe(404);
  expect((await link('anna')).status).toBe(200);
  expect((await link('amir')).body.detail).toMatch(/That account is anna's already/);
  const anna = await signedIn(api, 'anna-at-the-provider|anna approvers');
  expect((await me(api, anna.jar)).body.person).toBe('anna');
  const cookie = `__Host-signalbox=${anna.jar.cookies.get('__Host-signalbox')}`;
  const decided = async (shippedBy: string) => {
    const promotion = await world.shipped('v1');
    await world.owner('promotions').where({ id: promotion }).update({ shipped_by: shippedBy });
    await api.post('contributor', `/api/change-requests/RFC-${promotion}/submit`);
    const path = `/api/change-requests/RFC-${promotion}/decisions`;
    const headers = { cookie, origin: api.base };
    return api.call(undefined, 'POST', path, { decision: 'approve' }, headers);
  };
  expect((await decided('ada')).body.code).toBe('own-change');
  expect((await decided('carla')).status).toBe(201);
  // Linked anew, the account of before is shut out.
  expect((await link('anna', `${provider.issuer} another`)).status).toBe(200);
  expect((await me(api, anna.jar)).status).toBe(401);
  expect(problem((await signedIn(api, 'anna-at-the-provider|anna approvers')).location)).toMatch(
    /Somebody else/,
  );
});

it('who left the approvers takes along what only they approved', async () => {
  const api = await serve();
  await signedIn(api, 'tilda approvers');
  const promotion = await world.shipped('v1');
  const rfc = `RFC-${promotion}`;
  await api.post('contributor', `/api/change-requests/${rfc}/submit`);
  const tilda = await signedIn(api, 'tilda approvers');
  const cookie = `__Host-signalbox=${tilda.jar.cookies.get('__Host-signalbox')}`;
  const decide = (headers: Record<string, string>) =>
    api.call(
      undefined,
      'POST',
      `/api/change-requests/${rfc}/decisions`,
      { decision: 'approve' },
      { cookie, ...headers },
    );
  // A browser attaches the cookie also to what another site's page sends: without our own origin it is refused.
  expect((await decide({})).body.code).toBe('cross-site');
  expect((await decide({ origin: 'https://evil.example' })).body.code).toBe('cross-site');
  expect((await decide({ origin: api.base })).status).toBe(201);
  await signedIn(api, 'tilda managers');
  expect((await api.get(`/api/promotions/CP-${promotion}`)).body.status).toBe('pending');
  // The older session is hers too, and holds no more than she does.
  expect((await me(api, tilda.jar)).body.roles).toEqual(['release-manager']);
});
