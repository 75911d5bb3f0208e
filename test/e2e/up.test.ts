import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  cli,
  elsewhere,
  newFolder,
  processesOf,
  runAlone,
  runProgram,
  startUp,
  stopUp,
  twoPeople,
  until,
  type Up,
} from '../helpers/up';

/** How `signalbox up` behaves when things are not as they should be. */
afterEach(cleanUp);

const deployment = async (up: Up, key: string) => {
  const { out } = await cli(up, 'status', key, '--json');
  return JSON.parse(out) as { status: string; outcome: string };
};
const children = (up: Up) =>
  JSON.parse(readFileSync(join(up.state, 'children.json'), 'utf8')) as { name: string; pid: number }[];

/** @param process as `processesOf` names it. */
const hasOpen = (process: string, file: string) => {
  const folder = `/proc/${Number.parseInt(process, 10)}/fd`;
  return readdirSync(folder).some(
    (fd) => existsSync(join(folder, fd)) && readlinkSync(join(folder, fd)) === file,
  );
};

/** A target of one's own whose build waits until a file appears. */
async function slowConfig(): Promise<{ config: string; go: () => void }> {
  const folder = newFolder();
  const gate = join(folder, 'go');
  // Builds look into it, as somebody else.
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'data'));
  const { write, commit } = await makeRepository(join(folder, 'repo'));
  write(
    'build.js',
    `const fs = require('node:fs'); console.log('waiting'); const t = setInterval(() => { if (!fs.existsSync(${JSON.stringify(gate)})) return; clearInterval(t); fs.mkdirSync('dist'); fs.writeFileSync('dist/a', 'a'); console.log('built'); }, 50);`,
  );
  await commit('one', 'one');
  const config = join(folder, 'signalbox.config.yaml');
  const server = createServer((_, response) => response.setHeader('connection', 'close').end('fine'));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  writeFileSync(
    config,
    `targets:
  slow:
    repository: repo
    build: { argv: ["${process.execPath}", build.js] }
    sandbox: { read: ["${folder}"] }
    driver: { kind: directory, root: site }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:${port}/", version: none, successes: 1 }
`,
  );
  return { config, go: () => writeFileSync(gate, '') };
}
const servers: ReturnType<typeof createServer>[] = [];
afterEach(() => servers.splice(0).forEach((server) => server.close()));

/** Ships, approves and starts the slow target; returns once its build waits. */
async function inMidBuild(up: Up): Promise<string> {
  const { key } = answerOf(await cli(up, 'ship', 'slow', 'one', '--json')) as { key: string };
  await cli(up, 'approve', key);
  const { key: attempt } = answerOf(await cli(up, 'deploy', key, '--json')) as { key: string };
  await until('the build to wait', async () => {
    const { tokens, api } = up.endpoints();
    const log = await fetch(`${api}/deployments/${attempt}/log`, {
      headers: { authorization: `Bearer ${tokens.sre}` },
    });
    return (await log.text()).includes('waiting');
  });
  return attempt;
}

it('refuses a second start on the same state, naming the pid; the first goes on', async () => {
  const up = await startUp({ args: ['--no-sample'] });
  const second = await runProgram(['up', '--state', up.state, '--port', '0']);
  expect(second.code).toBe(1);
  expect(second.err).toContain(`process ${up.pid}`);
  expect((await fetch(`${up.endpoints().page}health/ready`)).status).toBe(200);
  // No sample deployment was asked for; the target is there all the same.
  expect(answerOf(await cli(up, 'status', '--json'))).toMatchObject({
    targets: [{ name: 'shop', current: null }],
    promotions: [],
  });
  await stopUp(up);
});

it('says which port is taken and what to do, and leaves nothing', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  servers.push(server);
  const { port } = server.address() as { port: number };
  const state = join(newFolder(), 'state');
  const refused = await runProgram(['up', '--state', state, '--port', String(port)]);
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(new RegExp(`Port ${port} is taken.*--port`));
  expect(existsSync(state)).toBe(false);
});

