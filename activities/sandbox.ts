import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TargetConfig, Targets } from '../domain/config';
import { messageOf } from '../domain/errors';
import type { SandboxKind } from '../domain/sandbox';
import { removeTree } from './archive';
import { verdict } from './causes';
import { endsFirst, enterAsRoot, hideFromHooks } from './sandbox-scripts';
import { bubblewrapOf, scriptOf, viewOf, type View } from './sandbox-view';

/**
 * What a target runs is somebody else's: a build runs whatever the commit holds. It sees the system's programs, its own
 * checkout and a folder for temporary files, and no process but its own; nothing of it stays. How that is done depends on the
 * host, and is believed only after a try from inside that reads what must not be read:
 *
 * - `user`: as root. Namespaces, and in them a user number of its own for each target's builds.
 * - `bubblewrap`, `namespaces`: as anybody else, where the system lets users make namespaces.
 * - `none`: builds run as Signalbox itself. It is said at the start, by doctor and on the page.
 *
 * The operator's own hooks keep their user, their processes stay; what holds Signalbox's secrets alone is hidden from them.
 */
export interface Sandbox {
  kind: SandboxKind;
  /** One line in plain words: what it is, or why there is none and what to do. */
  said: string;
  /** Whether the state directory can be hidden from hooks. */
  hidesFromHooks: boolean;
  /** Prepares a build. @returns the command that runs it in the sandbox, and what the build is told by its environment. */
  build(order: BuildOrder): Promise<{ argv: string[]; env: Record<string, string> }>;
  /** What stands before the argv of a hook, so that it runs without sight of the state directory; empty: nothing can. */
  hook(target: TargetConfig, cwd: string): string[];
}
export interface BuildOrder {
  target: TargetConfig;
  /** Of this try: holds the next two. */
  workspace: string;
  source: string;
  temporary: string;
  argv: string[];
}
export interface SandboxSettings {
  stateDir: string;
  /** The targets file as last read: what it names is nobody's but its target's. */
  targets(): Targets;
  /** Further files that hold secrets. */
  secretFiles?: string[];
}
/** Who Signalbox is on this host. */
export interface Identity {
  uid: number;
  gid: number;
}

const run = promisify(execFile);

/** User numbers that systemd leaves to nobody. A target has one, so that a cache of its builds can belong to it. */
const firstUser = 60_600;
const users = 500;
export function userOf(target: string): Identity {
  const number = firstUser + (createHash('sha256').update(target).digest().readUInt32BE() % users);
  return { uid: number, gid: number };
}

/** @param me whose sandbox it is: what runs it has to be started as this user. */
export function sandboxOf(
  kind: SandboxKind,
  settings: SandboxSettings,
  said = '',
  me: Identity = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  hidesFromHooks = kind !== 'none',
): Sandbox {
  const stateDir = existsSync(settings.stateDir) ? realpathSync(settings.stateDir) : settings.stateDir;

  return {
    kind,
    said,
    hidesFromHooks,
    async build({ target, workspace, argv, ...places }) {
      // As before there were sandboxes.
      const env = { HOME: places.temporary, TMPDIR: places.temporary };
      if (kind === 'none') return { argv, env };
      demandNamed(target);
      const as = kind === 'user' ? userOf(target.name) : me;
      await mkdir(places.temporary, { recursive: true });
      // A link on the way there leads to what is covered.
      const [source, temporary] = [realpathSync(places.source), realpathSync(places.temporary)];
      const rooms = join(workspace, 'sandbox');
      await mkdir(join(rooms, 'root'), { recursive: true });
      await publish(join(rooms, 'passwd'), passwdOf(as, temporary));
      await publish(join(rooms, 'group'), `root:x:0:\nbuild:x:${as.gid}:\nnogroup:x:65534:\n`);
      // What it may write is its own; what has a second name belongs to another checkout, too.
      if (kind === 'user')
        await run('find', [
          ...[source, temporary, '(', '-type', 'd', '-o', '-links', '1', ')'],
          ...['-exec', 'chown', '-h', `${as.uid}:${as.gid}`, '{}', '+'],
        ]);
      const view = viewOf({ target, settings, rooms, source, temporary });
      const inside = { HOME: temporary, TMPDIR: temporary };
      return { argv: [...entering(kind, view, as, join(rooms, 'root')), ...argv], env: inside };
    },
    hook(target, cwd) {
      if (!hidesFromHooks || target.sandbox === 'none') return [];
      // Over it the cover is made that the state directory then gets.
      mkdirSync(join(stateDir, 'work'), { recursive: true });
      return hookArgv(me, stateDir, ownIn(stateDir, target), keysOutside(stateDir, settings), cwd);
    },
  };
}

