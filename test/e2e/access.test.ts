import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { answerOf, cleanUp, cli, newFolder, runProgram, startUp, until, type Up } from '../helpers/up';

/** Tokens, people, keys and the audit trail on the command line, on the real stack. */
let up: Up;
beforeAll(async () => {
  up = await startUp();
  await up.says('Running. Ctrl-C');
});
afterAll(cleanUp);

const asOwner = async (...statements: string[]) => {
  const client = new pg.Client({ connectionString: up.endpoints().databaseOwnerUrl });
  await client.connect();
  try {
    for (const sql of statements) await client.query(sql);
  } finally {
    await client.end();
  }
};
const me = async (token: string) =>
  fetch(`${up.endpoints().api}/me`, { headers: { authorization: `Bearer ${token}` } });

it('makes, lists, uses and revokes a token, and shuts a person out', async () => {
  const made = await cli(
    up,
    'token',
    'create',
    '--person',
    'otto',
    '--role',
    'sre:shop',
    '--expires',
    '30d',
    '--json',
  );
  const { id, token, expiresAt } = JSON.parse(made.out) as { id: number; token: string; expiresAt: string };
  expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(29 * 86_400_000);
  expect(await (await me(token)).json()).toMatchObject({
    person: 'otto',
    roles: ['sre:shop'],
    may: { cancel: ['shop'] },
  });
  const list = (await cli(up, 'token', 'list')).out;
  expect(list).toMatch(/otto.*sre:shop.*ada/);
  expect(list).not.toContain(token);
  expect((await cli(up, 'token', 'revoke', String(id), '--reason', 'lost')).out).toContain(
    `Token ${id} of otto is revoked`,
  );
  expect((await me(token)).status).toBe(401);

  const plain = (await cli(up, 'token', 'create', '--person', 'otto', '--role', 'approver')).out
    .trim()
    .split('\n')
    .at(-1)!;
  expect((await me(plain)).status).toBe(200);
  expect((await cli(up, 'person', 'disable', 'otto')).out).toContain('otto is disabled');
  expect((await me(plain)).status).toBe(401);
  expect((await cli(up, 'person', 'enable', 'otto')).out).toContain('otto is enabled');
  expect((await me(plain)).status).toBe(200);
});

it.each([
  [
    ['token', 'create', '--person', 'x', '--role', 'boss'],
    2,
    /--role boss is no role; there are contributor/,
  ],
  [
    ['token', 'create', '--person', 'x', '--role', 'sre', '--expires', 'soon'],
    2,
    /say 30d, 12h, 2026-12-31 or never/,
  ],
  [['token', 'create', '--person', 'x', '--role', 'sre', '--expires', '2020-01-01'], 1, /has passed already/],
  [['token', 'create', '--role', 'sre'], 2, /--person/],
  [['token', 'revoke', '999999'], 1, /There is no token 999999/],
  [['person', 'disable', 'nobody'], 1, /There is no person nobody/],
  [['audit', 'verify', '--heads', '/nowhere'], 1, /There is no file \/nowhere/],
  [['keys', 'drop', 'nonsense'], 1, /There is no key nonsense/],
])('%j is refused with what to do', async (args, code, told) => {
  const { out, err, code: got } = await cli(up, ...args);
  expect([got, told.test(err), out.includes('sb_')]).toEqual([code, true, false]);
});

it('rotates the signing keys while it runs', async () => {
  const before = (await cli(up, 'keys', 'list')).out;
  const [old] = before.split(' ');
  expect((await cli(up, 'keys', 'rotate')).out).toContain('signs from now on');
  expect((await cli(up, 'ship', 'shop', 'v2', '--title', 'signed by the new key')).code).toBe(0);
  expect((await cli(up, 'approve', 'CP-2')).code).toBe(0);
  expect((await cli(up, 'keys', 'list')).out).toContain(`${old}  since`);
  expect((await cli(up, 'keys', 'drop', old!)).code).toBe(0);
  expect((await cli(up, 'approve', 'CP-2')).code).toBe(1);
  expect(statSync(join(up.state, 'signing-keys.json')).mode & 0o777).toBe(0o600);
});

it('makes keys for processes that run alone, once', async () => {
  const file = join(newFolder(), 'keys.json');
  expect(await runProgram(['keys', 'create', file])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^[0-9a-f]+ signs; keep .*keys\.json as a secret/),
  });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(await runProgram(['keys', 'create', file])).toMatchObject({
    code: 1,
    err: expect.stringContaining('is there already; it is left as it is'),
  });
});