it('with no network and nothing cached, names each way to provide the part, and leaves nothing', async () => {
  const folder = newFolder();
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  // The programs it may use, but no `temporal`.
  for (const name of ['git', 'python3', 'rm', 'ps'])
    symlinkSync(
      (process.env.PATH ?? '')
        .split(':')
        .map((p) => join(p, name))
        .find(existsSync)!,
      join(bin, name),
    );
  const dead = 'http://127.0.0.1:9';
  const state = join(folder, 'state');
  const refused = await runProgram(['up', '--state', state, '--port', '0'], {
    env: {
      PATH: bin,
      XDG_CACHE_HOME: join(folder, 'cache'),
      TEMPORAL_CLI: undefined,
      PIP_NO_INDEX: '1',
      PIP_FIND_LINKS: join(folder, 'none'),
      HTTP_PROXY: dead,
      HTTPS_PROXY: dead,
      http_proxy: dead,
      https_proxy: dead,
    },
  });
  expect(refused.code).toBe(1);
  for (const way of ['TEMPORAL_ADDRESS', 'TEMPORAL_CLI', 'PATH', 'pip', 'Temporal SDK'])
    expect(refused.err).toContain(way);
  expect(processesOf(state)).toEqual([]);
});

it.each([
  ['a targets file that is not there', ['--config', 'missing.yaml'], /missing\.yaml could not be read/],
  ['a targets file that is wrong', ['--config', 'wrong.yaml'], /targets\.shop\.build: found nothing/],
  ['a port that is none', ['--port', 'x'], /number from 0 to 65535/],
  ['an unknown option', ['--prot', '1'], /unknown option/],
])('refuses %s before it starts anything', async (_name, args, told) => {
  const folder = newFolder();
  writeFileSync(join(folder, 'wrong.yaml'), 'targets: { shop: { repository: x } }');
  const refused = await runProgram(['up', '--state', join(folder, 'state'), ...args], { cwd: folder });
  expect(refused.code).not.toBe(0);
  expect(refused.err).toMatch(told);
  expect(existsSync(join(folder, 'state'))).toBe(false);
});

it('Ctrl-C in mid-build, twice as npm sends it: stops in order; the next start takes the deployment to its end', async () => {
  const { config, go } = await slowConfig();
  const args = ['--no-sample', '--config', config];
  const up = await startUp({ args });
  const attempt = await inMidBuild(up);
  up.kill('SIGINT');
  up.kill('SIGINT');
  expect(await up.ended).toBe(0);
  expect(processesOf(up.state)).toEqual([]);
  go();
  const again = await startUp({ state: up.state, args });
  await until('its end', async () => (await deployment(again, attempt)).status === 'succeeded');
  await stopUp(again);
});

it('kill -9 in mid-build: the next start ends what was left, and the deployment goes on to its end', async () => {
  const { config, go } = await slowConfig();
  const args = ['--no-sample', '--config', config];
  const leftOpen = join(newFolder(), 'of-who-started-it');
  writeFileSync(leftOpen, 'not for builds');
  const up = await startUp({ args, leftOpen });
  const { tokens, site } = up.endpoints();
  const attempt = await inMidBuild(up);
  expect(processesOf(up.state).length).toBeGreaterThan(2);
  expect(processesOf(up.state).filter((one) => hasOpen(one, leftOpen))).toEqual([]);
  up.kill('SIGKILL');
  await up.ended;
  // What it ran beside itself lives on, the site too: killing the control plane takes nothing down.
  expect((await fetch(site)).status).toBe(503);
  go();
  const again = await startUp({ state: up.state, args });
  expect(again.output()).toMatch(/Ended what an earlier start left running/);
  await until('its end', async () => (await deployment(again, attempt)).status === 'succeeded');
  expect(again.endpoints().tokens).toEqual(tokens);
  await stopUp(again);
});

