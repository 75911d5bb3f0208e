import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  readFileSync,
  readdirSync,
  renameSync,
  existsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { userNumberOf } from '../../activities/build-users';
import { reap, releaseUmask, runCommand, type Command } from '../../activities/process';
import { redactor } from '../../activities/redact';
import { findSandbox } from '../../activities/find-sandbox';
import { canKeepKeys, sandboxOf } from '../../activities/sandbox';
import { secretFilesOf } from '../../cli/secret-files';
import { createTargetChecks } from '../../cli/target-checks';
import type { Config, TargetConfig } from '../../domain/config';
import type { SandboxKind } from '../../domain/sandbox';
import { hostileBuild } from '../helpers/hostile';
import { hasSandbox, hidesFromHooks, kindsHere, somebody } from '../helpers/sandboxes';
import { patienceMs, until } from '../helpers/until';

/** A target's commands: how they are started, stopped, and what they leave. */
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'signalbox-process-'))));
afterEach(async () => {
  expect(await reap(folder)).toBe(0);
  rmSync(folder, { recursive: true, force: true });
});

function node(script: string, more: Partial<Command> = {}, ...args: string[]) {
  const lines: string[] = [];
  const end = runCommand({
    argv: [process.execPath, '-e', script, ...args],
    cwd: folder,
    env: { PATH: process.env.PATH! },
    mark: folder,
    timeoutMs: patienceMs,
    signal: new AbortController().signal,
    redact: redactor({}),
    onLine: (stream, text) => lines.push(`${stream} ${text}`),
    ready: () => undefined,
    ...more,
  });
  return { end, lines };
}

