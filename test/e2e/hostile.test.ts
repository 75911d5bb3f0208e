import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { cleanUp, startUp, until, type Up } from '../helpers/up';

/** Clients that mean harm, at the real program: slow ones, many, loud ones; and who can reach it at all. */
let up: Up;
let port: number;
beforeAll(async () => {
  up = await startUp({ args: ['--no-sample'] });
  port = Number(new URL(up.endpoints().page).port);
});
afterAll(cleanUp);

const me = (token: string) =>
  fetch(`${up.endpoints().api}/me`, { headers: { authorization: `Bearer ${token}` } });

/** Sends the beginning and then a byte now and then. @returns after how many ms it was hung up on, and what it said. */
function dripping(beginning: string): Promise<{ ms: number; said: string }> {
  return new Promise((resolve) => {
    const started = Date.now();
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.on('data', (chunk) => (said += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.write(beginning);
    const drip = setInterval(() => socket.write('a'), 500);
    socket.on('close', () => {
      clearInterval(drip);
      resolve({ ms: Date.now() - started, said });
    });
  });
}

it('a client that sends its request drop by drop is let go; others are answered meanwhile', async () => {
  const host = `Host: 127.0.0.1:${port}\r\n`;
  const slow = [
    dripping(`GET /api/me HTTP/1.1\r\n${host}X: `),
    dripping(
      `POST /api/promotions HTTP/1.1\r\n${host}Authorization: Bearer ${up.endpoints().tokens.contributor}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n`,
    ),
  ];
  const idle = Array.from({ length: 300 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  const first = await Promise.race([me(up.endpoints().tokens.sre), ...slow]);
  expect((first as Response).status).toBe(200);
  const [headers, body] = await Promise.all(slow);
  idle.forEach((socket) => socket.destroy());
  // Without limits of ours Node would wait for 60 s, and for 300 s.
  expect(headers!.ms).toBeLessThan(60_000);
  expect(body!.ms).toBeLessThan(200_000);
  for (const { said } of [headers!, body!]) expect(said).toMatch(/^(HTTP\/1\.1 408|$)/);
});

it('guessing tokens is slowed down, and does not stand in the way of who has one', async () => {
  const statuses = new Set<number>();
  const limited = await until('guesses to be limited', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => me(`sb_guess${n}`)));
    for (const { status } of answers) statuses.add(status);
    return answers.find(({ status }) => status === 429);
  });
  expect(statuses).toEqual(new Set([401, 429]));
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await limited.json()).toMatchObject({ code: 'too-many-requests' });
  expect((await me(up.endpoints().tokens.sre)).status).toBe(200);
});

it.each(['', 'api/docs/'])(
  'the page "%s" runs no script but its own, and connects to itself alone',
  async (path) => {
    const response = await fetch(`${up.endpoints().page}${path}`);
    const policy = Object.fromEntries(
      response.headers
        .get('content-security-policy')!
        .split(';')
        .map((part) => part.trim().split(/ (.*)/s, 2) as [string, string]),
    );
    expect(policy).toMatchObject({
      'default-src': "'none'",
      'script-src': "'self'",
      'connect-src': "'self'",
      'frame-ancestors': "'none'",
      'base-uri': "'none'",
    });
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    const html = await response.text();
    expect(html.match(/<script(?![^>]*\ssrc=)[^>]*>/g)).toBeNull();
    expect(html.match(/\s(on\w+)=/g)).toBeNull();
  },
);

const onLinux = process.platform === 'linux' ? it : it.skip;
onLinux('everything it runs listens on loopback alone', () => {
  const { temporalAddress, temporalUi, databaseUrl, site } = up.endpoints();
  const ports = [
    port,
    temporalAddress.split(':')[1],
    new URL(temporalUi!).port,
    new URL(databaseUrl).port,
    new URL(site).port,
  ];
  const listening = ['tcp', 'tcp6']
    .flatMap((file) => readFileSync(`/proc/net/${file}`, 'utf8').trim().split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local]) => local!.split(':') as [string, string])
    .map(([address, hex]) => ({ address, port: Number.parseInt(hex, 16) }));
  const loopback = ['0100007F', '00000000000000000000000001000000'];
  for (const wanted of ports.map(Number)) {
    const found = listening.filter((row) => row.port === wanted);
    expect(found.length).toBeGreaterThan(0);
    for (const { address } of found) expect(loopback).toContain(address);
  }
});
