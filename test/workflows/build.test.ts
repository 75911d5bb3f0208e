import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { git } from '../../activities/git';
import { hostileBuild, type Attempts } from '../helpers/hostile';
import { hasSandbox, hidesFromHooks } from '../helpers/sandboxes';
import { makeWorld, type World } from '../helpers/world';

/** What a build leaves and what it must not: releases by content, provenance, secrets. */
let world: World;
const secret = 'correct horse battery';
beforeAll(async () => {
  process.env.TEST_SECRET = secret;
  world = await makeWorld({
    targets: ['shop', 'depot'],
    extra: 'secrets: { API_KEY: { env: TEST_SECRET } }',
  });
});
afterAll(() => world.stop());

it('builds once for the same commit and recipe; provenance stands beside the archive', async () => {
  const first = await (await world.deploy('v1')).row();
  const second = await (await world.deploy('v1')).row();
  expect(second.to_release).toBe(first.to_release);
  const detail = async (id: number) =>
    (await world.db('deployment_steps').where({ deployment: id, name: 'build' }).first()).detail;
  expect(await detail(first.id)).not.toContain('reused');
  expect(await detail(second.id)).toContain('reused');
  expect(await world.db('builds')).toHaveLength(1);
  const archive = join(world.folder, 'state', 'artifacts', 'shop', `${first.to_release}.tar`);
  expect(existsSync(archive)).toBe(true);
  expect(JSON.parse(readFileSync(archive.replace('.tar', '.json'), 'utf8'))).toMatchObject({
    release: first.to_release,
    commit: expect.stringMatching(/^[0-9a-f]{40}$/),
    recipe: expect.any(String),
    builder: expect.any(String),
    startedAt: expect.any(String),
    finishedAt: expect.any(String),
    deployment: 'CP-1.1',
  });
});

it('builds anew when the archive was altered', async () => {
  const { to_release: release } = (await world.db('deployments').orderBy('id').first()) as {
    to_release: string;
  };
  const archive = join(world.folder, 'state', 'artifacts', 'shop', `${release}.tar`);
  writeFileSync(archive, 'not what it was');
  const again = await (await world.deploy('v1')).row();
  expect(again).toMatchObject({ status: 'succeeded', to_release: release });
});

it('an output folder that is a link out of the repository does not become a release', async () => {
  const d = await world.deploy('escapes');
  const row = await d.row();
  expect(row).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('"dist" is a link that leaves the repository'),
  });
  expect(row.to_release).toBeNull();
});

it('keeps secrets out of log, steps and workflow history', async () => {
  const build = world.targets.get('shop')!.build;
  build.argv = [
    process.execPath,
    '-e',
    `const k = process.env.API_KEY; process.stdout.write('plain ' + k.slice(0, 5)); setTimeout(() => { console.log(k.slice(5)); console.error(Buffer.from(k).toString('base64'), encodeURIComponent(k)); process.exit(3) }, 100)`,
  ];
  const d = await world.deploy('v2');
  const row = await d.row();
  expect(row.status).toBe('rolled-back');
  const lines = await world.log(row);
  const redacted = lines.filter((l) => l.text.includes('[secret API_KEY]'));
  // What the build wrote, and the verdict, which ends with its last errors.
  expect(redacted.map((l) => l.stream)).toEqual(['out', 'err', 'note']);
  expect(row.outcome).toContain('[secret API_KEY]');
  const history = JSON.stringify(await d.handle.fetchHistory());
  const everything = JSON.stringify([lines, row, await world.db('deployment_steps'), history]);
  for (const form of [
    secret,
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    encodeURIComponent(secret),
  ])
    expect(everything).not.toContain(form);
});

it("a submodule out of Signalbox's own folder does not come into a build", async () => {
  const folder = join(world.folder, 'repository');
  const at = (...args: string[]) => git(['-C', folder, ...args]);
  const url = '../state/mirrors/shop.git';
  writeFileSync(join(folder, '.gitmodules'), `[submodule "lib"]\n\tpath = lib\n\turl = ${url}\n`);
  const v1 = (await at('rev-parse', 'v1^{commit}')).trim();
  await at('update-index', '--add', '--cacheinfo', `160000,${v1},lib`);
  await at('add', '.gitmodules');
  await at('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '-m', 'borrows');
  await at('tag', 'borrows');
  await at('reset', '--quiet', '--hard', 'HEAD~1');
  expect(await (await world.deploy('borrows')).row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(
      /Submodule lib of shop comes from .*, which lies in the state directory of Signalbox/,
    ),
  });
});