it('gives arguments as they are, without a shell, and nothing of its own environment', async () => {
  process.env.NOT_FOR_BUILDS = 'secret';
  const { end, lines } = node(
    'console.log(JSON.stringify(process.argv.slice(1)), process.env.NOT_FOR_BUILDS)',
    {},
    '$HOME; `id`',
    '*',
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  expect(lines).toEqual(['out ["$HOME; `id`","*"] undefined']);
});

it('makes files for a release under a umask of its own, whoever started the worker', async () => {
  const before = process.umask(0o077);
  try {
    const make = "require('node:fs').writeFileSync(process.argv[1], '')";
    await node(make, { umask: releaseUmask }, 'released').end;
    await node(make, {}, 'other').end;
    expect(process.umask(0o077)).toBe(0o077);
  } finally {
    process.umask(before);
  }
  const modes = ['released', 'other'].map((name) => statSync(join(folder, name)).mode & 0o777);
  expect(modes).toEqual([0o644, 0o600]);
});

it('tells how it ended', async () => {
  expect(await node('process.exit(7)').end).toEqual({ kind: 'exited', code: 7 });
  expect(await node("process.kill(process.pid, 'SIGKILL')").end).toEqual({
    kind: 'signalled',
    signal: 'SIGKILL',
  });
  await expect(node('', { argv: ['/no/such/program'] }).end).rejects.toThrow('ENOENT');
});

it('splits lines as they come, keeps the last one without an end, and breaks up endless ones', async () => {
  const { end, lines } = node(
    "process.stdout.write('a\\r\\nb\\n\\nhal'); setTimeout(() => { process.stdout.write('f'); process.stderr.write('x'.repeat(40000)); }, 100)",
  );
  await end;
  expect(lines.filter((l) => l.startsWith('out'))).toEqual(['out a', 'out b', 'out ', 'out half']);
  const long = lines.filter((l) => l.startsWith('err')).map((l) => l.length - 4);
  expect(long.reduce((a, b) => a + b)).toBe(40_000);
  expect(Math.max(...long)).toBeLessThanOrEqual(16_384);
});

it('at its deadline, kills one that ignores TERM, with its children', async () => {
  const { end } = node(
    `process.on('SIGTERM', () => undefined);
     require('node:child_process').spawn(process.execPath, ['-e', "process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1000)"]);
     setInterval(() => undefined, 1000);`,
    { timeoutMs: 500 },
  );
  expect(await end).toEqual({ kind: 'timed-out' });
});

it('when cancelled, ends at once', async () => {
  const abort = new AbortController();
  const { end } = node("console.log('there'); setInterval(() => undefined, 1000)", {
    signal: abort.signal,
    onLine: () => abort.abort(),
  });
  expect(await end).toEqual({ kind: 'aborted' });
});

it('what moved itself into a session of its own does not outlive its step', async () => {
  const { end } = node(
    `const c = require('node:child_process').spawn(process.execPath, ['-e', "setInterval(() => require('node:fs').appendFileSync('ticks', 'x'), 20)"], { detached: true, stdio: 'ignore' });
     c.unref(); setTimeout(() => undefined, 300);`,
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  const ticks = () => (existsSync(join(folder, 'ticks')) ? readFileSync(join(folder, 'ticks')).length : 0);
  const before = ticks();
  expect(before).toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(ticks()).toBe(before);
});

it('holds the output back while the reader is behind, so that memory stays bounded', async () => {
  let behind = 0;
  let most = 0;
  let drained: Promise<void> | undefined;
  const before = process.memoryUsage().rss;
  let peak = before;
  const { end } = node(
    "const l = 'y'.repeat(99) + '\\n'; let n = 0; (function more() { while (n++ < 500000) if (!process.stdout.write(l)) return process.stdout.once('drain', more); })()",
    {
      onLine: () => {
        behind += 1;
        most = Math.max(most, behind);
      },
      ready: () => {
        peak = Math.max(peak, process.memoryUsage().rss);
        if (behind < 1000) return undefined;
        return (drained ??= new Promise<void>((resolve) =>
          setTimeout(() => {
            behind = 0;
            drained = undefined;
            resolve();
          }, 2),
        ));
      },
    },
  );
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  expect(most).toBeLessThan(5_000);
  expect(peak - before).toBeLessThan(150 * 1024 * 1024);
});

it('keeps a secret out wherever its output is cut: between writes, between pieces of an endless line', async () => {
  const secret = 'canary-0123456789-abcdefghijklmnop';
  const script = `const [secret] = process.argv.slice(1);
    const wait = () => new Promise((go) => setTimeout(go, 2));
    (async () => {
      for (let at = 1; at < secret.length; at += 7) {
        process.stdout.write('x' + secret.slice(0, at)); await wait();
        process.stdout.write(secret.slice(at) + 'y\\n'); await wait();
      }
      for (let before = 16_384 - secret.length - 2; before < 16_390; before += 3)
        process.stderr.write('z'.repeat(before) + secret + 'z'.repeat(40_000) + '\\n');
      for (let n = 0; n < 3_000; n++) process.stderr.write('z'.repeat(n % 17) + secret);
    })();`;
  const { end, lines } = node(script, { redact: redactor({ KEY: secret }) }, secret);
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  const all = lines.map((line) => line.slice(4)).join('');
  expect(all.split('[secret KEY]').length).toBeGreaterThan(3_000);
  for (let at = 0; at + 12 <= secret.length; at++) expect(all).not.toContain(secret.slice(at, at + 12));
  expect(all.match(/x\[secret KEY\]y/g)).toHaveLength(5);
});

const hasPerl = spawnSync('perl', ['-e', '1']).status === 0;
/** The kernel's keys, of the session (-3) and of the user (-4): begins a session with a key, leaves keys, or looks for some. */
const keys = `my ($add, $keyctl) = ${process.arch === 'x64' ? '(248, 250)' : '(217, 219)'};
  my ($do, @names) = @ARGV; my $type = "user"; $| = 1;
  sub leave { my ($name, $in) = @_; syscall($add, $type, $name, $name, length $name, $in) }
  if ($do eq "session") {
    my $name = shift @names; syscall($keyctl, 1, 0) > 0 && leave($name, -3) > 0 or die "no session: $!"; exec @names }
  for my $name (@names) { for my $in (-3, -4) {
    if ($do eq "leave") { leave($name, $in) }
    else { print "found $name\n" if syscall($keyctl, 10, $in, $type, $name, 0) > 0 } } }`;
const sockets = `use Socket; $| = 1; my ($do, $name, $for) = @ARGV; my $at = pack_sockaddr_un(chr(0) . $name);
  socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die;
  if ($do eq "listen") { bind($s, $at) && listen($s, 1) or die; print "listening\n"; sleep($for || 0) }
  else { print connect($s, $at) ? "connected\n" : "refused\n" }`;

/** As people's scripts do. */
const byName =
  'set -e; echo a >/dev/stdout; echo b >>/dev/stderr; echo c | tee /dev/stderr; echo d >>/proc/self/fd/2';

it('lets its output be opened by name', async () => {
  const { end, lines } = node('', { argv: ['sh', '-c', byName] });
  expect(await end).toEqual({ kind: 'exited', code: 0 });
  expect(lines.sort()).toEqual(['err b', 'err c', 'err d', 'out a', 'out c']);
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('signalbox-pipes-'))).toEqual([]);
});

