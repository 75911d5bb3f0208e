import { createServer, type Server } from 'node:http';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import pg from 'pg';
import { run } from '../../cli/embedded/fetch-part';
import { launchChromium } from '../../bench/chromium';
import { makeRepository } from '../helpers/repository';
import { cleanUp, cli, newFolder, startUp, stopUp, until, type Up } from '../helpers/up';

/**
 * Canaries: values that a build, a reload, a health check and a program that is not there give away in every way
 * they can. Afterwards they are looked for in every sink: record, log, workflow history, audit, API, page, files.
 */
const canaries = {
  PASSWORD: 'canary/p4ss+word=%20&"quoted" ümlaut\\x',
  API_KEY: 'canary-Zm9vYmFyYmF6cXV1eA-0123456789-abcdefghij-KLMNOPQRST-uvwxyz-9876543210-canary',
  PRIVATE_KEY:
    '-----BEGIN KEY-----\nY2FuYXJ5LWxpbmUtb25lLTEyMzQ1\nY2FuYXJ5LWxpbmUtdHdvLTY3ODkw\n-----END KEY-----',
};
const marker = 'A title that is no secret 7d1c';
let up: Up;
let site: Server;
const texts: [string, string][] = [];

/** What would give a canary away: each of its lines, and pieces of it, plain and encoded. */
const traces = Object.values(canaries).flatMap((value) =>
  value
    .split('\n')
    .filter((line) => line.includes('canary') || line.startsWith('Y2Fu'))
    .flatMap((line) => {
      const base64 = [0, 1, 2].map((n) =>
        Buffer.from('x'.repeat(n) + line)
          .toString('base64')
          .slice(n === 0 ? 0 : n + 1, 30),
      );
      const url = encodeURIComponent(line);
      const lower = url.replace(/%../g, (code) => code.toLowerCase());
      return [
        line,
        url,
        lower,
        lower.replaceAll('%20', '+'),
        Buffer.from(line).toString('hex'),
        ...base64,
        line.slice(0, 18),
      ];
    }),
);
const traced = (text: string) => traces.filter((trace) => text.includes(trace));

beforeAll(async () => {
  const folder = newFolder();
  const at = (...path: string[]) => join(folder, ...path);
  mkdirSync(at('data'));
  const build = `
    const secrets = ['PASSWORD', 'API_KEY', 'PRIVATE_KEY'].map((name) => process.env[name]);
    console.log('env has', Object.keys(process.env).filter((name) => /DATABASE|TEMPORAL_|CANARY/.test(name)).join() || 'nothing of the service');
    for (const value of secrets) {
      console.log('plain ' + value); console.error('plain ' + value);
      console.log(JSON.stringify({ value })); console.log(encodeURIComponent(value)); console.log(encodeURIComponent(value).replace(/%../g, (c) => c.toLowerCase()).replaceAll('%20', '+'));
      console.log(Buffer.from(value).toString('hex'));
      for (const before of ['', 'a', 'ab', 'user:']) {
        const encoded = Buffer.from(before + value + '@host').toString('base64');
        console.log(encoded); console.log(encoded.match(/.{1,76}/g).join('\\n')); console.log(Buffer.from(before + value).toString('base64url'));
      }
      process.stdout.write('z'.repeat(16_380) + value + 'z'.repeat(20_000) + '\\n');
    }
    require('fs').mkdirSync('dist'); require('fs').writeFileSync('dist/index.html', 'fine');
    const [first] = secrets; let at = 0;
    const drip = () => { if (at < first.length) { process.stdout.write(first[at++]); setTimeout(drip, 2); } else { console.log(); if (require('fs').existsSync('fail')) throw new Error('failed with ' + first); } };
    drip();`;
  const { write, commit } = await makeRepository(at('repo'));
  write('build.js', build);
  await commit('one', 'one');
  write('fail', '');
  await commit('fails', 'fails');
  // A site that tells everything it knows when it is asked how it is.
  site = createServer((_request, response) =>
    response.writeHead(503, { 'x-secret': 'canary' }).end(`sick: ${Object.values(canaries).join(' ')}`),
  );
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const { port } = site.address() as { port: number };
  writeFileSync(at('private-key'), `${canaries.PRIVATE_KEY}\n`);
  const target = (name: string, more = '') => `  ${name}:
    repository: repo
    build: { argv: ["${process.execPath}", build.js] }
    driver: { kind: directory, root: ${name}${more} }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:${port}/", successes: 1, requestTimeoutMs: 30000, deadlineSeconds: 1 }
    secrets: { PASSWORD: { env: CANARY_PASSWORD }, API_KEY: { env: CANARY_KEY }, PRIVATE_KEY: { file: private-key } }
`;
  writeFileSync(
    at('signalbox.config.yaml'),
    `targets:\n${target('tell')}${target('missing', `, reload: { argv: ["/no/${canaries.API_KEY}"] }`)}`,
  );
  up = await startUp({
    args: ['--no-sample', '--config', at('signalbox.config.yaml')],
    env: { CANARY_PASSWORD: canaries.PASSWORD, CANARY_KEY: canaries.API_KEY },
  });
});
afterAll(async () => {
  await cleanUp();
  await new Promise((done) => site.close(done));
});

