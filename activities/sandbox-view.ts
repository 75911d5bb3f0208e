import { existsSync, lstatSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { homedir, totalmem } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import type { TargetConfig } from '../domain/config';
import type { SandboxSettings } from './sandbox';
import { secretFilesOfTarget } from './secrets';

/**
 * What a build finds: a list of what is there, instead of what is hidden, because nobody knows all that should be. Later
 * entries lie over earlier ones.
 */
type Entry =
  | { how: 'read' | 'write'; path: string; from?: string }
  | { how: 'link'; path: string; to: string }
  /** Covered by an empty folder, in which only what comes later lies; or by an empty file. */
  | { how: 'cover'; path: string; folder: boolean };
export interface View {
  entries: Entry[];
  cwd: string;
  network: boolean;
  /** For prlimit. */
  limits: string[];
}

/** Where programs and their settings lie. */
const system = [
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/etc',
  '/opt',
  '/nix',
  '/snap',
];
const mebi = 1_048_576;

export function viewOf(asked: {
  target: TargetConfig;
  settings: SandboxSettings;
  /** Of this try: holds `passwd` and `group`. */
  rooms: string;
  source: string;
  temporary: string;
}): View {
  const { target, settings, rooms, source, temporary } = asked;
  const own = typeof target.sandbox === 'object' ? target.sandbox : undefined;
  const read = (path: string): Entry => ({ how: 'read', path });
  const shown: Entry[] = [
    ...system.filter((path) => existsSync(path)).map(asItIs),
    { how: 'write', path: '/tmp', from: temporary },
    { how: 'write', path: '/var/tmp', from: temporary },
    ...[...tools(), ...namesServer(), '/sys/devices/system/cpu'].filter((path) => existsSync(path)).map(read),
    ...(own?.read ?? []).map(read),
    ...(own?.write ?? []).map((path): Entry => ({ how: 'write', path })),
  ];
  // By where a path really leads, and at each place where that can be seen.
  const covered = nobodys(settings)
    .filter((path) => existsSync(path))
    .flatMap((path) => {
      const real = realpathSync(path);
      const folder = statSync(real).isDirectory();
      return shown
        .filter((entry) => entry.how !== 'link' && !('from' in entry))
        .flatMap(({ path: top }) => {
          const from = realpathSync(top);
          if (real !== from && !real.startsWith(`${from}/`)) return [];
          return [{ how: 'cover' as const, path: top + real.slice(from.length), folder }];
        });
    });
  // What lies in one of them is not there any more.
  const outermost = covered.filter(
    ({ path }) => !covered.some((other) => other.folder && path.startsWith(`${other.path}/`)),
  );
  return {
    entries: [
      ...shown,
      ...outermost,
      { how: 'read', path: '/etc/passwd', from: join(rooms, 'passwd') },
      { how: 'read', path: '/etc/group', from: join(rooms, 'group') },
      { how: 'write', path: source },
      { how: 'write', path: temporary },
    ],
    cwd: source,
    network: own?.network ?? true,
    limits: [
      '--core=0',
      `--nproc=${own?.processes ?? 2048}`,
      `--fsize=${(own?.fileMiB ?? 8192) * mebi}`,
      `--data=${own?.memoryMiB ? own.memoryMiB * mebi : Math.floor((totalmem() * 3) / 4)}`,
    ],
  };
}

const asItIs = (path: string): Entry =>
  lstatSync(path).isSymbolicLink() ? { how: 'link', path, to: readlinkSync(path) } : { how: 'read', path };

/** Programs that lie elsewhere: where PATH leads, and the installation of this program's Node. */
function tools(): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/'));
  const node = dirname(dirname(realpathSync(process.execPath)));
  const whole =
    [homedir(), '/'].includes(node) || basename(dirname(realpathSync(process.execPath))) !== 'bin';
  const all = [...folders, whole ? dirname(process.execPath) : node];
  return [...new Set(all)].filter(
    (path) =>
      path !== '/' && path !== homedir() && !system.some((top) => path === top || path.startsWith(`${top}/`)),
  );
}

/** What /etc/resolv.conf leads to. */
function namesServer(): string[] {
  try {
    const real = realpathSync('/etc/resolv.conf');
    return real.startsWith('/etc/') ? [] : [real];
  } catch {
    return [];
  }
}