/** Each kind that this machine has, as whoever it is for: root, and somebody else. */
const each = kindsHere.length > 0 ? describe.each(kindsHere) : describe.skip.each(['none' as const]);
each('a sandbox of the kind %s', (kind) => {
  const isRoot = process.getuid!() === 0;
  const other = isRoot && kind !== 'user';
  const state = mkdtempSync(join(tmpdir(), 'signalbox-sandbox-'));
  // As whoever starts Signalbox may name it.
  const link = `${state}-link`;
  const root = join(state, 'sample', 'shop');
  const path = process.env.PATH;
  const me = other ? somebody : { uid: process.getuid!(), gid: process.getgid!() };
  const target = { name: 'shop', driver: { kind: 'directory', root }, backup: { kind: 'files', paths: [] } };
  const key = join(state, 'signing-keys.json');
  const tokens = join(state, 'tokens.json');
  const outside = `${state}-keys.json`;
  const as = other ? ['setpriv', `--reuid=${me.uid}`, `--regid=${me.gid}`, '--clear-groups'] : [];
  const start = (argv: string[], cwd: string, env: Record<string, string> = {}) => {
    const lines: string[] = [];
    const stop = new AbortController();
    const end = runCommand({
      argv: [...as, ...argv],
      cwd,
      env: { PATH: process.env.PATH!, ...env },
      mark: join(state, 'work'),
      timeoutMs: 60_000,
      umask: 0o022,
      signal: stop.signal,
      redact: redactor({}),
      onLine: (_stream, text) => lines.push(text),
      ready: () => undefined,
    });
    return { end, lines, stop };
  };
  const settings = {
    ...{ stateDir: link, targets: () => new Map(), secretFiles: [outside] },
    usersFolder: join(state, 'users'),
  };
  let number = 0;
  const prepared = async (argv: string[], sandbox: object = {}, name = 'shop') => {
    const workspace = join(link, 'work', String((number += 1)));
    const [source, temporary] = [join(workspace, 'source'), join(workspace, 'tmp')];
    mkdirSync(source, { recursive: true });
    const made = await sandboxOf(kind, settings, '', me).build({
      target: {
        ...target,
        name,
        sandbox: { network: true, read: [], write: [], ...sandbox },
      } as unknown as TargetConfig,
      ...{ workspace, source, temporary, argv },
    });
    if (other) spawnSync('chown', ['-R', `${me.uid}:${me.gid}`, state]);
    return { ...made, source };
  };
  const build = async (argv: string[], sandbox?: object) => {
    const made = await prepared(argv, sandbox);
    return start(made.argv, made.source, made.env);
  };
  beforeAll(() => {
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'live'), 'its own\n');
    symlinkSync(state, link);
    for (const file of [key, tokens, outside]) writeFileSync(file, 'a key', { mode: 0o644 });
    // What lies in the home of root is nothing to somebody else.
    if (other) process.env.PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    // Somebody else has to come there at all.
    for (let at = state; at !== '/tmp' && at !== '/'; at = dirname(at)) if (other) chmodSync(at, 0o755);
  });

  afterAll(() => {
    process.env.PATH = path;
    for (const path of [link, outside, state]) rmSync(path, { recursive: true, force: true });
  });

  it('holds against a build, gives it what it needs, and keeps nothing of it', async () => {
    const stay = `700.${process.pid}`;
    const asked = {
      files: [key, tokens, outside, join(link, 'signing-keys.json'), join(root, 'live')],
      pids: [process.pid],
      plant: [join(state, 'planted')],
      stay,
    };
    const { end, lines } = await build([process.execPath, '-e', hostileBuild, JSON.stringify(asked)]);
    // Below its own temporary folder it may write what it likes.
    const how = await end;
    const got = lines.filter((line) => !line.startsWith('got a place'));
    expect([how, got]).toEqual([{ kind: 'exited', code: 0 }, ['tried everything']]);
    expect(existsSync(join(state, 'planted'))).toBe(false);
    expect(spawnSync('ps', ['axww', '-o', 'args=']).stdout.toString()).not.toContain(stay);
    const needs =
      'echo well >here && cat here && test -w "$HOME" && test -w /tmp && id -un && : >/dev/null && exit 5';
    const own = await build(['sh', '-c', needs]);
    expect([await own.end, own.lines]).toEqual([{ kind: 'exited', code: 5 }, ['well', 'build']]);
    const named = await build(['sh', '-c', byName]);
    const all = ['a', 'b', 'c', 'c', 'd'];
    expect([await named.end, named.lines.sort()]).toEqual([{ kind: 'exited', code: 0 }, all]);
  });

  it('has no network where the target says so, and shows what it names', async () => {
    const { end, lines } = await build(
      ['sh', '-c', 'tail -n +3 /proc/net/dev | cut -d: -f1; cat "$@"; ls /home', 'sh', key, outside],
      {
        network: false,
        // The state directory lies in it, and is nobody's all the same.
        write: [dirname(state)],
      },
    );
    await end;
    expect(lines.map((line) => line.trim()).slice(0, 1)).toEqual(['lo']);
    expect(lines.join()).not.toContain('a key');
  });

  (canKeepKeys(kind) && hasPerl ? it : it.skip)(
    'reaches nothing that the host, or another build, keeps in the kernel or in folders of all',
    async () => {
      // Of a session in which Signalbox was started.
      const session = ['perl', '-e', keys, '--', 'session', 'of the host'];
      const run = async (argv: string[], network = true) => {
        const made = await prepared(argv, { network });
        const { end, lines } = start([...session, ...made.argv], made.source, made.env);
        await end;
        return lines;
      };
      const shared = 'for at in /tmp /var/tmp /dev/shm; do echo x >$at/left-$$; done; ipcmk -M 9 -Q -S 1';
      const left = await run(['sh', '-c', `${shared}; perl -e '${keys}' -- leave left`]);
      expect(left.join()).toMatch(/Shared memory.*Message queue.*Semaphore/);
      const look = 'ls /tmp /var/tmp /dev/shm | grep left; ipcs | grep -c ^0x';
      const found = await run(['sh', '-c', `${look}; perl -e '${keys}' -- look 'of the host' left`]);
      expect(found).toEqual(['0']);
      // Names without a file belong to the network.
      const abstract = (act: string) => ['perl', '-e', sockets, '--', act, `left.${process.pid}`];
      expect(await run(abstract('listen'), false)).toEqual(['listening']);
      const listener = spawn('perl', ['-e', sockets, '--', 'listen', `left.${process.pid}`, '60']);
      try {
        await new Promise((resolve) => listener.stdout.once('data', resolve));
        expect(await run(abstract('connect'), false)).toEqual(['refused']);
      } finally {
        listener.kill('SIGKILL');
      }
    },
  );

  (kind === 'user' ? it : it.skip)('has a user of its own for each target', async () => {
    const numbers = new Map<string, string>();
    for (const name of ['payments', 'payments-test', 'api', 'mail-prod']) {
      const made = await prepared(['id', '-u'], {}, name);
      const { end, lines } = start(made.argv, made.source, made.env);
      await end;
      numbers.set(lines.join(), name);
      if (name === 'payments-test')
        expect(made.note).toMatch(/run as user 60962, because 60961 is that of payments;/);
    }
    expect(numbers.size).toBe(4);
    expect(numbers.get('60961')).toBe('payments');
  });

  it('finds no file with a secret, by whatever way Signalbox was told of it', async () => {
    const shown = mkdtempSync(`${state}-shown-`);
    chmodSync(shown, 0o755);
    const at = (name: string) => join(shown, name);
    const set = {
      DATABASE_URL: `postgres://it:password@h/d?sslkey=${at('database.key')}`,
      ITS_TOKEN: 'abcdefgh',
    };
    mkdirSync(at('etc/default'), { recursive: true });
    const texts: Record<string, string> = {
      'targets.yaml': 'notifications: { webhooks: [{ url: https://h/in/secret }] }',
      'temporal.toml': `[profile.p.tls]\nclient_key_path = "${at('profile.key')}"\n[profile.q]\napi_key = "secret"`,
      'etc/default/service': `# secret\nexport DATABASE_URL="${set.DATABASE_URL}"`,
      'own.env': `ITS_TOKEN=${set.ITS_TOKEN} # secret`,
      gitconfig: `[http]\nsslKey = ${at('git.key')}\n[credential]\nhelper = store --file ${at('git-credentials')}`,
      public: 'nothing but public',
    };
    const others = [
      'database.key',
      'profile.key',
      'temporal.key',
      'trace.key',
      'passwords',
      'run.env',
      'node.env',
    ];
    const targets = [
      'git.key',
      'git-credentials',
      'tls.key',
      'oidc',
      'webhook',
      'depot.key',
      'depot.passwords',
      'shop.key',
    ];
    for (const name of [...others, ...targets]) texts[name] = 'secret';
    for (const [name, text] of Object.entries(texts)) writeFileSync(at(name), text, { mode: 0o644 });
    const env = {
      ...set,
      PATH: process.env.PATH,
      HOME: shown,
      TEMPORAL_CONFIG_FILE: at('temporal.toml'),
      TEMPORAL_TLS_CLIENT_KEY_PATH: at('temporal.key'),
      OTEL_EXPORTER_OTLP_CLIENT_KEY: at('trace.key'),
      PGPASSFILE: at('passwords'),
      NODE_OPTIONS: `--env-file=${at('node.env')}`,
    };
    writeFileSync(at('.gitconfig'), texts.gitconfig!);
    process.env.DEPOT_URL = `postgres://it@h/d?passfile=${at('depot.passwords')}`;
    const config = {
      api: { listen: '', tls: { cert: at('public'), key: at('tls.key') } },
      identity: { oidc: { clientSecret: { file: at('oidc') } } },
      notifications: { webhooks: [{ secret: { file: at('webhook') } }] },
    } as unknown as Config;
    const mine = { ...target, secrets: { KEY: { file: at('shop.key') } } };
    const depot = {
      ...{
        name: 'depot',
        driver: { root: join(state, 'depot') },
        secrets: { KEY: { file: at('depot.key') } },
      },
      backup: { kind: 'postgres', database: { env: 'DEPOT_URL' } },
    };
    const all = new Map([mine, depot].map((one) => [one.name, one as unknown as TargetConfig]));
    const secretFiles = secretFilesOf({
      ...{ stateDir: state, configFile: at('targets.yaml'), config: { ...config, targets: all }, env },
      ...{ argv: ['--env-file', at('run.env')], systemSettings: at('etc') },
    });
    const look = ['grep', '-rlsE', 'secret|public', shown];
    const sandbox = sandboxOf(kind, { ...settings, targets: () => all, secretFiles }, '', me);
    const found = async (begun: ReturnType<typeof start>) => {
      await begun.end;
      return begun.lines.map((line) => line.slice(shown.length + 1)).sort();
    };
    try {
      const room = join(link, 'work', 'secrets');
      const [source, temporary] = [join(room, 'source'), join(room, 'tmp')];
      mkdirSync(source, { recursive: true });
      const seen = { network: true, read: [shown], write: [] };
      const order = { workspace: room, source, temporary, argv: look };
      const made = await sandbox.build({
        ...order,
        target: { ...mine, sandbox: seen } as unknown as TargetConfig,
      });
      if (other) spawnSync('chown', ['-R', `${me.uid}:${me.gid}`, state, shown]);
      const open = ['public'];
      expect(await found(start(made.argv, source, made.env))).toEqual(open);
      const hidden = sandbox.hook(mine as unknown as TargetConfig, root);
      // A target's own secrets are its hooks' own.
      expect(await found(start([...hidden, ...look], root))).toEqual([...open, 'shop.key']);
    } finally {
      delete process.env.DEPOT_URL;
      rmSync(shown, { recursive: true, force: true });
    }
  });

  it('is ended whole by a cancel', async () => {
    const stay = `800.${process.pid}`;
    const { end, lines, stop } = await build([
      'sh',
      '-c',
      `setsid sleep ${stay} & trap "" TERM; echo up; sleep ${stay}`,
    ]);
    const early = end.then((how) => expect(how).toBe('running'));
    await Promise.race([until('it to be up', () => lines.includes('up')), early]);
    early.catch(() => undefined);
    stop.abort();
    expect(await end).toEqual({ kind: 'aborted' });
    expect(spawnSync('ps', ['axww', '-o', 'args=']).stdout.toString()).not.toContain(stay);
  });

  it('hides the state directory from a hook, except for what is the target’s own', async () => {
    const hidden = sandboxOf(kind, settings, '', me).hook(target as unknown as TargetConfig, root);
    const look =
      'cat live; ls "$0"; cat "$0/signing-keys.json" 2>/dev/null || echo hidden; cat "$1"; echo more >>live; exit 3';
    if (other) spawnSync('chown', ['-R', `${me.uid}:${me.gid}`, state]);
    const { end, lines } = start([...hidden, 'sh', '-c', look, state, outside], root);
    expect([await end, lines]).toEqual([{ kind: 'exited', code: 3 }, ['its own', 'sample', 'hidden']]);
    expect(readFileSync(join(root, 'live'), 'utf8')).toBe('its own\nmore\n');
    const named = start([...hidden, 'sh', '-c', byName], root);
    expect(await named.end).toEqual({ kind: 'exited', code: 0 });
  });
});

