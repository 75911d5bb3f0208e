import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { pageStatement } from '../db/backlog/list';
import { connectOwner } from '../db/connect';
import { mintToken } from '../db/tokens';
import type { Sort } from '../domain/backlog/item';
import { filterQuery } from '../domain/backlog/schemas';
import { median, type Result } from './result';
import type { Servers } from './servers';

/**
 * The backlog with 100,000 items in 500 epics: `signalbox api` against Express and pg alone, each in a process of its
 * own, in turns on the same database, sixteen requests at a time.
 */
const parallel = 16;
/** So many that no token comes near its limit of requests. */
const tokens = Array.from({ length: 64 }, (_, n) => `bench-backlog-${n}`);

export async function backlog(servers: Servers, quick: boolean): Promise<Result[]> {
  const items = quick ? 20_000 : 100_000;
  await seed(servers, items);
  for (const value of tokens)
    await mintToken(servers.db, { person: 'carla', grants: ['contributor'] }, { by: 'bench' }, value);
  const ours = await startApi(servers);
  const bare = await startBare(servers);
  try {
    return await measure(servers, quick, items, ours.url, bare.url);
  } finally {
    await ours.stop();
    await bare.stop();
  }
}

async function measure(
  servers: Servers,
  quick: boolean,
  items: number,
  ours: string,
  bare: string,
): Promise<Result[]> {
  const deepPage = quick ? 200 : 1_000;
  const rounds = quick ? 3 : 7;
  const roundMs = quick ? 1_000 : 4_000;
  let deep: string | undefined;
  for (let n = 1; n < deepPage; n++) {
    const page = await send(ours, 'GET', `/backlog-items?limit=50${deep ? `&cursor=${deep}` : ''}`);
    deep = (JSON.parse(page) as { nextCursor: string }).nextCursor;
  }
  const pick = random(items);
  const page = (query: string, sort: Sort = 'rank', cursor?: string): Work => ({
    ours: () => ['GET', `/backlog-items?${query}&sort=${sort}&limit=50${cursor ? `&cursor=${cursor}` : ''}`],
    bare: () => ['POST', '/list', { filter: filterOf(query), sort, cursor }],
    read: { query, sort, cursor },
  });
  const created = () => ({
    title: 'A new item of the backlog',
    owner: `owner-${pick() % 40}`,
    priority: 'high',
  });
  const works: [string, Work][] = [
    ['list, first page', page('')],
    [`list, page ${deepPage}`, page('', 'rank', deep)],
    ['list by epic and status', page('epic=EPIC-77&status=open')],
    ['list by owner, not blocked, due', page('owner=owner-7&blocked=false&dueBefore=2026-12-01', 'priority')],
    ['search for two words', page('q=payment+invoice')],
    [
      'move',
      {
        ours: () => ['POST', `/backlog-items/ITEM-${pick()}/rank`, { after: `ITEM-${pick()}` }],
        bare: () => ['POST', '/move', { id: pick(), after: pick() }],
      },
    ],
    [
      'create',
      { ours: () => ['POST', '/backlog-items', created()], bare: () => ['POST', '/items', created()] },
    ],
  ];

  const results: Result[] = [];
  const rates = new Map<string, number>();
  for (const [what, work] of works) {
    if (work.read) await explain(servers, what, work.read);
    await rate(ours, work.ours, 500);
    await rate(bare, work.bare, 500);
    const pairs: [number, number][] = [];
    for (let n = 0; n < rounds; n++) {
      const first = n % 2 === 0 ? await rate(ours, work.ours, roundMs) : undefined;
      const peer = await rate(bare, work.bare, roundMs);
      pairs.push([first ?? (await rate(ours, work.ours, roundMs)), peer]);
    }
    rates.set(what, median(pairs.map(([own]) => own)));
    results.push({
      what: `backlog: ${what}`,
      ours: `${rates.get(what)!.toFixed(0)}/s`,
      peer: `${median(pairs.map(([, peer]) => peer)).toFixed(0)}/s, Express and pg`,
      value: median(pairs.map(([own, peer]) => own / peer)),
      goal: { least: 0.8 },
    });
  }
  results.push({
    what: `backlog: page ${deepPage} against page 1`,
    ours: `${rates.get(`list, page ${deepPage}`)!.toFixed(0)}/s`,
    peer: `${rates.get('list, first page')!.toFixed(0)}/s, the first page`,
    value: rates.get(`list, page ${deepPage}`)! / rates.get('list, first page')!,
    goal: { least: 0.9 },
  });
  return results;
}

type Asked = [method: string, path: string, body?: object];
interface Work {
  ours(): Asked;
  bare(): Asked;
  read?: { query: string; sort: Sort; cursor?: string };
}
const filterOf = (query: string) => filterQuery.parse(Object.fromEntries(new URLSearchParams(query)));

/** Prints the plan of a page that reads a whole table. */
async function explain({ db }: Servers, what: string, { query, sort, cursor }: NonNullable<Work['read']>) {
  const { text, values } = pageStatement(filterOf(query), sort, 50, cursor);
  const { rows } = await db.raw(`EXPLAIN ${text}`, values as never);
  const plan = (rows as { 'QUERY PLAN': string }[]).map((row) => row['QUERY PLAN']);
  if (plan.some((line) => /Seq Scan on (backlog_items|blockers|change_requests|promotions)/.test(line)))
    console.log(`${what} reads a whole table:\n${plan.join('\n')}`);
  else console.log(`${what}: no sequential scan`);
}

