import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packCanonical } from '../../activities/archive';
import type { TargetConfig } from '../../domain/config';
import { serveWorld, tokenOf, type Served } from '../helpers/api';
import { runProgram } from '../helpers/up';
import { makeWorld, type World } from '../helpers/world';

/** What is live is taken into the record by the API and by the CLI, on each kind of target; or refused, with what to do. */
let world: World;
let api: Served;
const digest = 'a'.repeat(64);
beforeAll(async () => {
  world = await makeWorld({ targets: ['folder', 'hand', 'command', 'far'] });
  const { far, command } = Object.fromEntries(world.targets);
  const hook = { argv: ['true'], timeoutSeconds: 60 };
  const observe = { argv: ['cat', join(world.root('command'), 'live')], timeoutSeconds: 60 };
  const driver = {
    kind: 'command' as const,
    keepReleases: 5,
    root: world.root('command'),
    swap: hook,
    restore: hook,
    observe,
  };
  const others: TargetConfig[] = [
    { ...far!, runner: { lostAfterSeconds: 60 } },
    { ...command!, driver },
  ];
  world.targets = new Map([...world.targets, ...others.map((other) => [other.name, other] as const)]);
  api = await serveWorld(world);
  for (const name of ['folder', 'hand', 'command']) mkdirSync(world.root(name), { recursive: true });
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

/** A release that another tool made, live. */
function moved(target: string): void {
  const folder = join(world.folder, 'elsewhere', target);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'version.txt'), 'v0\n');
  symlinkSync(folder, join(world.root(target), 'current'));
}
const runs = (what: string) => writeFileSync(join(world.root('command'), 'live'), `${what}\n`);
const byApi = (target: string, body: object = { reason: 'it moved here' }) =>
  api.post('sre', `/api/targets/${target}/adopt`, body);
const byCli = (...args: string[]) =>
  runProgram(['adopt', ...args], { env: { SIGNALBOX_URL: api.base, SIGNALBOX_TOKEN: tokenOf('sre') } });
const audited = async (target: string) =>
  (await world.db('audit').where({ action: 'target.adopted', subject: target })).length;

it('a folder, by the API: packed into a release, and shown', async () => {
  moved('folder');
  const { status, body } = await byApi('folder');
  expect([status, body.observed]).toEqual([
    200,
    expect.objectContaining({ what: `release ${world.current('folder')!.slice(0, 12)}` }),
  ]);
  expect(world.version('folder')).toBe('v0');
});

it('a folder, by the CLI, which says what runs there; without a reason it is told to give one', async () => {
  moved('hand');
  const silent = await byCli('hand');
  expect([silent.code, silent.err]).toEqual([2, expect.stringContaining('--reason')]);
  expect(await audited('hand')).toBe(0);
  const { code, out } = await byCli('hand', '--reason', 'it moved here');
  expect([code, out]).toEqual([0, `hand runs release ${world.current('hand')!.slice(0, 12)}.\n`]);
  expect(await audited('hand')).toBe(1);
});

it.each([
  [
    'what is no release',
    () => runs('blue 7'),
    /command runs blue 7\. Take it out of service, or let driver\.observe/,
  ],
  [
    'a release that is not there',
    () => runs(digest),
    /is not unpacked below .*restore could not bring it back/,
  ],
])(
  'a target with commands is refused where restore could not bring it back: %s',
  async (_what, arrange, why) => {
    arrange();
    const { status, body } = await byApi('command');
    expect([status, body.code, body.detail]).toEqual([409, 'illegal-transition', expect.stringMatching(why)]);
    const { code, err } = await byCli('command', '--reason', 'it moved here');
    expect([code, err]).toEqual([1, expect.stringMatching(why)]);
    expect(await audited('command')).toBe(0);
  },
);

it('and is recorded where it can', async () => {
  const releases = join(world.root('command'), 'releases');
  mkdirSync(join(releases, 'fresh'), { recursive: true });
  writeFileSync(join(releases, 'fresh', 'version.txt'), 'v0\n');
  const { sha256 } = await packCanonical(join(releases, 'fresh'), join(world.folder, 'fresh.tar'));
  renameSync(join(releases, 'fresh'), join(releases, sha256));
  runs(sha256);
  const { status, body } = await byApi('command');
  expect([status, body.observed?.what]).toEqual([200, `release ${sha256.slice(0, 12)}`]);
  expect(await audited('command')).toBe(1);

  // Under the name of a release there is something else, and no archive.
  mkdirSync(join(releases, digest));
  runs(digest);
  const refused = await byApi('command');
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    expect.stringMatching(/was changed since it was unpacked.*Put its archive back there/),
  ]);
  expect(await audited('command')).toBe(1);
});

it('a target with runners is refused, with what to do', async () => {
  const why = /far has runners, and what is live on their host cannot be adopted from here\. Deploy over it/;
  const { status, body } = await byApi('far');
  expect([status, body.detail]).toEqual([409, expect.stringMatching(why)]);
  const { code, err } = await byCli('far', '--reason', 'r');
  expect([code, err]).toEqual([1, expect.stringMatching(why)]);
});

it('a target that is not there is not found', async () => {
  expect((await byApi('nowhere')).status).toBe(404);
  expect((await byCli('nowhere', '--reason', 'r')).code).toBe(1);
});
