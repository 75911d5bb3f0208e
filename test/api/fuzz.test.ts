import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import fc from 'fast-check';
import { mintToken } from '../../db/tokens';
import { roles } from '../../domain/machines';
import { createEdges, type Schema } from '../helpers/edges';
import { people } from '../helpers/people';
import { serveWorld, type Served } from '../helpers/api';
import { patienceMs } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/**
 * Nonsense of every kind at every route that the OpenAPI document names, by somebody who may do everything; and raw
 * bytes at the port. Nothing may end in a 5xx, and no row may change.
 */
const requestsPerRoute = Number(process.env.FUZZ_REQUESTS ?? 40);
const rawMessages = 400;
/** The same each time, so that what lands has been seen; hunt with FUZZ_SEED=$RANDOM FUZZ_REQUESTS=2000. */
const seed = Number(process.env.FUZZ_SEED ?? 20_261_124);
const token = 'token-of-somebody-who-may-everything';

let world: World;
let api: Served;
let sent = 0;
const statuses = new Map<number, number>();
const broken: string[] = [];
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
  await mintToken(world.db, { person: 'fay', grants: [...roles] }, { by: 'test' }, token);
  await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'there',
    submit: true,
  });
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

/** Everything that is kept, but for when a credential was used and what the audit trail says of refusals. */
async function digestOfRows(): Promise<string> {
  const { rows } = await world.owner.raw(
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
  );
  const hash = createHash('sha256');
  for (const { name } of (rows as { name: string }[]).filter(({ name: table }) => table !== 'audit')) {
    const { rows: kept } = await world.owner.raw(
      "SELECT (to_jsonb(t) - 'last_used_at')::text AS row FROM ?? t ORDER BY 1",
      [name],
    );
    hash.update(name).update(JSON.stringify(kept));
  }
  return hash.digest('hex');
}

let schemas: Record<string, Schema> = {};
/** Values that a schema takes, more or less: what matters is that they come close. */
function like(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.$ref) return like(schemas[schema.$ref.split('/').at(-1)!]!);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map(like));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === 'object')
    return fc.record(
      Object.fromEntries(Object.entries(schema.properties ?? {}).map(([k, s]) => [k, like(s)])),
      {
        requiredKeys: [],
      },
    );
  if (type === 'array') return fc.array(like(schema.items ?? {}), { maxLength: 4 });
  if (type === 'integer' || type === 'number') return fc.oneof(fc.integer(), fc.double());
  if (type === 'boolean') return fc.boolean();
  if (type === 'null') return fc.constant(null);
  return nasty;
}
const nasty: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc.string({ maxLength: 30 }),
  fc.constantFrom(
    ...[
      '',
      ' ',
      '\0',
      '\ud800',
      '../../etc/passwd',
      '-rf',
      '--upload-pack=x',
      "'; DROP TABLE promotions; --",
    ],
    ...[
      '%00',
      '${7*7}',
      '{{7*7}}',
      '<script>',
      '\u001b[2J',
      '__proto__',
      'constructor',
      'NaN',
      '1e999',
      'a'.repeat(5_000),
    ],
    ...['shop', 'v1', 'CP-99999', 'RFC-99999', 'CP-99999.1', '99999', '2030-01-01T00:00:00Z', '9'.repeat(30)],
  ),
);
/** A body with something in it that no schema takes. */
const spoilt = (schema: Schema): fc.Arbitrary<string> =>
  fc.oneof(
    fc.json().filter((text) => text !== '{}'),
    fc.string({ unit: 'binary' }),
    like(schema).map((body) => JSON.stringify({ ...(body as object), surprise: 1 })),
    fc.tuple(like(schema), fc.integer({ min: 0, max: 4_000 })).map(([body, at]) => {
      const text = JSON.stringify(body) ?? '';
      return `${text.slice(0, at % (text.length + 1))}\u0000`;
    }),
    fc.constantFrom(
      '[]',
      'null',
      '0',
      '"x"',
      '',
      '{"__proto__":{"a":1}}',
      '['.repeat(20_000),
      `{"a":"${'x'.repeat(300_000)}"}`,
    ),
  );
/** Path parameters that name nothing that is there. */
const nowhere = nasty.filter(
  (text) => !/^((CP|RFC)-1(\.1)?|\d{1,3}|shop)$/.test(text) && !Object.hasOwn(people, text) && text !== 'fay',
);
const mostly = (usual: string, ...others: string[]) =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
const headers = fc.record(
  {
    'idempotency-key': fc.oneof(fc.constantFrom('', 'a b', 'x'.repeat(300)), fc.uuid()),
    'content-type': mostly(
      'application/json',
      ...['text/plain', 'application/xml', 'multipart/form-data', 'application/json; charset=utf-7', ''],
    ),
    accept: fc.constantFrom('*/*', 'text/plain', 'image/png', ''),
    'if-match': fc.constantFrom('"1"', '*', 'x'),
    'content-encoding': mostly('identity', 'gzip', 'nonsense'),
    'last-event-id': fc.string({ maxLength: 20 }).map((text) => encodeURIComponent(text)),
  },
  { requiredKeys: [] },
);