/** Requests per second. */
async function rate(url: string, next: () => Asked, ms: number): Promise<number> {
  const end = performance.now() + ms;
  let done = 0;
  const began = performance.now();
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (performance.now() < end) {
        await send(url, ...next());
        done += 1;
      }
    }),
  );
  return done / ((performance.now() - began) / 1000);
}

const agent = new Agent({ keepAlive: true, maxSockets: parallel });
let turn = 0;
function send(url: string, method: string, path: string, body?: object): Promise<string> {
  const text = body && JSON.stringify(body);
  turn += 1;
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      `${url}${path}`,
      {
        method,
        agent,
        headers: {
          authorization: `Bearer ${tokens[turn % tokens.length]}`,
          ...(text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}),
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const answer = Buffer.concat(parts).toString();
          if (response.statusCode! < 300) resolve(answer);
          else if (answer.includes('beside itself')) resolve(answer);
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${answer.slice(0, 300)}`));
        });
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}

async function startApi({ folder, databaseUrl, ownerUrl, temporalEnv }: Servers) {
  const config = join(folder, 'backlog.yaml');
  writeFileSync(
    config,
    `targets:
  shop:
    repository: ${folder}
    build: { argv: ["true"] }
    driver: { kind: directory, root: "${join(folder, 'shop')}" }
    backup: { kind: files, paths: ["${folder}"] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
`,
  );
  const args = ['api', '--port', '0', '--state', join(folder, 'api-state'), '--config', config];
  const child = spawn(process.execPath, [join(__dirname, '../cli/main.js'), ...args], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      DATABASE_OWNER_URL: ownerUrl,
      ...temporalEnv,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  const address = await new Promise<string>((resolve, reject) => {
    const listen = (chunk: Buffer) => {
      said += chunk.toString();
      const found = /API and page on (http:\/\/[^"\s/]+)/.exec(said)?.[1];
      if (!found) return;
      // From here on its log is only drained: who listened to it would be measured too.
      child.stdout.off('data', listen).resume();
      resolve(found);
    };
    child.stdout.on('data', listen);
    child.once('exit', () => reject(new Error(`the API did not start: ${said}`)));
  });
  return {
    url: `${address}/api`,
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

async function startBare({ databaseUrl }: Servers) {
  const child = fork(join(__dirname, 'peer/bare-backlog.js'), [databaseUrl]);
  const [port] = (await once(child, 'message')) as [number];
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

/** The same numbers each time. */
function random(most: number): () => number {
  let state = 7;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return 1 + (state % most);
  };
}

async function seed({ ownerUrl }: Servers, items: number): Promise<void> {
  const owner = connectOwner(ownerUrl);
  const tables = ['backlog_items', 'epics', 'blockers', 'change_requests', 'promotions'];
  // Neither announced nor audited: only what it makes is measured.
  for (const table of tables) await owner.raw('ALTER TABLE ?? DISABLE TRIGGER USER', [table]);
  await owner.raw(`INSERT INTO epics (title) SELECT 'Epic ' || n FROM generate_series(1, 500) n`);
  await owner.raw(
    `INSERT INTO backlog_items (title, description, status, done_at, priority, epic, owner, due_date, labels)
     SELECT 'Item ' || n || ' about ' || (ARRAY['search', 'payment', 'cart', 'refunds', 'login', 'reports', 'mail'])[1 + n % 7],
            'As a customer I want ' || (ARRAY['an invoice', 'a receipt', 'a reminder', 'a discount', 'an answer'])[1 + n % 5]
              || ' so that I know where I stand, in case ' || md5(n::text) || '.',
            s, CASE WHEN s = 'done' THEN now() END, (ARRAY['critical', 'high', 'medium', 'medium', 'low'])[1 + n % 5],
            1 + n % 500, 'owner-' || n % 40, CASE WHEN n % 3 = 0 THEN date '2026-06-01' + n % 365 END, ARRAY['l' || n % 20, 'team-' || n % 6]
       FROM generate_series(1, ?) n, LATERAL (SELECT (ARRAY['open', 'open', 'open', 'in-progress', 'done', 'done', 'deferred'])[1 + (n / 500) % 7] AS s) AS status`,
    [items],
  );
  await owner.raw(
    `INSERT INTO blockers (item, blocked_by, reason, raised_by) SELECT n * 40, n * 40 + 1, 'waits', 'carla'
       FROM generate_series(1, ?) n JOIN backlog_items i ON i.id = n * 40 AND i.status <> 'done'`,
    [Math.floor(items / 40) - 1],
  );
  await owner.raw(`INSERT INTO targets (name) VALUES ('shop') ON CONFLICT DO NOTHING`);
  await owner.raw(
    `WITH made AS (INSERT INTO promotions (target, title, revision, commit, shipped_by)
       SELECT 'shop', 'Release ' || n, 'v' || n, repeat('0', 40), 'carla' FROM generate_series(1, 2000) n RETURNING id)
     INSERT INTO change_requests (id, type, risk, requester, backlog_items)
       SELECT id, 'normal', 'low', 'carla', ARRAY['ITEM-' || 1 + id * 7 % ?, 'ITEM-' || 1 + id * 13 % ?] FROM made`,
    [items, items],
  );
  for (const table of tables) await owner.raw('ALTER TABLE ?? ENABLE TRIGGER USER', [table]);
  await owner.raw('VACUUM ANALYZE');
  await owner.destroy();
}
