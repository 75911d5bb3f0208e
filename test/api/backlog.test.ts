import { join } from 'node:path';
import type { ItemView } from '../../domain/backlog/schemas';
import { git } from '../../activities/git';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** The backlog through the API, up to what is deployed. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'kiosk'], extra: 'itemsDoneWhenDeployed: true' });
  world.targets = new Map(
    [...world.targets].map(([name, target]) => [
      name,
      name === 'kiosk' ? { ...target, itemsDoneWhenDeployed: false } : target,
    ]),
  );
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const items = '/api/backlog-items';
async function add(fields: object = {}): Promise<ItemView> {
  const { status, body } = await api.post('contributor', items, { title: 'an item', ...fields });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body;
}
const read = async (key: string): Promise<ItemView & { descriptionHtml: string }> =>
  (await api.get(`${items}/${key}`)).body;
const patch = (key: string, body: object, headers?: Record<string, string>) =>
  api.patch('contributor', `${items}/${key}`, body, headers);
const block = (key: string, body: object) =>
  api.post('contributor', `${items}/${key}/blockers`, { reason: 'r', ...body });
const list = async (query: string): Promise<string[]> =>
  (await api.get(`${items}?limit=200&${query}`)).body.items.map(({ key }: ItemView) => key);
const codeOf = ({ status, body }: { status: number; body: any }) => [status, body.code];

describe('an item', () => {
  it('keeps what it is told, and its history says who and why', async () => {
    const { body: epic } = await api.post('contributor', '/api/epics', { title: 'Checkout', owner: 'olga' });
    const item = await add({
      title: 'Pay by card',
      description: 'See **this**. <script>alert(1)</script>',
      priority: 'high',
      epic: epic.key,
      owner: 'omar',
      dueDate: '2026-12-24',
      labels: ['web', 'web', 'pay'],
    });
    expect(item).toMatchObject({
      status: 'open',
      priority: 'high',
      epic: epic.key,
      labels: ['web', 'pay'],
      blocked: false,
      promotions: [],
      cycleTimeMs: null,
      version: 1,
    });
    expect((await read(item.key)).descriptionHtml).toBe(
      '<p>See <strong>this</strong>. &lt;script&gt;alert(1)&lt;/script&gt;</p>\n',
    );
    await patch(item.key, { status: 'in-progress' });
    await patch(item.key, { status: 'deferred', reason: 'after the holidays' });
    await patch(item.key, { owner: null, labels: [] });
    const { items: history } = (await api.get(`/api/audit?subject=${item.key}`)).body;
    expect(
      history.map((e: any) => [e.action, e.actor, e.why, e.before, { ...e.after, rank: undefined }]),
    ).toEqual([
      [
        'backlog-item.changed',
        'carla',
        null,
        { owner: 'omar', labels: ['web', 'pay'] },
        { owner: null, labels: [], version: 4 },
      ],
      [
        'backlog-item.deferred',
        'carla',
        'after the holidays',
        { status: 'in-progress' },
        { status: 'deferred', version: 3 },
      ],
      ['backlog-item.in-progress', 'carla', null, { status: 'open' }, { status: 'in-progress', version: 2 }],
      [
        'backlog-item.created',
        'carla',
        null,
        null,
        expect.objectContaining({ title: 'Pay by card', version: 1 }),
      ],
    ]);
  });

  it('needs a reason to be deferred and reopened, and obeys its table', async () => {
    const { key } = await add();
    const deferred = await patch(key, { status: 'deferred' });
    expect(codeOf(deferred)).toEqual([400, 'invalid-input']);
    expect(deferred.body.detail).toBe(`To defer ${key}, say why: reason. It stays in its history.`);
    expect((await patch(key, { status: 'deferred', reason: 'later' })).status).toBe(200);
    const done = await patch(key, { status: 'done' });
    expect(codeOf(done)).toEqual([409, 'illegal-transition']);
    expect(done.body.detail).toBe(`${key} is deferred; it can become open or in-progress, not done.`);
    await patch(key, { status: 'open' });
    await patch(key, { status: 'done' });
    expect(codeOf(await patch(key, { status: 'open' }))).toEqual([400, 'invalid-input']);
    expect((await patch(key, { status: 'open', reason: 'not done after all' })).body.doneAt).toBeNull();
  });

  it('is changed at the version that was looked at, or the answer says what changed since', async () => {
    const { key } = await add({ title: 'as it was' });
    await patch(key, { title: 'as it is', priority: 'low' });
    await patch(key, { owner: 'olga' });
    const stale = await patch(key, { title: 'mine' }, { 'if-match': '"1"' });
    expect(codeOf(stale)).toEqual([412, 'stale-version']);
    expect(stale.body.detail).toBe(
      `${key} is at version 3 by now, not 1: carla changed title, priority, owner. Look again.`,
    );
    expect(stale.body.changes).toMatchObject([
      {
        version: 2,
        by: 'carla',
        before: { title: 'as it was' },
        after: { title: 'as it is', priority: 'low' },
      },
      { version: 3, by: 'carla', before: { owner: null }, after: { owner: 'olga' } },
    ]);
    expect((await read(key)).title).toBe('as it is');
    expect((await patch(key, { title: 'mine' }, { 'if-match': '"3"' })).body).toMatchObject({
      title: 'mine',
      version: 4,
    });
    // Nothing changes, so nothing is written.
    expect((await patch(key, { title: 'mine' })).body.version).toBe(4);
  });

  it('is made once under an Idempotency-Key, and ten at once are ten', async () => {
    const once = () => api.post('contributor', items, { title: 'once' }, { 'idempotency-key': 'an-item' });
    const made = await Promise.all([once(), once(), once()]);
    expect(new Set(made.map(({ body }) => body.key)).size).toBe(1);
    const ten = await Promise.all(Array.from({ length: 10 }, () => add()));
    expect(new Set(ten.map(({ key }) => key)).size).toBe(10);
    expect(new Set(ten.map(({ rank }) => rank)).size).toBe(10);
  });

  it('goes away when nothing carries it, and frees who waited for it', async () => {
    const [waits, goes] = [await add(), await add()];
    await block(waits.key, { blockedBy: goes.key });
    expect((await api.remove('contributor', `${items}/${goes.key}`, { 'if-match': '"9"' })).status).toBe(412);
    expect((await api.remove('contributor', `${items}/${goes.key}`)).status).toBe(200);
    expect(codeOf(await api.get(`${items}/${goes.key}`))).toEqual([404, 'not-found']);
    expect(codeOf(await patch(goes.key, { title: 'x' }))).toEqual([404, 'not-found']);
    expect(await read(waits.key)).toMatchObject({
      blocked: false,
      blockers: [{ blockedBy: goes.key, resolution: `${goes.key} was removed from the backlog` }],
    });
  });
});