it.each(['postgres', 'temporal', 'site'])(
  'kill -9 of %s in mid-build: it is started again and the deployment goes on',
  async (name) => {
    const { config, go } = await slowConfig();
    const up = await startUp({ args: ['--no-sample', '--config', config] });
    const attempt = await inMidBuild(up);
    const { pid } = children(up).find((child) => child.name === name)!;
    process.kill(pid, 'SIGKILL');
    await up.says(`${name} ended (SIGKILL); starting it again`);
    go();
    await until('its end', async () => (await deployment(up, attempt)).status === 'succeeded');
    expect(children(up).find((child) => child.name === name)!.pid).not.toBe(pid);
    await stopUp(up);
    // What the libraries say of it is in the log, as JSON like the rest, and not on the terminal.
    const log = readFileSync(join(up.state, 'logs', 'signalbox.log'), 'utf8')
      .trim()
      .split('\n');
    const told = log.map((line) => (JSON.parse(line) as { msg: string }).msg);
    if (name === 'postgres')
      expect(told).toContainEqual(expect.stringMatching(/^PostgreSQL: Connection Error/));
    expect(up.output()).not.toMatch(/Connection Error|gRPC/);
  },
);

const asRoot = process.getuid?.() === 0 ? it : it.skip;

it('from a path with spaces, under a home that others can not enter', async () => {
  const home = newFolder();
  chmodSync(home, 0o700);
  const up = await startUp({ state: join(home, 'my state', '.signalbox'), env: { HOME: home } });
  await up.says('"version":"v1"');
  await up.says(`--state '${up.state}'`);
  await stopUp(up);
});

asRoot('as an ordinary user too', async () => {
  const home = newFolder();
  chownSync(home, 65_534, 65_534);
  chmodSync(home, 0o700);
  // A program that this user can reach, wherever the one of this run lies.
  const temporal = join(newFolder(), 'temporal');
  copyFileSync(process.env.TEST_TEMPORAL!, temporal);
  chmodSync(join(temporal, '..'), 0o755);
  const up = await startUp({
    state: join(home, 'state'),
    env: { HOME: home, XDG_CACHE_HOME: join(home, '.cache'), TEMPORAL_CLI: temporal },
    uid: 65_534,
    gid: 65_534,
  });
  await up.says('"version":"v1"');
  await stopUp(up);
});

it('worker and API run alone against servers that run elsewhere', async () => {
  const { config, go } = await slowConfig();
  go();
  const host = await startUp({ args: ['--no-sample'] });
  const folder = newFolder();
  const env = await elsewhere(host, 'elsewhere');
  const places = ['--config', config, '--state', folder];
  const missing = await runProgram(['worker', '--config', config], {
    env: { DATABASE_URL: undefined, TEMPORAL_ADDRESS: undefined },
  });
  expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('DATABASE_URL is not set') });

  const worker = runAlone(env, 'worker', '--grace-seconds', '1', ...places);
  const api = runAlone(env, 'api', '--port', '0', ...places);
  const address = await api.says(/http:\/\/127\.0\.0\.1:\d+/);
  await worker.says(/polling/);
  const { carla, amir } = await twoPeople(env, address);
  expect((await runProgram(['ship', 'slow', 'one'], { env: carla })).code).toBe(0);
  expect((await runProgram(['approve', 'CP-1'], { env: carla })).code).toBe(1);
  expect((await runProgram(['approve', 'CP-1'], { env: amir })).code).toBe(0);
  expect((await runProgram(['deploy', 'CP-1', '--wait'], { env: carla })).code).toBe(0);
  for (const { child, ended } of [worker, api]) {
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  }
  await stopUp(host);
});

it('up itself takes servers that run elsewhere, each by its variable', async () => {
  const host = await startUp({ args: ['--no-sample'] });
  const env = await elsewhere(host, 'guest');
  const guest = await startUp({ env });
  await guest.says('"version":"v1"');
  expect(guest.endpoints()).toMatchObject({
    databaseUrl: env.DATABASE_URL,
    temporalAddress: env.TEMPORAL_ADDRESS,
  });
  expect(children(guest).map(({ name }) => name)).toEqual(['site']);
  await stopUp(guest);
  expect((await fetch(`${host.endpoints().page}health/ready`)).status).toBe(200);
  await stopUp(host);

  const wrong = { DATABASE_URL: 'postgres://nobody:hush@127.0.0.1:9/none', TEMPORAL_ADDRESS: undefined };
  const refused = await runProgram(['up', '--state', join(newFolder(), 'state'), '--port', '0'], {
    env: wrong,
  });
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('correct DATABASE_URL') });
  expect(refused.err + refused.out).not.toContain('hush');
});

