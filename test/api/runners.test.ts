import { apiRoutes } from '../../api/app';
import { openApiDocument } from '../../api/openapi';
import { boundTo, buildRecipe } from '../../db/digest';
import { noteWorker } from '../../db/sandboxes';
import { serveWorld, type Served } from '../helpers/api';
import { createEdges, type Schema } from '../helpers/edges';
import { makeWorld, type World } from '../helpers/world';

/** What a runner may say to the API, and what it may not: its token is good for the steps of its own target alone. */
let world: World;
let api: Served;
let token: string;
let deployment: number;
let other: number;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'kiosk'] });
  world.targets = new Map(
    [...world.targets].map(([name, target]) => [name, { ...target, runner: { lostAfterSeconds: 60 } }]),
  );
  api = await serveWorld(world);
  const made = await api.post('admin', '/api/tokens', {
    person: 'runner-of-shop',
    roles: ['runner:shop'],
    expiresAt: null,
  });
  token = made.body.token as string;
  // Both wait for a runner; there is none.
  deployment = await running('shop');
  other = await running('kiosk');
});
afterAll(async () => {
  for (const id of [deployment, other]) {
    const { owner } = await world.db('deployments').where({ id }).first();
    await world.client.workflow.getHandle(owner).cancel();
    // Steps that no workflow ordered were done in it: it is taken away, to be recovered.
    await world.client.workflow
      .getHandle(owner)
      .result()
      .catch(() => undefined);
  }
  await api.stop();
  await world.stop();
});

async function running(target: string): Promise<number> {
  const started = await world.start(await world.approved('v1', target));
  // Its plan is the last that is written of it before a runner comes.
  const row = await world.until('it to wait for a runner', async () => {
    const found = await started.row();
    return found?.status === 'running' && found.plan !== null ? found : undefined;
  });
  return row.id;
}
const say = (what: string, body: unknown, target = 'shop') =>
  api.call(undefined, 'POST', `/api/runners/${target}/${what}`, body, { authorization: `Bearer ${token}` });
const digest = 'a'.repeat(64);
const ownerOf = async (id: number) => (await world.db('deployments').where({ id }).first()).owner as string;
const tryOf = async (id: number, more: object = {}) => ({
  deployment: id,
  step: 'build',
  owner: await ownerOf(id),
  round: 1,
  attempt: 1,
  during: ['running'],
  ...more,
});
const everything = async () =>
  JSON.stringify([
    await world.db('deployments').orderBy('id'),
    await world.db('deployment_steps').orderBy('ordinal'),
    await world.db('deployment_log').orderBy(['deployment', 'seq']),
    await world.db('builds'),
    await world.db('backups'),
    await world.db('runners'),
  ]);

it('refuses what has not the form of it, and changes nothing', async () => {
  const good = await tryOf(deployment);
  const before = await everything();
  for (const [what, body] of [
    ['begin', { try: good }],
    ['begin', { try: { ...good, step: 'swap; rm' }, recipe: digest }],
    ['begin', { try: { ...good, during: ['queued'] }, recipe: digest }],
    ['begin', { try: { ...good, round: 0 }, recipe: digest }],
    ['begin', { try: good, recipe: 'short' }],
    ['begin', { try: good, recipe: digest, surprise: 1 }],
    ['begin', { try: { ...good, attempt: 2 ** 31 }, recipe: digest }],
    ['begin', { try: { ...good, scheduled: 2 ** 53 }, recipe: digest }],
    ['fence', { try: good, held: { fence: 2 ** 53 - 1, by: null } }],
    ['trouble', { try: good, met: { cause: 'c', message: 'm', nextTryMs: 2 ** 53 - 1 } }],
    ['lines', { try: good, lines: [{ at: '0000-01-01T00:00:00Z', stream: 'out', text: 'x' }] }],
    ['claim', { deployment: 2 ** 31, owner: 'o', runner: 'r' }],
    ['fence', {}],
    ['permit', { try: good, what: 'build', recipe: digest }],
    ['lines', { try: good, lines: [{ at: 'now', stream: 'out', text: 'x' }] }],
    ['lines', { try: good, lines: [{ at: '2026-01-01T00:00:00Z', stream: 'stdout', text: 'x' }] }],
    ['finish', { try: good, to: 'running', detail: '' }],
    ['finish', { try: good, to: 'done', detail: '', made: { kind: 'release', release: '../../etc' } }],
    ['hello', { id: '', host: 'h', version: '1', startedAt: '2026-01-01T00:00:00Z' }],
    ['claim', { deployment: 'x', owner: 'o', runner: 'r' }],
    ['claim', '"text"'],
  ] as [string, unknown][])
    expect([what, (await say(what, body)).status]).toEqual([what, 400]);
  expect(await everything()).toBe(before);
});