it('no two targets of a host have one user number, whenever they come and go', async () => {
  const at = (stateDir: string) => async (target: string) =>
    (await userNumberOf({ stateDir: join(folder, stateDir), target }, join(folder, 'users'))).number;
  for (const name of ['one', 'two']) mkdirSync(join(folder, name));
  const names = Array.from({ length: 60 }, (_, n) => `target-${n}`);
  // As two workers that begin at once.
  const [one, two] = await Promise.all(['one', 'two'].map((state) => Promise.all(names.map(at(state)))));
  expect(new Set([...one!, ...two!]).size).toBe(120);
  expect(await Promise.all(names.toReversed().map(at('one')))).toEqual(one!.toReversed());
  mkdirSync(join(folder, 'old'));
  const before = await at('old')('target-5');
  renameSync(join(folder, 'old'), join(folder, 'new'));
  expect(await at('new')('target-5')).toBe(before);
  // What is gone leaves its numbers to others, when there are no others left.
  const list = join(folder, 'users', 'build-users.json');
  const known = JSON.parse(readFileSync(list, 'utf8')) as Record<string, object>;
  for (let number = 60_600; number < 61_100; number++)
    known[number] ??= { stateDir: join(folder, 'two'), target: `more-${number}` };
  writeFileSync(list, JSON.stringify(known));
  await expect(at('two')('last')).rejects.toThrow(/Each of the 500 user numbers.*from .*build-users\.json/);
  rmSync(join(folder, 'one'), { recursive: true });
  expect(one).toContain(await at('two')('last'));
  // Numbers that folders belong to from before there was a list.
  rmSync(list);
  expect([await at('two')('shop'), await at('two')('payments')]).toEqual([60_707, 60_961]);
});