async function send(method: string, path: string, body: string | undefined, more: Record<string, string>) {
  const stop = AbortSignal.timeout(patienceMs);
  const response = await fetch(`${api.base}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...more },
    redirect: 'manual',
    signal: stop,
    ...(body === undefined || method === 'GET' ? {} : { body }),
  });
  await response.arrayBuffer();
  sent += 1;
  statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
  const said = `${method} ${path} ${body?.slice(0, 200)} ${JSON.stringify(more)} -> ${response.status}`;
  if (response.status >= 500) broken.push(said);
  return { status: response.status, said };
}

it('every route of the document takes nonsense without a 5xx and without a change', async () => {
  const document = (await (await fetch(`${api.base}/api/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { requestBody?: any; parameters?: { name: string; in: string }[] }>>;
    components: { schemas: Record<string, Schema> };
  };
  schemas = document.components.schemas;
  const before = await digestOfRows();
  const done: string[] = [];
  let routes = 0;
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, route] of Object.entries(methods)) {
      routes += 1;
      const body: Schema = route.requestBody?.content['application/json'].schema ?? {};
      const query = (route.parameters ?? [])
        .filter((parameter) => parameter.in === 'query')
        .map(({ name }) => name);
      const cases = fc.record({
        params: fc.array(nowhere, { minLength: 4, maxLength: 4 }),
        body: spoilt(body),
        query: fc.dictionary(fc.constantFrom(...query, 'x', '__proto__'), nasty, { maxKeys: 4 }),
        headers,
      });
      const samples = fc.sample(cases, { numRuns: requestsPerRoute, seed: seed + routes });
      for (const sample of samples) {
        let n = 0;
        const concrete = path.replace(
          /\{\w+\}/g,
          () => encodeURIComponent(sample.params[n++]!.toWellFormed()) || '%20',
        );
        const search = new URLSearchParams(sample.query).toString();
        const { status, said } = await send(
          method.toUpperCase(),
          `${concrete}${search ? `?${search}` : ''}`,
          sample.body,
          sample.headers as Record<string, string>,
        );
        if (method !== 'get' && status < 300) done.push(said);
      }
    }
  expect(routes).toBeGreaterThan(25);
  const changed = (await digestOfRows()) === before ? 0 : 1;
  const seen = [...statuses].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
  console.log(
    `fuzz seed ${seed}: ${sent} requests to ${routes} routes; 5xx: ${broken.length}; tables changed: ${changed}; ${seen.join(', ')}`,
  );
  expect([broken, done, changed]).toEqual([[], [], 0]);
});

