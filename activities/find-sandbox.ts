import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TargetConfig } from '../domain/config';
import { messageOf } from '../domain/errors';
import { sentences } from '../domain/sentences';
import type { SandboxKind } from '../domain/sandbox';
import { removeTree } from './archive';
import { closeInherited } from './inherited';
import { canKeepKeys, sandboxOf, type Sandbox, type SandboxSettings } from './sandbox';

const run = promisify(execFile);

/**
 * Finds what this host can do, by a try from inside that reads what must not be read.
 * @returns the first kind that holds; `none` says why there is none.
 */
export async function findSandbox(settings: SandboxSettings): Promise<Sandbox> {
  closeInherited();
  if (process.platform !== 'linux')
    return sandboxOf('none', settings, sayNone(['sandboxes need Linux']), undefined, false);
  const why: string[] = [];
  let hides = true;
  await demandHolds(settings, 'hook').catch((thrown: unknown) => {
    hides = false;
    why.push(`hooks: ${messageOf(thrown)}`);
  });
  const kinds: SandboxKind[] = process.getuid!() === 0 ? ['user'] : ['bubblewrap', 'namespaces'];
  const tries = kinds.flatMap((kind) =>
    (canKeepKeys(kind) ? [true, false] : [false]).map((keeps) => ({ kind, keeps })),
  );
  const whyNotHidden = why.join('; ');
  for (const { kind, keeps } of tries)
    try {
      await demandHolds(settings, kind, keeps);
      const said = sentences(
        inWords[kind],
        !keeps &&
          'The keys that the kernel keeps for users and sessions are not kept from them: install perl',
        !hides && `The state directory cannot be hidden from hooks (${whyNotHidden})`,
      );
      return sandboxOf(kind, settings, said, undefined, hides, keeps);
    } catch (thrown) {
      why.push(`${kind}${keeps ? '' : ' without a filter of system calls'}: ${messageOf(thrown)}`);
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
  [ "$6" != filtered ] || grep -q '^Seccomp:[[:space:]]*2' /proc/self/status || echo "reached the kernel's keys"
fi
umount "$(dirname "$1")" 2>/dev/null && cat "$1" >/dev/null 2>&1 && echo "uncovered $1"
echo tried`;

/** @throws with what a try from inside could do, or why there was no inside. */
async function demandHolds(
  settings: SandboxSettings,
  kind: SandboxKind | 'hook',
  keepsKeys = false,
): Promise<void> {
  const workspace = join(settings.stateDir, 'work', `sandbox-${process.pid}-${randomUUID().slice(0, 8)}`);
  const [source, temporary] = [join(workspace, 'source'), join(workspace, 'tmp')];
  const secret = join(settings.stateDir, `sandbox-probe-${randomUUID().slice(0, 8)}`);
  try {
    await mkdir(source, { recursive: true });
    await writeFile(secret, 'not for builds', { mode: 0o644 });
    const planted = `${secret}-planted`;
    const who = kind === 'hook' ? 'hook' : 'build';
    const argv = [
      'sh',
      '-c',
      probe,
      'sh',
      secret,
      String(process.pid),
      homedir(),
      who,
      planted,
      keepsKeys ? 'filtered' : '',
    ];
    const sandbox = sandboxOf(
      kind === 'hook' ? 'none' : kind,
      // It gets no number for good.
      { ...settings, usersFolder: workspace },
      '',
      undefined,
      true,
      keepsKeys,
    );
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
