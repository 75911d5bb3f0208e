import { spawnSync } from 'node:child_process';
import type { SandboxKind } from '../../domain/sandbox';

/** Somebody who is not root. */
export const somebody = { uid: 1234, gid: 1234 };
const isRoot = process.getuid!() === 0;
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const works = ([program, ...args]: string[], as = isRoot ? somebody : {}) =>
  spawnSync(program!, args, { ...as, cwd: '/', env: { PATH: path }, stdio: 'ignore' }).status === 0;
const unshare = ['unshare', '--mount', '--pid', '--ipc', '--fork'];
const mount = ['mount', '-n', '-t', 'tmpfs', 'tmpfs', '/mnt'];
const tries: [SandboxKind, boolean][] = [
  ['user', isRoot && works([...unshare, ...mount], {})],
  ['bubblewrap', works(['bwrap', '--ro-bind', '/', '/', '--unshare-pid', '--proc', '/proc', 'true'])],
  ['namespaces', works([...unshare, '--user', '--map-root-user', ...mount])],
];

/** The kinds of sandbox that this machine has, for root and for somebody else, as the system itself shows it. */
export const kindsHere = tries.filter(([, has]) => has).map(([kind]) => kind);
const mine = isRoot ? ['user'] : ['bubblewrap', 'namespaces'];
/** Whether whoever runs the tests has one for builds. */
export const hasSandbox = kindsHere.some((kind) => mine.includes(kind));
/** Whether the state directory can be hidden from hooks. */
export const hidesFromHooks = kindsHere.includes(isRoot ? 'user' : 'namespaces');