it('refuses what is of another target, by the way and by the number', async () => {
  const before = await everything();
  const foreign = await tryOf(other);
  for (const [what, body] of [
    ['claim', { deployment: other, owner: foreign.owner, runner: 'r' }],
    ['begin', { try: foreign, recipe: digest }],
    ['fence', { try: foreign }],
    ['permit', { try: foreign, what: 'swap', recipe: digest }],
    ['lines', { try: foreign, lines: [{ at: '2026-01-01T00:00:00Z', stream: 'out', text: 'x' }] }],
    ['finish', { try: foreign, to: 'done', detail: 'd' }],
    ['fence', { try: { ...foreign, deployment: 999 } }],
  ] as [string, object][]) {
    expect([what, (await say(what, body, 'kiosk')).body.code]).toEqual([what, 'role-required']);
    expect([what, (await say(what, body)).body.code]).toEqual([what, 'role-required']);
  }
  expect(await everything()).toBe(before);
});

it('takes the steps of a deployment that is its own, once each, by the newest try', async () => {
  const owner = await ownerOf(deployment);
  const hello = { id: 'r1', host: 'h', version: '0.1.0', startedAt: '2026-01-01T00:00:00Z' };
  expect((await say('hello', hello)).status).toBe(200);
  expect((await say('claim', { deployment, owner, runner: 'r1' })).body).toEqual({ value: true });
  expect((await say('claim', { deployment, owner: 'recover/x', runner: 'r1' })).body).toEqual({
    value: false,
  });

  const first = await tryOf(deployment);
  const begun = (await say('begin', { try: first, recipe: digest })).body.value;
  expect(begun).toMatchObject({ trigger: 'deploy', release: null, before: null, built: null });
  const line = { at: '2026-01-01T00:00:00Z', stream: 'out', text: 'building' };
  // What a program printed cannot be said again, so that it is kept as far as a database can.
  const odd = { ...line, text: 'a\0b \ud800' };
  expect((await say('lines', { try: first, lines: [line, odd] })).status).toBe(200);
  const kept = await world.db('deployment_log').where({ deployment }).orderBy('seq').pluck('text');
  expect(kept).toEqual(['building', 'a\u2400b \ufffd']);
  const fence = (await say('fence', { try: first })).body.value;
  expect(fence).toBeGreaterThan(0);

  // A newer try has the step: the older one gets neither a number nor its end.
  const second = await tryOf(deployment, { attempt: 2 });
  await say('begin', { try: second, recipe: digest });
  expect((await say('begin', { try: first, recipe: digest })).body).toEqual({ value: null });
  expect((await say('finish', { try: first, to: 'done', detail: 'late' })).body).toEqual({ value: false });
  const made = {
    kind: 'release',
    release: digest,
    build: { recipe: digest, bytes: 1, startedAt: line.at, finishedAt: line.at },
  };
  expect((await say('finish', { try: second, to: 'done', detail: 'built', made })).body).toEqual({
    value: true,
  });
  const row = await world.db('deployments').where({ id: deployment }).first();
  expect(row).toMatchObject({ to_release: digest, runner: 'r1', log_seq: 3 });
  // A step follows from those before it, as they are recorded.
  for (const step of ['backup', 'migrate']) {
    const own = await tryOf(deployment, { step });
    await say('begin', { try: own, recipe: digest });
    expect((await say('finish', { try: own, to: 'done', detail: 'done' })).body).toEqual({ value: true });
  }
  // How it was built is not how it was approved.
  const swap = await tryOf(deployment, { step: 'swap' });
  await say('begin', { try: swap, recipe: digest });
  expect((await say('permit', { try: swap, what: 'swap', recipe: digest })).body.value).toMatchObject({
    type: 'ApprovalVoid',
    message: expect.stringContaining('how shop is deployed was changed'),
  });
});

