import { readlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { basename, join } from 'node:path';
import { makeWorld, type World } from '../helpers/world';

/** What a health check does not let itself be led to. */
let world: World;
let elsewhere: Server;
let asked = 0;
beforeAll(async () => {
  world = await makeWorld();
  elsewhere = createServer((_request, response) => {
    asked += 1;
    response.end('anything');
  });
  await new Promise<void>((done) => elsewhere.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  await new Promise((done) => elsewhere.close(done));
  await world.stop();
});

it.each([
  ['a redirect', (url: string) => ({ status: 302, headers: { location: url }, body: '' }), /status 302/],
  [
    'a refresh',
    (url: string) => ({ status: 200, headers: { refresh: `0; url=${url}` }, body: '' }),
    /answered 200, but not as/,
  ],
  [
    'a good answer of another release',
    () => ({ status: 200, headers: {}, body: JSON.stringify({ release: '0'.repeat(64) }) }),
    /answered 200, but not as/,
  ],
  [
    'an endless body',
    () => ({ status: 200, headers: {}, body: 'x'.repeat(50_000_000) }),
    /answered 200, but not as|no answer within/,
  ],
])('%s of a target reaches no other server, and is unhealthy', async (_what, answer, told) => {
  const url = `http://127.0.0.1:${(elsewhere.address() as { port: number }).port}/inside`;
  const { status, headers, body } = answer(url);
  const site = createServer((_request, response) => {
    response.on('error', () => undefined);
    response.writeHead(status, headers as Record<string, string>).end(body);
  });
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const shop = world.targets.get('shop')!;
  const before = shop.health.url;
  shop.health.url = `http://127.0.0.1:${(site.address() as { port: number }).port}/`;
  try {
    const d = await world.deploy('v1');
    const row = await d.row();
    expect(row).toMatchObject({ status: 'rolled-back', outcome: expect.stringMatching(told) });
    expect(asked).toBe(0);
  } finally {
    shop.health.url = before;
    site.closeAllConnections();
    await new Promise((done) => site.close(done));
  }
});

it('a site that answers well but slowly is not unhealthy because time was up between two answers', async () => {
  const shop = world.targets.get('shop')!;
  const before = shop.health.url;
  const site = createServer((_request, response) => {
    // Later than the deadline of one second, each time.
    setTimeout(() => response.end(basename(readlinkSync(join(world.root('shop'), 'current')))), 1_200);
  });
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  shop.health.url = `http://127.0.0.1:${(site.address() as { port: number }).port}/`;
  try {
    const d = await world.deploy('v2');
    expect(await d.row()).toMatchObject({ status: 'succeeded' });
  } finally {
    shop.health.url = before;
    site.closeAllConnections();
    await new Promise((done) => site.close(done));
  }
});
