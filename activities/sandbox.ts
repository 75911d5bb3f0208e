import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TargetConfig, Targets } from '../domain/config';
import type { SandboxKind } from '../domain/sandbox';
import { userNumberOf, type Taken } from './build-users';
import { verdict } from './causes';
import { foreignSecrets, hookArgv, ownIn } from './sandbox-hooks';
import { endsFirst, enterAsRoot } from './sandbox-scripts';
import { keysFilter, loadFilter } from './sandbox-syscalls';
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
  /** Prepares a build. @returns the command that runs it in the sandbox, what the build is told by its environment, and what people are told. */
  build(order: BuildOrder): Promise<{ argv: string[]; env: Record<string, string>; note?: string }>;
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
  /** Files with secrets of Signalbox itself that lie elsewhere. */
  secretFiles: string[];
  /** Where this host remembers as which user each target's builds run; left out: in a folder of the system. */
  usersFolder?: string;
}
/** Who Signalbox is on this host. */
export interface Identity {
  uid: number;
  gid: number;
}

const run = promisify(execFile);

/**
 * @param me whose sandbox it is: what runs it has to be started as this user.
 * @param keepsKeys whether builds are kept from the kernel's keys.
 */
export function sandboxOf(
  kind: SandboxKind,
  settings: SandboxSettings,
  said = '',
  me: Identity = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  hidesFromHooks = kind !== 'none',
  keepsKeys = canKeepKeys(kind),
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
      const user =
        kind === 'user'
          ? await userNumberOf({ stateDir, target: target.name }, settings.usersFolder)
          : undefined;
      const as = user ? { uid: user.number, gid: user.number } : me;
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
      const filter = keepsKeys ? keysFilter() : undefined;
      if (filter) await publish(join(rooms, 'filter'), filter);
      return {
        argv: [...entering(kind, view, as, rooms, filter), ...argv],
        env: { HOME: temporary, TMPDIR: temporary },
        ...(user?.taken ? { note: otherNumber(target.name, user.number, user.taken) } : {}),
      };
    },
    hook(target, cwd) {
      if (!hidesFromHooks || target.sandbox === 'none') return [];
      // Over it the cover is made that the state directory then gets.
      mkdirSync(join(stateDir, 'work'), { recursive: true });
      return hookArgv(me, stateDir, ownIn(stateDir, target), foreignSecrets(stateDir, settings, target), cwd);
    },
  };
}

const perl = ['/usr/bin/perl', '/usr/local/bin/perl'].find((path) => existsSync(path));
/** Bubblewrap loads a filter itself; of the other kinds' programs only recent ones do. */
export const canKeepKeys = (kind: SandboxKind): boolean =>
  keysFilter() !== undefined && (kind === 'bubblewrap' || (kind !== 'none' && perl !== undefined));

const otherNumber = (target: string, number: number, { number: wished, by }: Taken): string =>
  `builds of ${target} run as user ${number}, because ${wished} is that of ${by.target}${by.target === target ? ` in ${by.stateDir}` : ''}; what they write to outside of the checkout has to be writable for ${number}`;

function entering(kind: SandboxKind, view: View, as: Identity, rooms: string, filter?: Buffer): string[] {
  const filtered = filter && perl ? loadFilter(perl, filter) : [];
  const limited = ['prlimit', ...view.limits, '--'];
  // Dies with Signalbox, and all in it with its first process.
  if (kind === 'bubblewrap') {
    const bwrap = filter
      ? ['sh', '-c', 'exec "$@" 9<"$0"', join(rooms, 'filter'), 'bwrap', '--seccomp', '9']
      : ['bwrap'];
    return [...bwrap, ...bubblewrapOf(view), '--', 'sh', '-c', endsFirst, 'sh', ...limited];
  }
  const own = ['--mount', '--pid', '--ipc', ...(view.network ? [] : ['--net'])];
  const unshare = ['setpriv', '--pdeathsig=KILL', 'unshare', ...own, '--fork', '--kill-child'];
  const bare = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  const enter = ['sh', '-c', enterAsRoot, 'sh', ...scriptOf(view, join(rooms, 'root'))];
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
      ...filtered,
      ...limited,
    ];
  return [
    ...[...unshare, '--user', '--map-root-user', ...enter],
    ...['unshare', '--user', `--map-user=${as.uid}`, `--map-group=${as.gid}`, 'setpriv', '--no-new-privs'],
    ...filtered,
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

/** Whatever the umask: it is read by another user. */
async function publish(file: string, text: string | Buffer): Promise<void> {
  await writeFile(file, text);
  await chmod(file, 0o644);
}

const passwdOf = ({ uid, gid }: Identity, home: string) =>
  `root:x:0:0:root:/:/bin/sh\nbuild:x:${uid}:${gid}:build:${home}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n`;