it('an approval binds to how the runner acts by the file on its host', async () => {
  const [one, other] = ['1'.repeat(64), '2'.repeat(64)];
  const hello = (acts?: string) =>
    say('hello', { id: 'r1', host: 'h', version: '0.1.0', startedAt: '2026-01-01T00:00:00Z', acts });
  await hello(one);
  const shipped = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'bound',
    submit: true,
  });
  const rfc = `/api/change-requests/${shipped.body.changeRequest}`;
  const approve = () => api.post('approver', `${rfc}/decisions`, { decision: 'approve' });
  const request = async () => (await api.get(rfc)).body;
  expect((await approve()).body.status).toBe('approved');
  await hello(one);
  expect((await request()).status).toBe('approved');
  await hello(other);
  expect(await request()).toMatchObject({
    status: 'submitted',
    outcome: expect.stringMatching(
      /how shop is deployed was changed in the targets file, here or where its runner is; this voids the approval of amir/,
    ),
  });
  expect((await approve()).body.status).toBe('approved');

  // What it says is asked once more when it is about to act.
  const { promotion } = await world.db('deployments').where({ id: deployment }).first();
  const target = world.targets.get('shop')!;
  await world.owner.transaction(async (tx) => {
    // Past the trigger that voids what was given to something else.
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await tx('change_requests')
      .where({ id: promotion })
      .update(boundTo(target, [one]));
  });
  const swap = await tryOf(deployment, { step: 'swap', attempt: 2 });
  await say('begin', { try: swap, recipe: digest });
  const permit = async (acts?: string) =>
    (await say('permit', { try: swap, what: 'swap', recipe: buildRecipe(target), acts })).body.value;
  expect(await permit(one)).toBeNull();
  expect(await permit(other)).toMatchObject({
    type: 'ApprovalVoid',
    message: expect.stringContaining('here or where its runner is'),
  });
});

it('says of each target what the hosts that do its steps keep builds in', async () => {
  const shown = async (target: string) => (await api.get(`/api/targets/${target}`)).body.sandboxes;
  const none = { kind: 'none', said: 'Builds run WITHOUT a sandbox.' };
  await noteWorker(world.db, { host: 'of-workers', sandbox: { kind: 'user', said: 'Builds run in one.' } });
  await noteWorker(world.db, { host: 'gone', sandbox: { kind: 'user', said: 'Builds ran in one.' } });
  await world
    .db('workers')
    .where({ host: 'gone' })
    .update({ seen_at: new Date(Date.now() - 600_000) });
  // A runner of the version before does not say it.
  expect(await shown('shop')).toEqual([]);
  const hello = { id: 'r1', host: 'h', version: '0.1.0', startedAt: '2026-01-01T00:00:00Z', sandbox: none };
  expect((await say('hello', { ...hello, sandbox: { ...none, kind: 'some' } })).status).toBe(400);
  expect((await say('hello', hello)).status).toBe(200);
  expect([await shown('shop'), await shown('kiosk')]).toEqual([[{ host: 'h', ...none }], []]);
  const declared = world.targets;
  world.targets = new Map([...declared].map(([name, target]) => [name, { ...target, runner: undefined }]));
  expect(await shown('shop')).toEqual([{ host: 'of-workers', kind: 'user', said: 'Builds run in one.' }]);
  world.targets = declared;
});