it('a secret that is not set, and a hook that would become somebody else where it cannot, are warned of at the start', async () => {
  const state = mkdtempSync(join(folder, 'state-'));
  const lines: string[] = [];
  const warned = async (
    me: { uid: number; gid: number },
    more: object = {},
    kind: SandboxKind = 'namespaces',
  ) => {
    const reload = { argv: ['/usr/bin/sudo', 'systemctl', 'reload', 'shop'], timeoutSeconds: 10 };
    const driver = { kind: 'directory', root: folder, reload };
    const backup = { kind: 'files', paths: [] };
    const shop = { name: 'shop', repository: folder, secrets: {}, driver, backup, ...more };
    const targets = new Map([['shop', shop as unknown as TargetConfig]]);
    mkdirSync(join(folder, '.git'), { recursive: true });
    const sandbox = sandboxOf(
      kind,
      { stateDir: state, targets: () => targets, secretFiles: [] },
      'There is none.',
      me,
    );
    const checks = createTargetChecks((line) => lines.push(line), sandbox);
    await checks.demand(targets);
    checks.stop();
    return lines.splice(0);
  };
  expect(await warned(somebody)).toEqual([
    expect.stringMatching(/reload \(\/usr\/bin\/sudo\) of shop cannot become another user.*"sandbox: none"/),
  ]);
  expect(await warned(somebody, { sandbox: 'none' })).toEqual([]);
  expect(await warned({ uid: 0, gid: 0 })).toEqual([]);
  const secrets = { TOKEN: { env: 'NO_SUCH_TOKEN' } };
  expect(await warned({ uid: 0, gid: 0 }, { secrets })).toEqual([
    expect.stringMatching(/TOKEN of shop: the variable NO_SUCH_TOKEN is not set\. Deployments to shop fail/),
  ]);
  // And what demands a sandbox does not start without.
  const demanded = { requireSandbox: true };
  expect(await warned({ uid: 0, gid: 0 }, demanded)).toEqual([]);
  await expect(warned(somebody, demanded, 'none')).rejects.toThrow(
    /^shop demands that its builds run in a sandbox.*There is none/,
  );
});