describe('the list', () => {
  let keys: string[];
  let epic: string;
  beforeAll(async () => {
    epic = (await api.post('contributor', '/api/epics', { title: 'Lists', targetDate: '2020-01-01' })).body
      .key;
    const made = [
      await add({
        epic,
        title: 'Invoices are printed',
        labels: ['a', 'b'],
        dueDate: '2020-01-01',
        owner: 'lena',
      }),
      await add({
        epic,
        title: 'Cart',
        description: 'The printer of invoices jams.',
        labels: ['a'],
        priority: 'critical',
      }),
      await add({ epic, title: 'Refunds', owner: 'luca', dueDate: '2999-01-01' }),
      await add({ epic, title: 'Receipts', owner: 'lena', status: 'in-progress', priority: 'low' }),
    ];
    keys = made.map(({ key }) => key);
    await block(keys[2]!, {});
  });
  const named = (found: string[]) => found.map((key) => keys.indexOf(key));

  it.each([
    ['', [0, 1, 2, 3]],
    ['status=in-progress', [3]],
    ['status=open&status=in-progress', [0, 1, 2, 3]],
    ['priority=critical', [1]],
    ['owner=lena', [0, 3]],
    ['owner=none', [1]],
    ['owner=none&owner=luca', [1, 2]],
    ['blocked=true', [2]],
    ['blocked=false', [0, 1, 3]],
    ['overdue=true', [0]],
    ['overdue=false', [1, 2, 3]],
    ['dueBefore=2026-01-01', [0]],
    ['label=a', [0, 1]],
    ['label=a&label=b', [0]],
    ['q=invoice', [0, 1]],
    ['q=printing+invoices', [0]],
    ['q=invo', [0, 1]],
    ['q=re', [2, 3]],
    ['q=LEN', [0, 3]],
    ['q=invoice+len', [0]],
    ['q=the+invoices+are', [0]],
    ['q=cart+or+refu', [1, 2]],
    ['q=receipts+%27%5C%3A*%26%21%28', [3]],
    ['q=-invoices', [2, 3]],
    ['q=%22jams+nothing%22', []],
    ['owner=lena&status=open&label=b&q=print&overdue=true&blocked=false&priority=medium', [0]],
    ['sort=priority', [1, 0, 2, 3]],
    ['sort=due', [0, 2, 1, 3]],
    ['sort=updated', [3, 2, 1, 0]],
  ])('?%s', async (query, expected) => {
    expect(named(await list(`epic=${epic}&${query}`))).toEqual(expected);
    if (!query.startsWith('sort'))
      expect((await api.get(`${items}/totals?epic=${epic}&${query}`)).body.total).toBe(expected.length);
  });

  it('finds an item by its key, and epics by what their items make of them', async () => {
    expect(await list(`q=${keys[0]!.toLowerCase()}`)).toEqual([keys[0]]);
    expect((await api.get(`/api/epics?status=in-progress`)).body.items).toMatchObject([
      { key: epic, overdue: true, progress: { total: 4, overdue: 1, blocked: 1, percent: 0 } },
    ]);
    expect((await api.get(`${items}/totals?epic=${epic}`)).body).toEqual({
      total: 4,
      byStatus: { open: 3, 'in-progress': 1, deferred: 0, done: 0 },
      byPriority: { critical: 1, high: 0, medium: 2, low: 1 },
      blocked: 1,
      overdue: 1,
    });
  });

  it('goes on behind a cursor, and refuses one of another list', async () => {
    const first = (await api.get(`${items}?epic=${epic}&limit=3`)).body;
    expect(named(first.items.map(({ key }: ItemView) => key))).toEqual([0, 1, 2]);
    const rest = (await api.get(`${items}?epic=${epic}&limit=3&cursor=${first.nextCursor}`)).body;
    expect([named(rest.items.map(({ key }: ItemView) => key)), rest.nextCursor]).toEqual([[3], null]);
    const skipped = (await api.get(`${items}?epic=${epic}&limit=2&skip=1`)).body;
    expect(named(skipped.items.map(({ key }: ItemView) => key))).toEqual([1, 2]);
    expect(await list(`epic=${epic}&skip=9`)).toEqual([]);
    for (const bad of [
      'skip=-1',
      'skip=1e9',
      `sort=due&cursor=${first.nextCursor}`,
      `cursor=${Buffer.from('["due","2026-02-31",1,0]').toString('base64url')}&sort=due`,
      `cursor=${Buffer.from('["rank","\'; --",1,0]').toString('base64url')}`,
      `cursor=${Buffer.from('["rank","a0",1e99,0]').toString('base64url')}`,
      'cursor=bm9uc2Vuc2U',
      'status=doing',
      'owner=',
      'epic=x',
      'dueBefore=soon',
      'blocked=yes',
      'sort=title',
    ])
      expect([bad, codeOf(await api.get(`${items}?${bad}`))]).toEqual([bad, [400, 'invalid-input']]);
  });

  it('is moved by one request, before or after another item', async () => {
    const rank = (key: string, place: object) => api.post('contributor', `${items}/${key}/rank`, place);
    await rank(keys[3]!, { before: keys[0] });
    expect(named(await list(`epic=${epic}`))).toEqual([3, 0, 1, 2]);
    const { body } = await rank(keys[3]!, { after: keys[1] });
    expect(named(await list(`epic=${epic}`))).toEqual([0, 1, 3, 2]);
    // It is there already: nothing is written.
    expect((await rank(keys[3]!, { after: keys[1] })).body.version).toBe(body.version);
    expect(codeOf(await rank(keys[3]!, { after: keys[3] }))).toEqual([400, 'invalid-input']);
    expect(codeOf(await rank(keys[3]!, { after: 'ITEM-99999' }))).toEqual([400, 'invalid-input']);
    expect(codeOf(await rank('ITEM-99999', { after: keys[3] }))).toEqual([404, 'not-found']);
    expect(codeOf(await rank(keys[3]!, { after: keys[0], before: keys[1] }))).toEqual([400, 'invalid-input']);
    const { items: history } = (await api.get(`/api/audit?subject=${keys[3]}&action=backlog-item.ranked`))
      .body;
    expect(history[0].why).toBe(`after ${keys[1]}`);
  });

  it('an epic with items stays', async () => {
    const refused = await api.remove('contributor', `/api/epics/${epic}`);
    expect(codeOf(refused)).toEqual([422, 'still-used']);
    expect(refused.body.detail).toBe(`${epic} has 4 items; move them to another epic first.`);
    const { body } = await api.post('contributor', '/api/epics', { title: 'empty' });
    expect(
      (await api.patch('contributor', `/api/epics/${body.key}`, { outcome: 'o' }, { 'if-match': '"1"' }))
        .status,
    ).toBe(200);
    const stale = await api.patch(
      'contributor',
      `/api/epics/${body.key}`,
      { title: 'x' },
      { 'if-match': '"1"' },
    );
    expect([stale.status, stale.body.changes[0].after]).toEqual([412, { outcome: 'o' }]);
    expect((await api.remove('contributor', `/api/epics/${body.key}`)).status).toBe(200);
    expect((await api.get(`/api/epics/${body.key}`)).status).toBe(404);
    const gone = await api.post('contributor', items, { title: 't', epic: body.key });
    expect([gone.status, gone.body.detail]).toEqual([400, `epic: there is no ${body.key}.`]);
  });
});