it('every field of the document takes values of the edge without a 5xx, and without holding anybody up', async () => {
  const document = (await (await fetch(`${api.base}/api/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { requestBody?: any; parameters?: any[] }>>;
    components: { schemas: Record<string, Schema> };
  };
  schemas = document.components.schemas;
  const { usual, leaves, edgesOf, withEdge } = createEdges(schemas, seed);
  const ended = await world.deploy('v1');
  const { id, owner } = (await ended.row())!;
  await mintToken(
    world.db,
    { person: 'runner-of-shop', grants: ['runner:shop'] },
    { by: 'test' },
    'token-of-runner',
  );
  const named = (path: string) =>
    path.replace(/\{(\w+)\}/g, (_all, name: string) =>
      name === 'target' || path.includes('/targets/')
        ? 'shop'
        : path.includes('/people/')
          ? 'zoe'
          : path.includes('/promotions/')
            ? 'CP-1'
            : path.includes('/change-requests/')
              ? 'RFC-1'
              : path.includes('/deployments/')
                ? 'CP-1.1'
                : path.includes('/backlog-items/')
                  ? 'ITEM-1'
                  : path.includes('/epics/')
                    ? 'EPIC-1'
                    : '1',
    );
  await api.post('contributor', '/api/backlog-items', { title: 'there' });
  await api.post('contributor', '/api/epics', { title: 'there' });
  const before = broken.length;
  let slowest = { took: 0, said: '' };
  let edged = 0;
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, route] of Object.entries(methods)) {
      if (method === 'delete') continue;
      const body: Schema | undefined = route.requestBody?.content['application/json'].schema;
      const runner = path.includes('/runners/');
      const more = {
        'content-type': 'application/json',
        ...(runner ? { authorization: 'Bearer token-of-runner' } : {}),
      };
      const go = async (where: string, sent?: unknown) => {
        const at = performance.now();
        const { said } = await send(
          method.toUpperCase(),
          where,
          sent === undefined ? undefined : JSON.stringify(sent),
          more,
        );
        const took = performance.now() - at;
        if (took > slowest.took) slowest = { took, said };
        edged += 1;
      };
      for (const leaf of body ? leaves(body) : [])
        for (const edge of edgesOf(leaf)) {
          const sample = withEdge(body!, usual(body!), leaf.path, edge) as {
            try?: object;
            deployment?: number;
          };
          if (runner && sample.try && leaf.path[1] !== 'deployment')
            sample.try = { ...sample.try, deployment: id, ...(leaf.path[1] === 'owner' ? {} : { owner }) };
          await go(named(path), sample);
        }
      for (const parameter of (route.parameters ?? []).filter(({ in: where }) => where === 'query'))
        for (const edge of edgesOf({ path: [parameter.name], schema: parameter.schema })) {
          const other = (route.parameters ?? []).filter(
            (p) => p.required && p.in === 'query' && p.name !== parameter.name,
          );
          const query = [...other.map((p) => [p.name, usual(p.schema, p.name)]), [parameter.name, edge]];
          const text = query.map(
            ([name, value]) => `${name}=${encodeURIComponent(String(value).toWellFormed())}`,
          );
          await go(`${named(path)}?${text.join('&')}`);
        }
    }
  console.log(
    `edges: ${edged} requests; 5xx: ${broken.length - before}; the slowest took ${Math.round(slowest.took)} ms: ${slowest.said.slice(0, 200)}`,
  );
  expect(broken.slice(before)).toEqual([]);
  // It hung: nothing that is asked is much.
  expect(slowest.took < 15_000 || slowest).toBe(true);
  expect(edged).toBeGreaterThan(1_000);
});

it('raw bytes at the port end in a 4xx or a closed connection, and the next request is answered', async () => {
  const port = Number(new URL(api.base).port);
  const before = await digestOfRows();
  const line = fc.constantFrom(
    'GET / HTTP/1.1',
    'POST /api/promotions HTTP/1.1',
    'DELETE /api/tokens/99999 HTTP/1.1',
    'GET http://evil.example/ HTTP/1.1',
    'GET /api/../../etc/passwd HTTP/1.1',
    'GET /%c0%ae%c0%ae/ HTTP/1.1',
    'FROB / HTTP/1.1',
    'GET / HTTP/9.9',
    'CONNECT x:1 HTTP/1.1',
  );
  const header = fc.constantFrom(
    'Host: x',
    `Host: 127.0.0.1:${port}`,
    'Transfer-Encoding: chunked',
    'Content-Length: 5',
    'Content-Length: -1',
    'Content-Length: 5\r\nContent-Length: 6',
    'Transfer-Encoding: chunked\r\nContent-Length: 3',
    `X: ${'y'.repeat(20_000)}`,
    'Expect: 100-continue',
    'Upgrade: websocket\r\nConnection: Upgrade',
    'Authorization: Bearer \u0001',
    'Cookie: __Host-signalbox=x; a',
    'no colon',
    `Authorization: Bearer ${token}`,
  );
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(line, fc.array(header, { maxLength: 4 }), fc.uint8Array({ maxLength: 60 }))
      .map(([first, rest, body]) =>
        Buffer.concat([Buffer.from([first, ...rest, '', ''].join('\r\n')), Buffer.from(body)]),
      ),
  );
  const answered: string[] = [];
  for (const bytes of fc.sample(message, { numRuns: rawMessages, seed })) {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      const end = () => {
        socket.destroy();
        resolve(text);
      };
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (/\r\n\r\n/.test(text)) end();
      });
      socket.on('close', end).on('error', end);
      // Half of what is sent is no request yet: nothing comes back, and it is for us to hang up.
      socket.setTimeout(60, end);
      socket.write(bytes);
    });
    const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
    if (status) answered.push(status);
    if (status?.startsWith('5')) broken.push(`${bytes.toString('latin1').slice(0, 300)} -> ${status}`);
  }
  const changed = (await digestOfRows()) === before ? 0 : 1;
  console.log(
    `raw bytes, seed ${seed}: ${rawMessages} messages, ${answered.length} answered; 5xx: ${broken.length}; tables changed: ${changed}`,
  );
  expect([broken, changed]).toEqual([[], 0]);
  expect(answered.length).toBeGreaterThan(20);
  expect((await api.get('/api/me')).status).toBe(200);
});