(hasSandbox ? describe : describe.skip)('a build of a commit that means harm', () => {
  /** @returns what it got, and how the attempt ended. */
  async function tried(asked: Attempts, limits: object = {}) {
    const shop = world.targets.get('shop')!;
    const argv = [process.execPath, '-e', hostileBuild, 'build', JSON.stringify(asked)];
    const mine = {
      ...shop,
      build: { ...shop.build, argv },
      sandbox: { network: true, read: [], write: [], ...limits },
    };
    world.targets = new Map([...world.targets, ['shop', mine as typeof shop]]);
    const row = await (await world.deploy('v3')).row();
    world.targets = new Map([...world.targets, ['shop', shop]]);
    const lines = (await world.log(row)).filter((line) => line.stream === 'out').map((line) => line.text);
    return {
      row,
      got: lines.filter((line) => line.startsWith('got ')),
      whole: lines.includes('tried everything'),
    };
  }

  it('finds no key, no other target, no process of others, and nothing stays of it', async () => {
    const { stateDir } = world.deps;
    const keys = keysIn(stateDir);
    mkdirSync(join(world.root('depot'), 'releases'), { recursive: true });
    writeFileSync(join(world.root('depot'), 'releases', 'kept'), 'of another target');
    const planted = [stateDir, world.root('shop'), world.folder].map((path) => join(path, 'planted'));
    const stay = `600.${process.pid}`;
    const { row, got, whole } = await tried({
      files: [
        ...keys,
        join(world.root('depot'), 'releases', 'kept'),
        join(world.folder, 'depot-data', 'orders.txt'),
        join(homedir(), '.profile'),
        '/etc/shadow',
      ],
      folders: [
        join(stateDir, 'artifacts'),
        join(stateDir, 'backups'),
        world.root('shop'),
        world.root('depot'),
      ],
      pids: [process.pid, process.ppid],
      plant: planted,
      stay,
    });
    const left = running(stay);
    for (const pid of left) process.kill(Number(pid), 'SIGKILL');
    // Of a place of that name in a folder of its own nothing is seen outside.
    expect(got.filter((line) => !line.startsWith('got a place'))).toEqual([]);
    expect(planted.filter((path) => existsSync(path))).toEqual([]);
    expect(whole).toBe(true);
    expect(row.status).toBe('succeeded');
    expect(left).toEqual([]);
  });

  it('is not begun when its target lets it see what is not there', async () => {
    const { row, whole } = await tried({}, { read: ['/nowhere/toolchain'] });
    expect(whole).toBe(false);
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringContaining('/nowhere/toolchain, which is not on this host'),
    });
  });

  it.each([
    ['starts processes without end', { processes: 300 }, { processes: 80 }],
    ['fills the memory', { memoryMiB: 1500 }, { memoryMiB: 1000 }],
    ['fills a file', { fileMiB: 64 }, { fileMiB: 16 }],
  ])('%s, and is stopped by its limits', async (_, asked, limits) => {
    const { got, whole } = await tried(asked, limits);
    expect({ got, whole }).toEqual({ got: [], whole: true });
  });
});

(hidesFromHooks ? it : it.skip)(
  'a hook does not see the state directory, unless its target says so',
  async () => {
    const shop = world.targets.get('shop')!;
    const keys = keysIn(world.deps.stateDir);
    const asked: Attempts = {
      files: keys,
      folders: [join(world.deps.stateDir, 'artifacts')],
      pids: [process.pid],
    };
    const argv = [process.execPath, '-e', hostileBuild, JSON.stringify(asked)];
    const gotBy = async (sandbox?: 'none') => {
      const migrate = { ...shop.migrate!, argv };
      const build = { ...shop.build, argv: [process.execPath, 'build.js'] };
      world.targets = new Map([...world.targets, ['shop', { ...shop, build, migrate, sandbox }]]);
      const row = await (await world.deploy('v1')).row();
      expect(row).toMatchObject({ status: 'succeeded' });
      return (await world.log(row)).map((line) => line.text).filter((text) => text.startsWith('got '));
    };
    // It keeps its user, and everybody may read how a process was started, and signal what is one's own.
    expect(await gotBy()).toEqual([`got /proc/${process.pid}/cmdline`, `got a signal to ${process.pid}`]);
    expect(await gotBy('none')).toEqual(expect.arrayContaining(keys.map((file) => `got ${file}`)));
    world.targets = new Map([...world.targets, ['shop', shop]]);
  },
);

it('where the host has no sandbox nothing is built for a target that demands one', async () => {
  const shop = world.targets.get('shop')!;
  const { sandbox } = world.deps;
  world.targets = new Map([...world.targets, ['shop', { ...shop, requireSandbox: true }]]);
  Object.assign(sandbox, { kind: 'none', said: 'There is none here.' });
  const row = await (await world.deploy('v2')).row();
  expect(row).toMatchObject({ status: 'rolled-back', outcome: expect.stringContaining('nothing was built') });
  expect(row.outcome).toContain('There is none here.');
});

function keysIn(stateDir: string): string[] {
  const names = ['signing-keys.json', 'tokens.json', 'endpoints.json', 'postgres-service-password'];
  const keys = names.map((name) => join(stateDir, name));
  for (const file of keys) writeFileSync(file, 'a key');
  return keys;
}

/** Processes with this among their arguments. */
const running = (argument: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(argument);
      } catch {
        return false;
      }
    });
