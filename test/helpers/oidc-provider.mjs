import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

/**
 * A real OpenID provider as a process of its own: node oidc-provider.mjs <port> <redirect uri>. One signs in
 * by typing a subject of its directory. The client other-algorithm gets ID tokens that are signed with PS256.
 */
const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const client = (id, more = {}) => ({
  client_id: id,
  client_secret: 'a-secret-of-the-test-client',
  redirect_uris: [redirectUri],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  ...more,
});
/** Who there is: subject -> name and groups. Written by PUT /directory/<subject>. */
const directory = new Map();
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const provider = new Provider(issuer, {
  // Without an algorithm of its own, so that it signs by either.
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig' }] },
  clients: [client('signalbox'), client('other-algorithm', { id_token_signed_response_alg: 'PS256' })],
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256'] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  ttl: { Session: 60, Interaction: 600, Grant: 60, AccessToken: 60, IdToken: 60 },
  findAccount: (_context, sub) => {
    const account = directory.get(sub);
    return account && { accountId: sub, claims: () => ({ sub, ...account }) };
  },
});
const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/directory/')) return answer(request, response);
  let text = '';
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => {
    directory.set(request.url.slice('/directory/'.length), JSON.parse(text));
    response.end();
  });
}).listen(Number(port), '127.0.0.1', () => console.log(`provider at ${issuer}`));