it('is given the secrets, and tells them in every way it can, well and when it fails', async () => {
  for (const [n, [target, revision]] of [
    ['tell', 'one'],
    ['tell', 'fails'],
    ['missing', 'one'],
  ].entries()) {
    const key = `CP-${n + 1}`;
    expect((await cli(up, 'ship', target!, revision!, '--title', marker)).code).toBe(0);
    expect((await cli(up, 'approve', key)).code).toBe(0);
    const deployed = await cli(up, 'deploy', key, '--wait');
    expect([key, deployed.code]).toEqual([key, n === 2 ? 4 : 3]);
    const watched = n === 2 ? { out: '', err: '' } : await cli(up, 'watch', key);
    texts.push([`command line of ${key}`, deployed.out + deployed.err + watched.out + watched.err]);
  }
  const log = texts.find(([, text]) => text.includes('[secret PASSWORD]'));
  // It did get them, and nothing of the control plane's.
  for (const name of Object.keys(canaries)) expect(log![1]).toContain(`plain [secret ${name}]`);
  expect(log![1]).toContain('env has nothing of the service');
});

it('the API and the page', async () => {
  const { api, tokens, page: address, signIn } = up.endpoints();
  const read = async (path: string, accept = 'application/json') => {
    const headers = { authorization: `Bearer ${tokens.sre}`, accept };
    const text = await (await fetch(`${api}${path}`, { headers })).text();
    texts.push([`GET ${path}`, text]);
    return text;
  };
  const attempts = ['CP-1.1', 'CP-2.1', 'CP-3.1'];
  for (const key of attempts) {
    expect(await read(`/deployments/${key}`)).toContain(key);
    expect((await read(`/deployments/${key}/log?limit=5000`)).length).toBeGreaterThan(1_000);
    await read(`/deployments/${key}/log?limit=5000`, 'text/plain');
  }
  expect(await read('/promotions')).toContain(marker);
  for (const path of ['/targets', '/audit?limit=200', '/change-requests']) await read(path);
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(signIn);
    await page.getByLabel('You are').waitFor();
    for (const key of ['CP-1', 'CP-2', 'CP-3']) {
      await page.goto(`${address}promotions/${key}`);
      await page.getByRole('heading', { name: `${key} · ${marker}` }).waitFor();
      await page.getByText('[secret').locator('visible=true').first().waitFor();
      texts.push([`page of ${key}`, await page.content()]);
    }
  } finally {
    await browser.close();
  }
});

it('every table of PostgreSQL, and every history of Temporal', async () => {
  const client = new pg.Client({ connectionString: up.endpoints().databaseOwnerUrl });
  await client.connect();
  const { rows: tables } = await client.query<{ name: string }>(
    "SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public'",
  );
  let lines = 0;
  for (const { name } of tables) {
    const { rows } = await client.query<{ row: string }>(`SELECT to_json(t)::text AS row FROM ${name} t`);
    lines += rows.length;
    // As it is, and as what the JSON says.
    texts.push([
      `table ${name}`,
      rows.map(({ row }) => `${row}\n${Object.values(JSON.parse(row)).join('\n')}`).join('\n'),
    ]);
  }
  await client.end();
  expect(lines).toBeGreaterThan(200);
  expect(texts.some(([name, text]) => name === 'table promotions' && text.includes(marker))).toBe(true);
  for (const id of ['deploy/CP-1/1', 'deploy/CP-2/1', 'deploy/CP-3/1', 'rfc/RFC-1/1']) {
    const args = [
      'workflow',
      'show',
      '--workflow-id',
      id,
      '-o',
      'json',
      '--address',
      up.endpoints().temporalAddress,
    ];
    const { stdout } = await run(process.env.TEST_TEMPORAL!, args, { maxBuffer: 64 << 20 });
    const decoded = [...stdout.matchAll(/"data": "([^"]+)"/g)].map(([, data]) =>
      Buffer.from(data!, 'base64').toString(),
    );
    texts.push([`history ${id}`, stdout + decoded.join('\n')]);
  }
  expect(texts.find(([name]) => name === 'history deploy/CP-2/1')![1]).toContain('build failed');
});

it('every file of the state directory, the databases of Temporal and PostgreSQL among them', async () => {
  const { tokens, databaseUrl } = up.endpoints();
  const keys = JSON.parse(readFileSync(join(up.state, 'signing-keys.json'), 'utf8')) as {
    keys: { secret: string }[];
  };
  await stopUp(up);
  texts.push(['output of up', up.output()]);
  const own: Record<string, string[]> = {
    [tokens.sre]: ['tokens.json'],
    [new URL(databaseUrl).password]: ['postgres-service-password'],
    [keys.keys[0]!.secret]: ['signing-keys.json'],
  };
  let files = 0;
  let seen = { temporal: false, postgres: false };
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile() && statSync(path).size > 0) {
        const name = relative(up.state, path);
        const bytes = readFileSync(path);
        files += 1;
        const has = (text: string) => bytes.includes(text) || bytes.includes(Buffer.from(text, 'utf16le'));
        for (const trace of traces) if (has(trace)) texts.push([`file ${name}`, trace]);
        // Signalbox's own secrets lie where they belong and nowhere else.
        for (const [secret, places] of Object.entries(own))
          if (has(secret) && !places.includes(name)) throw new Error(`a secret of Signalbox lies in ${name}`);
        if (has(marker))
          seen = {
            temporal: seen.temporal || /temporal/.test(name),
            postgres: seen.postgres || /^postgres/.test(name),
          };
      }
    }
  };
  walk(up.state);
  // Had a canary been there, it would have been found: what is no secret was.
  expect(seen).toEqual({ temporal: true, postgres: true });
  expect(files).toBeGreaterThan(100);
});

it('nowhere is one of them', async () => {
  await until('all sinks to be read', () => texts.length > 30);
  const found = texts.flatMap(([name, text]) => traced(text).map((trace) => `${name}: ${trace}`));
  expect(found).toEqual([]);
  expect(traced(`x${canaries.API_KEY}x`).length).toBeGreaterThan(0);
});