/** What no build may see, wherever it lies. */
function nobodys({ stateDir, targets, secretFiles }: SandboxSettings): string[] {
  return [
    stateDir,
    ...secretFiles,
    ...[...targets().values()].flatMap((target) => [
      target.driver.root,
      ...(target.backup.kind === 'files' ? target.backup.paths : []),
      ...secretFilesOfTarget(target),
    ]),
  ];
}

const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'].map((name) => `/dev/${name}`);
const descriptors = [
  '/dev/fd /proc/self/fd',
  '/dev/stdin /proc/self/fd/0',
  '/dev/stdout /proc/self/fd/1',
  '/dev/stderr /proc/self/fd/2',
  '/dev/ptmx pts/ptmx',
];

/** @param root an empty folder. @returns the arguments of the script that makes it. */
export function scriptOf({ entries, cwd }: View, root: string): string[] {
  const files: string[] = devices;
  const links = [...descriptors];
  const table: string[] = [];
  const add = (from: string, to: string, kind: string, options: string) =>
    table.push(`${escaped(from)} ${escaped(root + to)} ${kind} ${options} 0 0`);
  const made: string[] = [...files];
  for (const entry of entries)
    if (entry.how === 'link') links.push(`${entry.path} ${entry.to}`);
    else if (entry.how === 'cover') {
      if (entry.folder) add('tmpfs', entry.path, 'tmpfs', 'size=64k,mode=555');
      else add('/dev/null', entry.path, 'none', 'bind,ro');
    } else {
      const from = entry.from ?? entry.path;
      const folder = statSync(from).isDirectory();
      // What is there already has its place.
      if (!folder && !entry.from) made.push(entry.path);
      const flags = entry.how === 'read' ? `rbind,ro${lockedIn(from)}` : 'rbind';
      add(from, entry.path, 'none', folder ? `${flags},X-mount.mkdir` : flags);
    }
  add('proc', '/proc', 'proc', 'nosuid,nodev,noexec,X-mount.mkdir');
  for (const device of devices) add(device, device, 'none', 'bind');
  add('devpts', '/dev/pts', 'devpts', 'newinstance,ptmxmode=0666,mode=620,X-mount.mkdir');
  add('tmpfs', '/dev/shm', 'tmpfs', 'size=64m,mode=1777,nosuid,nodev,X-mount.mkdir');
  return [root, table.join('\n'), made.join('\n'), links.join('\n'), cwd];
}
const escaped = (path: string) =>
  path.replaceAll('\\', '\\134').replaceAll(' ', '\\040').replaceAll('\t', '\\011').replaceAll('\n', '\\012');

/** What a mount has that a user's own namespace may not take away. */
function lockedIn(path: string): string {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((row) => row.split(' '));
  const real = realpathSync(path);
  const over = mounts
    .filter(([, , , , at]) => at && (real === at || real.startsWith(at === '/' ? '/' : `${at}/`)))
    .reduce<string[] | undefined>(
      (best, row) => (best && best[4]!.length > row[4]!.length ? best : row),
      undefined,
    );
  const locked = (over?.[5] ?? '').split(',').filter((flag) => ['nosuid', 'nodev', 'noexec'].includes(flag));
  return locked.map((flag) => `,${flag}`).join('');
}

/** The same for bubblewrap. */
export const bubblewrapOf = ({ entries, cwd, network }: View): string[] => [
  ...['--unshare-user-try', '--unshare-pid', '--unshare-ipc', ...(network ? [] : ['--unshare-net'])],
  ...['--die-with-parent', '--cap-drop', 'ALL'],
  ...entries.flatMap((entry) => {
    if (entry.how === 'link') return ['--symlink', entry.to, entry.path];
    if (entry.how === 'cover')
      return entry.folder ? ['--tmpfs', entry.path] : ['--ro-bind', '/dev/null', entry.path];
    return [entry.how === 'read' ? '--ro-bind' : '--bind', entry.from ?? entry.path, entry.path];
  }),
  ...['--proc', '/proc', '--dev', '/dev'],
  // Not before: what lies in them has to be made.
  ...entries.flatMap(({ how, path, ...entry }) =>
    how === 'cover' && 'folder' in entry && entry.folder ? ['--remount-ro', path] : [],
  ),
  ...['--remount-ro', '/', '--chdir', cwd],
];