it('rereads the targets file on SIGHUP: a valid one counts, a wrong one is refused and the old one stays', async () => {
  const { config } = await slowConfig();
  const text = `${readFileSync(config, 'utf8')}    secrets: { TOKEN: { env: NO_SUCH_TOKEN } }\n`;
  writeFileSync(config, text);
  const up = await startUp({ args: ['--no-sample', '--config', config] });
  const unset = 'Secret TOKEN of slow: the variable NO_SUCH_TOKEN is not set. Deployments to slow fail';
  await up.says(unset);
  // From another folder, and without being told where that file lies; without it, it would refuse.
  expect(await cli(up, 'doctor')).toMatchObject({ code: 0, err: '' });
  writeFileSync(
    config,
    text.replace(
      'repository: repo',
      'repository: repo\n    promotionsEnabled: false\n    promotionsDisabledReason: stocktaking',
    ),
  );
  up.kill('SIGHUP');
  await up.says('Targets file read again.\n');
  const { targets } = answerOf(await cli(up, 'status', '--json')) as {
    targets: { name: string; promotionsDisabledReason: string }[];
  };
  expect(targets.find(({ name }) => name === 'slow')?.promotionsDisabledReason).toBe('stocktaking');
  expect((await cli(up, 'audit', 'list', '--action', 'targets.')).out).toContain('new or changed: slow.');
  // What it cannot take over while it runs it names, instead of passing over it.
  writeFileSync(config, `audit: { everySeconds: 7 }\nretention: { logDays: 99 }\n${text}`);
  up.kill('SIGHUP');
  await up.says('Targets file read again. Restart to use what else was changed: ');
  expect(up.output()).toMatch(/changed: (audit, retention|retention, audit)\./);
  writeFileSync(config, 'targets: nonsense');
  up.kill('SIGHUP');
  await up.says('the old one stays');
  expect(answerOf(await cli(up, 'status', '--json')).targets).toHaveLength(2);
  // What a target lacks on this host is said where the file is read, and not with each time that it is read.
  expect(up.output().split(unset)).toHaveLength(2);
  writeFileSync(config, text.replace('repository: repo', 'repository: gone'));
  up.kill('SIGHUP');
  await up.says(/The repository of slow cannot be read from this host: .*gone.* does not/);
  expect(up.output().split(unset)).toHaveLength(2);

  // A shop of one's own that is taken out again does not become the sample's: its record is not about that one.
  const names = async (of: Up) => {
    const { targets } = answerOf(await cli(of, 'status', '--json')) as {
      targets: { name: string }[];
    };
    return targets.map(({ name }) => name);
  };
  const read = 'Targets file read again.';
  const reread = async (yaml: string) => {
    const before = up.output().split(read).length;
    writeFileSync(config, yaml);
    up.kill('SIGHUP');
    await until('the file to be read again', () => up.output().split(read).length > before);
  };
  await reread(text.replace('  slow:', '  shop:'));
  expect(await names(up)).toEqual(['shop']);
  expect(up.output()).toContain('No longer in it: slow; what is under way there waits until it is back');
  await reread(text);
  expect(await names(up)).toEqual(['slow']);
  expect(up.output()).toMatch(
    /The sample does not take the name shop: by your targets file that target is deployed to /,
  );
  expect(await cli(up, 'doctor')).toMatchObject({ code: 0, err: '' });
  writeFileSync(config, `${text}    dependsOn: [shop]\n`);
  up.kill('SIGHUP');
  await up.says(/the old one stays.*slow.*dependsOn.*shop/);
  await stopUp(up);
  const again = await startUp({ state: up.state, args: ['--no-sample'] });
  expect(await names(again)).toEqual([]);
  await stopUp(again);
});