it('does not greet a runner of a target that has none declared', async () => {
  const declared = world.targets;
  world.targets = new Map([...declared].map(([name, target]) => [name, { ...target, runner: undefined }]));
  const hello = { id: 'r1', host: 'h', version: '0.1.0', startedAt: '2026-01-01T00:00:00Z' };
  expect((await say('hello', hello)).status).toBe(404);
  world.targets = declared;
});

it('takes values of the edge in every field of what a runner says in its open step, and keeps what is fit', async () => {
  const document = openApiDocument(apiRoutes({} as never)) as any;
  const { usual, leaves, edgesOf, withEdge } = createEdges(document.components.schemas, 1);
  const broken: string[] = [];
  const taken = new Map<string, number>();
  let round = 10;
  let sent = 0;
  for (const [path, { post }] of Object.entries<any>(document.paths)) {
    const what = /\/runners\/\{target\}\/(.+)$/.exec(path)?.[1];
    if (!what) continue;
    const schema = post.requestBody.content['application/json'].schema as Schema;
    for (const leaf of leaves(schema))
      for (const edge of edgesOf(leaf)) {
        // Each time a newer try, which has the step: what is said reaches all that is behind.
        const open = await tryOf(deployment, { step: 'build', round: ++round });
        await say('begin', { try: open, recipe: digest });
        const body = withEdge(schema, usual(schema), leaf.path, edge) as Record<string, any>;
        if (body.try) {
          const field = leaf.path[0] === 'try' ? { [leaf.path[1]!]: body.try[leaf.path[1]!] } : {};
          body.try = { ...open, ...field };
        }
        if ('deployment' in body && leaf.path[0] !== 'deployment') body.deployment = deployment;
        if ('owner' in body && leaf.path[0] !== 'owner') body.owner = open.owner;
        const { status, text } = await say(what, body);
        sent += 1;
        if (status >= 500) broken.push(`${what} ${leaf.path.join('.')} ${JSON.stringify(edge)}: ${text}`);
        if (status === 200) taken.set(what, (taken.get(what) ?? 0) + 1);
      }
  }
  console.log(`edges of runners: ${sent} sent, taken ${JSON.stringify([...taken])}`);
  expect(broken).toEqual([]);
  // They came as far as the record, and what programs print is kept there.
  for (const what of ['lines', 'finish', 'trouble', 'begin', 'hello'])
    expect([what, taken.get(what)! > 3]).toEqual([what, true]);
  expect(await world.db('deployment_log').where('text', 'like', '%a\u2400b%').first()).toBeDefined();
});

it('does its own open steps, and nothing else', async () => {
  const authorization = `Bearer ${token}`;
  for (const path of ['/api/events', '/metrics', '/api/promotions', '/api/deployments/CP-1.1/log'])
    expect([path, (await api.call(undefined, 'GET', path, undefined, { authorization })).status]).toEqual([
      path,
      403,
    ]);
  const before = await everything();
  const lines = [{ at: '2026-01-01T00:00:00Z', stream: 'out', text: 'late' }];
  // The step is done; and one that was never begun.
  for (const step of ['build', 'health-check']) {
    const own = await tryOf(deployment, { step, attempt: 2 });
    expect((await say('lines', { try: own, lines })).status).toBe(200);
    await say('trouble', { try: own, met: { cause: 'unexpected', message: 'x', nextTryMs: 1 } });
  }
  // Workers do the steps of a target that has no runners.
  const declared = world.targets;
  world.targets = new Map([...declared].map(([name, target]) => [name, { ...target, runner: undefined }]));
  const own = await tryOf(deployment, { step: 'swap', attempt: 3 });
  for (const [what, body] of [
    ['begin', { try: own, recipe: digest }],
    ['finish', { try: own, to: 'done', detail: 'd' }],
    ['claim', { deployment, owner: own.owner, runner: 'r2' }],
  ] as [string, object][])
    expect([what, (await say(what, body)).status]).toEqual([what, what === 'claim' ? 404 : 403]);
  world.targets = declared;
  expect(await everything()).toBe(before);
});