describe('a sandbox is believed after a try from inside alone', () => {
  const path = process.env.PATH;
  let state: string;
  beforeEach(() => (state = mkdtempSync(join(tmpdir(), 'signalbox-sandbox-'))));
  afterEach(() => {
    process.env.PATH = path;
    rmSync(state, { recursive: true, force: true });
  });
  const found = () => findSandbox({ stateDir: state, targets: () => new Map(), secretFiles: [] });

  it('which leaves nothing', async () => {
    const { kind, said, hidesFromHooks: hides } = await found();
    expect([kind !== 'none', hides]).toEqual([hasSandbox, hidesFromHooks]);
    expect(said).toContain(hasSandbox ? 'run in a sandbox' : 'WITHOUT a sandbox');
    expect(readdirSync(join(state, 'work'))).toEqual([]);
    expect(readdirSync(state)).toEqual(['work']);
  });

  it('and not where its programs keep nothing from a build, nor where there are none', async () => {
    const folder = join(state, 'programs');
    mkdirSync(folder);
    const pretend = `#!/bin/sh
while [ "$1" != prlimit ]; do shift; done
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
`;
    for (const name of ['setpriv', 'bwrap']) writeFileSync(join(folder, name), pretend, { mode: 0o755 });
    process.env.PATH = folder + delimiter + path;
    const open = await found();
    expect([open.kind, open.said]).toEqual([
      'none',
      expect.stringMatching(/it does not hold: .*sandbox-probe/),
    ]);
    rmSync(folder, { recursive: true });
    process.env.PATH = folder;
    const without = await found();
    expect([without.kind, without.said]).toEqual([
      'none',
      expect.stringMatching(/not installed.*requireSandbox/),
    ]);
    expect(without.hook({ driver: {}, backup: {} } as unknown as TargetConfig, '/')).toEqual([]);
  });
});