function entering(kind: SandboxKind, view: View, as: Identity, root: string): string[] {
  const limited = ['prlimit', ...view.limits, '--'];
  // Dies with Signalbox, and all in it with its first process.
  if (kind === 'bubblewrap')
    return ['bwrap', ...bubblewrapOf(view), '--', 'sh', '-c', endsFirst, 'sh', ...limited];
  const own = ['--mount', '--pid', '--ipc', ...(view.network ? [] : ['--net'])];
  const unshare = ['setpriv', '--pdeathsig=KILL', 'unshare', ...own, '--fork', '--kill-child'];
  const bare = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  const enter = ['sh', '-c', enterAsRoot, 'sh', ...scriptOf(view, root)];
  if (kind === 'user')
    return [
      ...[
        ...unshare,
        ...enter,
        'setpriv',
        `--reuid=${as.uid}`,
        `--regid=${as.gid}`,
        '--clear-groups',
        ...bare,
      ],
      ...limited,
    ];
  return [
    ...[...unshare, '--user', '--map-root-user', ...enter],
    ...['unshare', '--user', `--map-user=${as.uid}`, `--map-group=${as.gid}`, 'setpriv', '--no-new-privs'],
    ...limited,
  ];
}

/** @throws naming what the target lets its builds see and what is not there. */
function demandNamed({ name, sandbox }: TargetConfig): void {
  if (typeof sandbox !== 'object') return;
  const gone = [...sandbox.read, ...sandbox.write].filter((path) => !existsSync(path));
  if (gone.length > 0)
    throw verdict(
      'BuildFailed',
      `The sandbox of ${name} names ${gone.join(', ')}, which is not on this host; correct sandbox.read and sandbox.write, or make it.`,
    );
}

/** Root keeps its user, but not the right to look into other processes and to take away what hides the state directory. */
function hookArgv(me: Identity, stateDir: string, own: string[], keys: string[], cwd: string): string[] {
  const lost = looking.map((capability) => `-${capability}`).join(',');
  const hide = ['sh', '-c', hideFromHooks, 'sh', stateDir, cwd, own.join('\n'), keys.join('\n')];
  if (me.uid === 0)
    return [
      ...['unshare', '--mount', '--propagation', 'slave', ...hide],
      ...['setpriv', `--inh-caps=${lost}`, `--bounding-set=${lost}`],
    ];
  return [
    ...['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'slave', ...hide],
    ...['unshare', '--user', `--map-user=${me.uid}`, `--map-group=${me.gid}`],
  ];
}

/** What lets root look into other processes; a kernel before 5.8 has no perfmon. */
const looking = ['sys_admin', 'sys_ptrace', ...(lastCapability() >= 38 ? ['perfmon'] : [])];
function lastCapability(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  } catch {
    return 0;
  }
}

/** Files with secrets of Signalbox that lie elsewhere. */
const keysOutside = (stateDir: string, { secretFiles = [] }: SandboxSettings): string[] =>
  secretFiles
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .filter((path) => !path.startsWith(`${stateDir}/`));

/** What of a target lies in the state directory itself, as the sample does. */
function ownIn(stateDir: string, { driver, backup }: TargetConfig): string[] {
  const paths = [driver.root, ...(backup.kind === 'files' ? backup.paths : [])];
  return paths
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .filter((path) => path.startsWith(`${stateDir}/`));
}

/** Whatever the umask: it is read by another user. */
async function publish(file: string, text: string): Promise<void> {
  await writeFile(file, text);
  await chmod(file, 0o644);
}

const passwdOf = ({ uid, gid }: Identity, home: string) =>
  `root:x:0:0:root:/:/bin/sh\nbuild:x:${uid}:${gid}:build:${home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n`;

/**
 * Finds what this host can do, by a try from inside that reads what must not be read.
 * @returns the first kind that holds; `none` says why there is none.
 */
