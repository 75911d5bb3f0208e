import { connectOwner } from '../../db/connect';
import { makeWorld, type World } from '../helpers/world';
import { serveWorld, tokenOf, type Served } from '../helpers/api';

/** The event stream: everyone watching hears the same, and hears when something may have been missed. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

async function watch() {
  const stop = new AbortController();
  const response = await fetch(`${api.base}/api/events`, {
    headers: { authorization: `Bearer ${tokenOf('sre')}` },
    signal: stop.signal,
  });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const seen: string[] = [];
  void (async () => {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body!) {
      rest += decoder.decode(chunk as Uint8Array, { stream: true });
      const parts = rest.split('\n\n');
      rest = parts.pop()!;
      for (const part of parts) {
        const event = /^event: ?(.*)$/m.exec(part)?.[1];
        const data = /^data: ?(.*)$/m.exec(part)?.[1];
        if (event) seen.push(`${event} ${data}`);
      }
    }
  })().catch(() => undefined);
  return { seen, stop: () => stop.abort() };
}

it('needs a token', async () => {
  expect((await fetch(`${api.base}/api/events`)).status).toBe(401);
});

it('two watchers hear the same changes, in the same order, with key and version', async () => {
  const [a, b] = await Promise.all([watch(), watch()]);
  await world.until('both to begin', () => [a, b].every(({ seen }) => seen.includes('reset {}')));
  const d = await world.deploy('v1');
  const last = `change {"entity":"change-request","key":"RFC-${d.promotion}"`;
  await world.until('the end', () =>
    [a, b].every(({ seen }) => seen.filter((text) => text.startsWith(last)).length >= 4),
  );
  // Who came before the announcements began was told once more to read everything.
  const heard = ({ seen }: { seen: string[] }) => seen.filter((text) => text.startsWith('change'));
  await world.until('the same', () => heard(a).length === heard(b).length);
  expect(heard(a)).toEqual(heard(b));
  const changes = heard(a).map((text) => JSON.parse(text.slice(7)));
  for (const entity of ['promotion', 'change-request', 'deployment', 'log', 'target'])
    expect(changes.map((change) => change.entity)).toContain(entity);
  const versions = changes.filter(({ entity }) => entity === 'promotion').map(({ version }) => version);
  expect(versions).toEqual([...versions].sort((x, y) => x - y));
  const { version } = (await api.get(`/api/promotions/CP-${d.promotion}`)).body;
  expect(versions.at(-1)).toBe(version);
  a.stop();
  b.stop();
});

it('says reset when the announcements of the database were interrupted, and goes on', async () => {
  const w = await watch();
  await world.until('it to begin', () => w.seen.includes('reset {}'));
  const admin = connectOwner(process.env.TEST_POSTGRES!);
  const database = new URL(world.databaseUrl).pathname.slice(1);
  await admin.raw(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND application_name = 'signalbox-changes'",
    [database],
  );
  await admin.destroy();
  await world.until('the reset', () => w.seen.filter((text) => text === 'reset {}').length === 2);
  await api.post('contributor', '/api/promotions', { target: 'shop', revision: 'v1', title: 'after' });
  await world.until('the change', () => w.seen.at(-1)?.includes('RFC-'));
  w.stop();
});