it('audit list tells the story; audit verify finds it whole', async () => {
  const list = (await cli(up, 'audit', 'list', '--subject', 'CP-1')).out;
  for (const part of [
    'carla  promotion.pending  CP-1',
    'amir  promotion.approved',
    'signalbox  promotion.deployed',
  ])
    expect(list).toContain(part);
  const requests = answerOf(await cli(up, 'audit', 'list', '--subject', 'CP-1.1', '--json')) as {
    action: string;
    actor: string;
    request: string;
  }[];
  const started = requests.find(({ action }) => action === 'deployment.queued')!;
  expect(started).toMatchObject({ actor: 'rosa', request: expect.any(String) });
  // The end of the attempt goes back to the click that began it.
  expect(requests.find(({ action }) => action === 'deployment.succeeded')).toMatchObject({
    request: started.request,
  });
  const heads = join(up.state, 'audit-heads.jsonl');
  await until('a head to be exported', () => existsSync(heads) && readFileSync(heads, 'utf8').includes('\n'));
  const { out, code } = await cli(up, 'audit', 'verify');
  expect([code, out]).toEqual([
    0,
    expect.stringMatching(/whole: \d+ entries without a gap.*\d+ exported heads are in it/),
  ]);
  expect(out).toMatch(/held against \S+audit-heads\.jsonl, which vouches for it up to entry \d+/);
  const other = join(newFolder(), 'none.jsonl');
  writeFileSync(other, '');
  expect((await cli(up, 'audit', 'verify', '--heads', other)).out).toMatch(
    /Nothing outside of the database vouches/,
  );
});

it('the login that Signalbox works by can not touch the trail', async () => {
  const client = new pg.Client({ connectionString: up.endpoints().databaseUrl });
  await client.connect();
  try {
    for (const sql of [
      'DELETE FROM audit',
      "UPDATE audit SET entry = '{}'",
      'SET ROLE signalbox',
      'TRUNCATE audit',
      'CREATE TEMP TABLE promotions (id int)',
      'RESET ROLE; CREATE TEMP TABLE promotions (id int)',
      "UPDATE promotions SET shipped_by = 'nobody'",
    ])
      await expect(client.query(sql)).rejects.toThrow(/permission denied/);
  } finally {
    await client.end();
  }
});

it('on a database of your own: one login migrates, another works and owns nothing', async () => {
  await asOwner("CREATE ROLE shop_app LOGIN PASSWORD 'of-the-test'", 'CREATE DATABASE own');
  const owner = Object.assign(new URL(up.endpoints().databaseOwnerUrl!), { pathname: '/own' });
  const app = Object.assign(new URL(owner), { username: 'shop_app', password: 'of-the-test' });
  const env = { DATABASE_OWNER_URL: owner.href, DATABASE_URL: app.href };
  const create = ['token', 'create', '--database', '--person', 'root', '--role', 'admin'];
  const made = await runProgram(create, { env });
  expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^sb_/)]);
  const client = new pg.Client({ connectionString: app.href });
  await client.connect();
  try {
    await client.query('SET ROLE signalbox_app');
    expect((await client.query('SELECT person FROM tokens')).rows).toEqual([{ person: 'root' }]);
    for (const sql of ['DELETE FROM audit', 'RESET ROLE; DELETE FROM audit', 'DROP TABLE audit'])
      await expect(client.query(sql)).rejects.toThrow(/permission denied|must be owner/);
  } finally {
    await client.end();
  }
});

it('audit verify names the entry that the owner of the database changed, and a tail that was cut', async () => {
  const off = 'ALTER TABLE audit DISABLE TRIGGER USER';
  await asOwner(
    off,
    "UPDATE audit SET entry = replace(entry, 'amir', 'carla') WHERE seq = (SELECT min(seq) FROM audit WHERE action = 'promotion.approved')",
  );
  const { out, code } = await cli(up, 'audit', 'verify');
  expect([code, out]).toEqual([1, expect.stringMatching(/broken at entry \d+: entry \d+ was changed/)]);
  await asOwner('DELETE FROM audit WHERE seq > 3');
  const cut = await cli(up, 'audit', 'verify', '--json');
  expect([cut.code, JSON.parse(cut.out).broken.why]).toEqual([
    1,
    expect.stringContaining('its tail was cut off'),
  ]);
  await asOwner('ALTER TABLE audit ENABLE TRIGGER USER');
});

it.each([
  [
    '0.0.0.0 with nobody to sign in',
    'api: { listen: 0.0.0.0 }',
    /needs identity.oidc. Without it Signalbox listens on loopback only/,
  ],
  [
    'identity without https',
    'identity: { oidc: { issuer: "https://id.example.com", clientId: x, roles: {} } }',
    /needs api.publicUrl with https/,
  ],
  [
    'an issuer by http',
    'identity: { oidc: { issuer: "http://id.example.com", clientId: x, roles: {} } }',
    /issuer of an OpenID provider, by https/,
  ],
  [
    'an unknown role',
    'api: { publicUrl: "https://s.example.com" }\nidentity: { oidc: { issuer: "https://id.example.com", clientId: x, roles: { all: [boss] } } }',
    /allowed: a role \(contributor/,
  ],
  [
    '0.0.0.0 without TLS',
    'api: { publicUrl: "https://s.example.com", listen: 0.0.0.0 }\nidentity: { oidc: { issuer: "https://id.example.com", clientId: x, roles: {} } }',
    /that needs api.tls/,
  ],
])('a configuration with %s is refused before anything starts', async (_what, text, told) => {
  const folder = newFolder();
  const config = join(folder, 'signalbox.config.yaml');
  writeFileSync(config, `${text}\ntargets: {}\n`);
  const refused = await runProgram([
    'up',
    '--state',
    join(folder, 'state'),
    '--port',
    '0',
    '--config',
    config,
  ]);
  expect([refused.code, told.test(refused.err), existsSync(join(folder, 'state'))]).toEqual([1, true, false]);
});