export async function findSandbox(settings: SandboxSettings): Promise<Sandbox> {
  if (process.platform !== 'linux')
    return sandboxOf('none', settings, sayNone(['sandboxes need Linux']), undefined, false);
  const why: string[] = [];
  let hides = true;
  await demandHolds(settings, 'hook').catch((thrown: unknown) => {
    hides = false;
    why.push(`hooks: ${messageOf(thrown)}`);
  });
  const kinds: SandboxKind[] = process.getuid!() === 0 ? ['user'] : ['bubblewrap', 'namespaces'];
  for (const kind of kinds)
    try {
      await demandHolds(settings, kind);
      const hidden = hides ? '' : ` The state directory cannot be hidden from hooks (${why.join('; ')}).`;
      return sandboxOf(kind, settings, `${inWords[kind]}.${hidden}`, undefined, hides);
    } catch (thrown) {
      why.push(`${kind}: ${messageOf(thrown)}`);
    }
  return sandboxOf('none', settings, sayNone(why), undefined, hides);
}

const inWords: Record<SandboxKind, string> = {
  user: 'Builds run in a sandbox, as a user of their own',
  bubblewrap: 'Builds run in a sandbox (bubblewrap)',
  namespaces: 'Builds run in a sandbox (user namespaces)',
  none: 'Builds run WITHOUT a sandbox, as Signalbox itself',
};
const sayNone = (why: string[]) =>
  `${inWords.none}: whoever can ship can read its keys and act as it. ${why.join('; ')}. Install bubblewrap or util-linux 2.36, and let this user make namespaces (in a container: CAP_SYS_ADMIN, or a seccomp profile that allows them); or let a runner on another host build. "requireSandbox: true" of a target refuses to build without.`;

/** Attempts from inside; prints what succeeds that must not, and `tried` at the end. */
const probe = `for file in "$1" "/proc/$2/environ" "/proc/$2/root$1" "$3/.profile" "$3/.bashrc" "$3/.npmrc"; do
  cat "$file" >/dev/null 2>&1 && echo "read $file"
done
if [ "$4" = build ]; then
  kill -0 "$2" 2>/dev/null && echo "signalled the worker"
  (: >"$5") 2>/dev/null
  for file in /usr/signalbox-probe /etc/signalbox-probe; do
    (: >"$file") 2>/dev/null && echo "wrote $file"
  done
  (: >written) 2>/dev/null || echo "could not write its own checkout"
fi
umount "$(dirname "$1")" 2>/dev/null && cat "$1" >/dev/null 2>&1 && echo "uncovered $1"
echo tried`;

/** @throws with what a try from inside could do, or why there was no inside. */
async function demandHolds(settings: SandboxSettings, kind: SandboxKind | 'hook'): Promise<void> {
  const workspace = join(settings.stateDir, 'work', `sandbox-${process.pid}-${randomUUID().slice(0, 8)}`);
  const [source, temporary] = [join(workspace, 'source'), join(workspace, 'tmp')];
  const secret = join(settings.stateDir, `sandbox-probe-${randomUUID().slice(0, 8)}`);
  try {
    await mkdir(source, { recursive: true });
    await writeFile(secret, 'not for builds', { mode: 0o644 });
    const planted = `${secret}-planted`;
    const who = kind === 'hook' ? 'hook' : 'build';
    const argv = ['sh', '-c', probe, 'sh', secret, String(process.pid), homedir(), who, planted];
    const sandbox = sandboxOf(kind === 'hook' ? 'none' : kind, settings, '', undefined, true);
    const target = {
      name: 'probe',
      driver: { root: '/' },
      backup: { kind: 'files', paths: [] },
    } as unknown as TargetConfig;
    const command =
      kind === 'hook'
        ? [...sandbox.hook(target, '/'), ...argv]
        : (await sandbox.build({ target, workspace, source, temporary, argv })).argv;
    const { stdout } = await run(command[0]!, command.slice(1), {
      cwd: source,
      env: process.env,
      timeout: 20_000,
      killSignal: 'SIGKILL',
    });
    const got = stdout.trim().split('\n');
    // Inside there may be a folder of that name: what counts is where it is written.
    if (existsSync(planted)) got.unshift(`wrote ${planted}`);
    if (got.pop() !== 'tried') throw new Error('the try from inside did not come to its end');
    // Of a hook the own user's files are its own.
    const wrong =
      kind === 'hook' ? got.filter((line) => line.includes(secret) || line.includes('environ')) : got;
    if (wrong.length > 0) throw new Error(`it does not hold: ${wrong.join(', ')}`);
  } catch (thrown) {
    const { stderr, code } = thrown as { stderr?: string; code?: string };
    if (code === 'ENOENT') throw new Error('its programs are not installed', { cause: thrown });
    throw stderr ? new Error(stderr.trim().split('\n')[0], { cause: thrown }) : thrown;
  } finally {
    await removeTree(secret);
    await removeTree(`${secret}-planted`);
    await removeTree(workspace);
  }
}