describe('limits', () => {
  const put = (limits: object[], headers?: Record<string, string>) =>
    api.call('admin', 'PUT', '/api/wip-limits', { limits, reason: 'focus' }, headers);
  afterAll(() => put([]));

  it('are set as a whole, at the version that was looked at', async () => {
    const { version } = (await api.get('/api/wip-limits')).body;
    const set = await put([{ scope: 'owner:wanda', limit: 1 }], { 'if-match': `"${version}"` });
    expect(set.body).toMatchObject({
      version: version + 1,
      limits: [{ scope: 'owner:wanda', inProgress: 0 }],
    });
    expect(codeOf(await put([], { 'if-match': `"${version}"` }))).toEqual([412, 'stale-version']);
    for (const limits of [
      [{ scope: 'team', limit: 1 }],
      [{ scope: 'board', limit: -1 }],
      [
        { scope: 'board', limit: 1 },
        { scope: 'board', limit: 2 },
      ],
      [{ scope: 'epic:EPIC-9999', limit: 1 }],
    ])
      expect(codeOf(await put(limits))).toEqual([400, 'invalid-input']);
  });

  it('refuse what begins over them, and say who holds the places', async () => {
    const first = await add({ owner: 'wanda', status: 'in-progress' });
    const second = await add({ owner: 'wanda' });
    const refused = await patch(second.key, { status: 'in-progress' });
    expect(codeOf(refused)).toEqual([422, 'wip-limit']);
    expect(refused.body).toMatchObject({
      scope: 'owner:wanda',
      limit: 1,
      inProgress: 1,
      holders: [{ item: first.key, title: 'an item', owner: 'wanda' }],
    });
    expect((await read(second.key)).status).toBe('open');
    const created = await api.post('contributor', items, {
      title: 'new',
      owner: 'wanda',
      status: 'in-progress',
    });
    expect(created.body.detail).toContain('"new" can not be in progress: wanda may have 1');
    await patch(first.key, { status: 'done' });
    expect((await patch(second.key, { status: 'in-progress' })).status).toBe(200);
    await put([{ scope: 'owner:wanda', limit: 0 }]);
    expect((await api.get('/api/wip-limits')).body.limits).toMatchObject([
      { limit: 0, inProgress: 1, over: true },
    ]);
    const audit = (await api.get('/api/audit?subject=owner:wanda')).body.items;
    expect(audit[0]).toMatchObject({
      action: 'wip-limit.changed',
      actor: 'ada',
      why: 'focus',
      before: { limit: 1 },
      after: { limit: 0 },
    });
  });
});

