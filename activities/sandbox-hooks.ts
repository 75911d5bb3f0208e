import { existsSync, readFileSync, realpathSync } from 'node:fs';
import type { TargetConfig } from '../domain/config';
import type { Identity, SandboxSettings } from './sandbox';
import { hideFromHooks } from './sandbox-scripts';
import { secretFilesOfTarget } from './secrets';

/** Root keeps its user, but not the right to look into other processes and to take away what hides the state directory. */
export function hookArgv(
  me: Identity,
  stateDir: string,
  own: string[],
  keys: string[],
  cwd: string,
): string[] {
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

/** Files with secrets that lie elsewhere, of Signalbox and of other targets; what a target's own secrets name stays. */
export function foreignSecrets(
  stateDir: string,
  { secretFiles, targets }: SandboxSettings,
  target: TargetConfig,
): string[] {
  const others = [...targets().values()].filter(({ name }) => name !== target.name);
  const own = realPaths([...secretFilesOfTarget(target), ...valuesOf(target)]);
  return realPaths([...secretFiles, ...others.flatMap(secretFilesOfTarget)]).filter(
    (path) => !path.startsWith(`${stateDir}/`) && !own.includes(path),
  );
}
/** A variable that is handed to a target's commands may be the path of a file that they read. */
const valuesOf = ({ secrets = {} }: TargetConfig) =>
  Object.values(secrets).flatMap((of) => ('env' in of ? [process.env[of.env] ?? ''] : []));
const realPaths = (paths: string[]): string[] => [
  ...new Set(paths.filter((path) => existsSync(path)).map((path) => realpathSync(path))),
];

/** What of a target lies in the state directory itself, as the sample does. */
export function ownIn(stateDir: string, { driver, backup }: TargetConfig): string[] {
  const paths = [driver.root, ...(backup.kind === 'files' ? backup.paths : [])];
  return paths
    .filter((path) => existsSync(path))
    .map((path) => realpathSync(path))
    .filter((path) => path.startsWith(`${stateDir}/`));
}