describe('several items', () => {
  it('are changed together or not at all', async () => {
    const [a, b] = [await add({ labels: ['x'] }), await add({ labels: ['y'] })];
    const bulk = (body: object) => api.post('contributor', `${items}/bulk`, body);
    const both = [{ key: a.key }, { key: b.key, version: 1 }];
    const { body } = await bulk({
      items: both,
      set: { owner: 'bella', addLabels: ['z'], removeLabels: ['x'] },
    });
    expect(body.items).toMatchObject([
      { key: a.key, owner: 'bella', labels: ['z'] },
      { key: b.key, owner: 'bella', labels: ['y', 'z'] },
    ]);
    expect(codeOf(await bulk({ items: both, set: { priority: 'low' } }))).toEqual([412, 'stale-version']);
    await block(b.key, {});
    const refused = await bulk({ items: [{ key: a.key }, { key: b.key }], set: { status: 'done' } });
    expect([codeOf(refused), refused.body.detail]).toEqual([
      [422, 'blocked'],
      expect.stringContaining(b.key),
    ]);
    expect(
      codeOf(await bulk({ items: [{ key: a.key }, { key: 'ITEM-99999' }], set: { status: 'done' } })),
    ).toEqual([404, 'not-found']);
    expect([(await read(a.key)).status, (await read(a.key)).priority]).toEqual(['open', 'medium']);
  });

  const bring = (content: string, more: object = {}) =>
    api.post('contributor', `${items}/import`, { format: 'csv', content, ...more });
  const count = async () => (await api.get(`${items}/totals`)).body.total as number;

  it('are imported, all of them or none, again without doubling; a dry run changes nothing', async () => {
    const file = 'externalId,title,status,owner\nSH-1,One,open,ira\nSH-2,Two,done,ira\n,Three,,\n';
    const before = await count();
    const [{ last_value: number }] = await world.owner('backlog_items_id_seq').select('last_value');
    const dry = await bring(file, { dryRun: true });
    expect(dry.body).toMatchObject({ dryRun: true, created: 3, updated: 0, refused: 0 });
    expect(dry.body.lines[2]).toEqual({
      line: 4,
      action: 'create',
      key: null,
      title: 'Three',
      says: ['has no external id: importing the file again makes it again'],
    });
    expect(await count()).toBe(before);
    expect((await world.owner('backlog_items_id_seq').select('last_value'))[0].last_value).toBe(number);

    const real = await bring(file);
    expect(real.body).toMatchObject({ created: 3, unchanged: 0 });
    const [one, two] = real.body.lines.map(({ key }: { key: string }) => key);
    expect(await read(two)).toMatchObject({ externalId: 'SH-2', status: 'done', owner: 'ira' });
    const again = await bring('externalId,title,status,owner\nSH-1,One,open,ira\nSH-2,Two more,done,\n');
    expect(again.body).toMatchObject({ created: 0, updated: 1, unchanged: 1 });
    expect(again.body.lines[1]).toMatchObject({ key: two, action: 'update', says: ['changes title, owner'] });
    expect(await count()).toBe(before + 3);

    const bad = await bring(
      `externalId,key,title,status,epic\nSH-9,,Nine,,\nSH-9,,Nine,,\n,ITEM-99999,x,,\nSH-2,,Two,deferred,\n,,,,\n,,E,,EPIC-9999\nSH-1,${two},One,,\nSH-1,,,Doing,\n`,
    );
    expect(codeOf(bad)).toEqual([422, 'import-refused']);
    expect(bad.body.detail).toBe(
      '7 of 8 lines are refused, so nothing was imported. Line 3: SH-9 stands on line 2 too.',
    );
    expect(bad.body.lines.map(({ line, says }: any) => [line, says[0]])).toEqual([
      [3, 'SH-9 stands on line 2 too'],
      [4, 'there is no ITEM-99999'],
      [5, `${two} is done; it can become open, not deferred.`],
      [6, 'title: a new item needs one'],
      [7, 'epic: there is no EPIC-9999.'],
      [8, `external id SH-1 belongs to ${one}`],
      [9, expect.stringContaining('status: found "Doing"')],
    ]);
    expect(await count()).toBe(before + 3);
    expect((await read(one)).title).toBe('One');
  });

  it('limits and blockers count for an import too, line by line', async () => {
    await api.call('admin', 'PUT', '/api/wip-limits', { limits: [{ scope: 'owner:ivo', limit: 1 }] });
    const { key } = await add({ owner: 'ivo' });
    await block(key, { reason: 'no plan' });
    const report = await bring(
      `key,title,owner,status\n${key},,ivo,done\n,A,ivo,in-progress\n,B,ivo,in-progress\n`,
      { dryRun: true },
    );
    expect(report.body.lines.map(({ action, says }: any) => [action, says[0]])).toEqual([
      ['refused', `${key} is blocked by "no plan". Resolve it first.`],
      ['create', expect.any(String)],
      [
        'refused',
        '"B" can not be in progress: ivo may have 1 in progress and has 1: "A" (ivo). Finish or defer one of them first, or let an admin raise the limit.',
      ],
    ]);
    await api.call('admin', 'PUT', '/api/wip-limits', { limits: [] });
  });

  it('ten imports of one file at once make its items once', async () => {
    const file = JSON.stringify(
      Array.from({ length: 20 }, (_, n) => ({ externalId: `P-${n}`, title: `p ${n}` })),
    );
    const before = await count();
    const all = await Promise.all(Array.from({ length: 10 }, () => bring(file, { format: 'json' })));
    expect(all.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(all.reduce((sum, { body }) => sum + body.created, 0)).toBe(20);
    expect(await count()).toBe(before + 20);
  });

  it('are exported by the filter, without formulas, and imported again unchanged', async () => {
    const { body: epic } = await api.post('contributor', '/api/epics', { title: 'Export' });
    for (const title of ['=HYPERLINK("http://evil")', '+1', '-1', '@x', "'=1", 'a,"b"', 'plain'])
      await add({ title, epic: epic.key, owner: '=cmd', labels: ['-l'], description: 'two\nlines' });
    const { status, type, text } = await api.get(`${items}/export?epic=${epic.key}`);
    expect([status, type]).toEqual([200, 'text/csv; charset=utf-8']);
    expect(text.split('\n')[0]).toBe(
      'key,externalId,title,status,priority,epic,owner,dueDate,labels,description',
    );
    expect(text).not.toMatch(/(^|,)"?[=+@-]/m);
    const { body } = await bring(text, { dryRun: true });
    expect(body).toMatchObject({ created: 0, updated: 0, unchanged: 7, refused: 0, ignoredColumns: [] });
  });

  it('the export of more than a page has each of them once', async () => {
    const content = `title,owner\n${'many,exporta\n'.repeat(2_500)}`;
    expect((await bring(content)).body.created).toBe(2_500);
    const { text } = await api.get(`${items}/export?owner=exporta`);
    const keys = text
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')[0]);
    expect([keys.length, new Set(keys).size]).toEqual([2_500, 2_500]);
  });
});

it('what is blocked is seen with what frees most', async () => {
  const made: ItemView[] = [];
  for (const title of ['root', 'middle', 'leaf', 'other leaf']) made.push(await add({ title }));
  const [root, middle, leaf, other] = made.map(({ key }) => key) as [string, string, string, string];
  const { body: first } = await block(middle, { blockedBy: root, reason: 'schema' });
  expect(first).toMatchObject({
    item: middle,
    kind: 'item',
    blockedBy: root,
    raisedBy: 'carla',
    resolvedAt: null,
  });
  await block(leaf, { blockedBy: middle });
  await block(other, { blockedBy: middle });
  const { body: outside } = await block(other, { reason: 'legal' });
  const { items: blocked, roots } = (await api.get('/api/blockers?limit=200')).body;
  expect(blocked.find(({ id }: any) => id === first.id)).toMatchObject({
    title: 'middle',
    blockedForMs: expect.any(Number),
  });
  expect(roots.find((r: any) => r.item === root)).toEqual({
    item: root,
    blocker: null,
    title: 'root',
    owner: null,
    frees: [middle, leaf],
    holds: expect.arrayContaining([middle, leaf, other]),
  });
  expect(roots.find((r: any) => r.blocker === outside.id)).toMatchObject({
    item: null,
    title: 'legal',
    frees: [],
    holds: [other],
  });
  const cycle = await block(root, { blockedBy: leaf });
  expect([codeOf(cycle), cycle.body.cycle]).toEqual([
    [422, 'blocker-cycle'],
    [root, leaf, middle, root],
  ]);
  const resolve = (id: number) =>
    api.post('contributor', `/api/blockers/${id}/resolve`, { resolution: 'agreed' });
  expect((await resolve(outside.id)).body).toMatchObject({ resolution: 'agreed', resolvedBy: 'carla' });
  expect(codeOf(await resolve(outside.id))).toEqual([409, 'illegal-transition']);
  expect(codeOf(await resolve(99_999))).toEqual([404, 'not-found']);
  const pages: number[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body }: { body: any } = await api.get(`/api/blockers?limit=1${cursor && `&cursor=${cursor}`}`);
    pages.push(...body.items.map(({ id }: any) => id));
    cursor = body.nextCursor;
  }
  expect(pages).toEqual([...pages].sort((a, b) => a - b));
  expect(pages).toContain(first.id);
});

describe('what is shipped', () => {
  const ship = (more: object = {}) =>
    api.post('contributor', '/api/promotions', {
      target: 'shop',
      revision: 'v1',
      title: 'a change',
      submit: true,
      ...more,
    });
  async function deploy(key: string, verb = 'deploy') {
    if (verb === 'deploy')
      await api.post('approver', `/api/change-requests/${key.replace('CP', 'RFC')}/decisions`, {
        decision: 'approve',
      });
    const started = await api.post('release-manager', `/api/promotions/${key}/${verb}`);
    if (started.status !== 202) return started;
    await world.until('its end', async () => {
      const { status } = (await api.get(`/api/deployments/${started.body.key}`)).body;
      return status === 'succeeded' || status === 'rolled-back';
    });
    return started;
  }

  it('carries the items that are given and those that its commits mention', async () => {
    const [given, mentioned] = [await add(), await add()];
    const repository = join(world.folder, 'repository');
    const as = ['-c', 'user.name=t', '-c', 'user.email=t@localhost', '-c', 'commit.gpgsign=false'];
    await git([
      '-C',
      repository,
      ...as,
      'commit',
      '--quiet',
      '--allow-empty',
      '-m',
      `${mentioned.key}: pay, as ITEM-987654 says`,
    ]);
    await git(['-C', repository, 'tag', 'mentions']);
    const { body } = await ship({ revision: 'mentions', backlogItems: [given.key], submit: false });
    expect(body.backlogItems).toEqual([given.key, mentioned.key]);
    expect((await read(given.key)).promotions).toEqual([
      { key: body.key, target: 'shop', title: 'a change', status: 'pending', attempt: null },
    ]);
    const unknown = await ship({ backlogItems: ['ITEM-987654'] });
    expect([codeOf(unknown), unknown.body.detail]).toEqual([
      [400, 'invalid-input'],
      'backlogItems: there is no ITEM-987654 in the backlog.',
    ]);
    const removed = await api.remove('contributor', `${items}/${given.key}`);
    expect([codeOf(removed), removed.body.promotion]).toEqual([[422, 'still-used'], body.key]);
  });

  it('is found, and so is its request, by the beginnings of words, as they are now', async () => {
    const { key: item } = await add({ title: 'Payments by giro' });
    const { body } = await ship({ title: 'Paymaster', submit: false, backlogItems: [item] });
    const request = body.key.replace('CP', 'RFC');
    const found = async (q: string) => [
      (await api.get(`/api/promotions?q=${q}`)).body.items.map(({ key }: any) => key),
      (await api.get(`/api/change-requests?q=${q}`)).body.items.map(({ key }: any) => key),
    ];
    const both = [[body.key], [request]];
    for (const q of ['paym', body.key.toLowerCase(), request, `paymas+${item}`, 'paymaster+-kiosk'])
      expect([q, await found(q)]).toEqual([q, both]);
    expect(await found('paymaster+kiosk')).toEqual([[], []]);
    const changed = await api.patch('contributor', `/api/change-requests/${request}`, {
      description: 'The quarrel about the *ledger*.',
    });
    expect(changed.status).toBe(200);
    expect(await found('quarr+ledg')).toEqual(both);
  });

  it('is refused with a blocked item: shipped, submitted, edited, deployed', async () => {
    const [item, blocker] = [await add(), await add()];
    const { body: draft } = await ship({ backlogItems: [item.key], submit: false });
    const { body: link } = await block(item.key, { blockedBy: blocker.key, reason: 'needs its API' });
    expect((await api.get(`/api/promotions/${draft.key}`)).body.blocked).toBe(
      `${item.key} is blocked by ${blocker.key} (needs its API)`,
    );
    const says = `${item.key} is blocked by ${blocker.key} (needs its API). Nothing that carries a blocked item is shipped: resolve what blocks it first.`;
    const refused = async (answer: Promise<{ status: number; body: any }>) => {
      const { status, body } = await answer;
      expect([status, body.code, body.detail]).toEqual([422, 'blocked', says]);
      expect(body.blockers).toEqual([{ item: item.key, blockedBy: blocker.key, reason: 'needs its API' }]);
    };
    await refused(ship({ backlogItems: [item.key] }));
    const rfc = `/api/change-requests/${draft.changeRequest}`;
    await refused(api.post('contributor', `${rfc}/submit`));
    const { body: another } = await ship({ submit: false });
    await refused(
      api.patch('contributor', `/api/change-requests/${another.changeRequest}`, { backlogItems: [item.key] }),
    );
    await api.post('contributor', `/api/blockers/${link.id}/resolve`, { resolution: 'there' });
    expect((await api.post('contributor', `${rfc}/submit`)).status).toBe(200);
    await block(item.key, { blockedBy: blocker.key, reason: 'needs its API' });
    await refused(deploy(draft.key));
    expect((await api.get(`/api/promotions/${draft.key}`)).body).toMatchObject({
      status: 'approved',
      deployments: [],
    });
    await patch(blocker.key, { status: 'done' });
    expect((await deploy(draft.key)).status).toBe(202);
  });

  it('is refused at admission when the blocker comes after the click', async () => {
    const item = await add();
    const { body } = await ship({ backlogItems: [item.key] });
    await api.post('approver', `/api/change-requests/${body.changeRequest}/decisions`, {
      decision: 'approve',
    });
    await block(item.key, { reason: 'legal' });
    // Past the click: the workflow asks once more.
    const { handle, row } = await world.start(Number(body.key.slice(3)));
    await handle.result();
    expect(await row()).toMatchObject({ status: 'refused', outcome_code: 'blocked' });
  });

  it('moves its items to done where the target says so, and back when it is rolled back', async () => {
    const made: ItemView[] = [];
    for (const fields of [{ status: 'in-progress' }, {}, {}, {}]) made.push(await add(fields));
    const [started, open, deferred, blocked] = made.map(({ key }) => key) as [string, string, string, string];
    await patch(deferred, { status: 'deferred', reason: 'later' });
    const waits = await add();
    await block(waits.key, { blockedBy: open });
    const { body } = await ship({ revision: 'v2', backlogItems: [started, open, deferred, blocked] });
    // Raised while it was being deployed: that item is left alone.
    world.faults.healthCheck = async (run) => {
      await block(blocked, { reason: 'found late' });
      return run();
    };
    await deploy(body.key);
    world.faults = {};
    expect(await read(started)).toMatchObject({
      status: 'done',
      deliveredBy: body.key,
      runsOn: ['shop'],
      promotions: [{ key: body.key, status: 'deployed', attempt: 'succeeded' }],
      cycleTimeMs: expect.any(Number),
      leadTimeMs: expect.any(Number),
    });
    expect(await read(open)).toMatchObject({
      status: 'done',
      cycleTimeMs: null,
      leadTimeMs: expect.any(Number),
    });
    expect(await read(deferred)).toMatchObject({ status: 'deferred', runsOn: ['shop'] });
    expect(await read(blocked)).toMatchObject({ status: 'open', runsOn: ['shop'] });
    expect(await read(waits.key)).toMatchObject({ blocked: false });
    const historyOf = async (key: string) => (await api.get(`/api/audit?subject=${key}`)).body.items;
    expect((await historyOf(started))[0]).toMatchObject({
      actor: 'signalbox',
      why: `${body.key} is deployed to shop`,
    });

    // Reopened and done again by hand since: not the deployment's any more.
    await patch(open, { status: 'open', reason: 'more to do' });
    await patch(open, { status: 'done' });
    await deploy(body.key, 'rollback');
    expect(await read(started)).toMatchObject({
      status: 'open',
      deliveredBy: null,
      doneAt: null,
      runsOn: [],
    });
    expect((await historyOf(started))[0]).toMatchObject({
      action: 'backlog-item.open',
      why: `${body.key} was rolled back from shop`,
    });
    expect(await read(open)).toMatchObject({ status: 'done', runsOn: [] });
  });

  it('leaves them alone where the target says nothing', async () => {
    const item = await add();
    const { body } = await ship({ target: 'kiosk', backlogItems: [item.key] });
    await deploy(body.key);
    expect(await read(item.key)).toMatchObject({ status: 'open', runsOn: ['kiosk'] });
  });
});

it('the OpenAPI document has lists and bulk routes with their parameters', async () => {
  const { paths } = (await api.get('/api/openapi.json')).body;
  const names = (path: string, method: string) => paths[path][method].parameters.map(({ name }: any) => name);
  expect(names('/api/backlog-items', 'get')).toEqual(
    expect.arrayContaining([
      'epic',
      'status',
      'priority',
      'owner',
      'blocked',
      'overdue',
      'dueBefore',
      'label',
      'q',
      'sort',
      'limit',
      'cursor',
    ]),
  );
  expect(names('/api/backlog-items/{key}', 'patch')).toEqual(
    expect.arrayContaining(['key', 'If-Match', 'Idempotency-Key']),
  );
  expect(names('/api/wip-limits', 'put')).toContain('If-Match');
  for (const path of ['bulk', 'import'])
    expect(
      paths[`/api/backlog-items/${path}`].post.requestBody.content['application/json'].schema,
    ).toBeDefined();
  expect(Object.keys(paths['/api/backlog-items/export'].get.responses['200'].content)).toEqual(['text/csv']);
});
