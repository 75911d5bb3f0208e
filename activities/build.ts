import { existsSync } from 'node:fs';
import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { constants, hostname } from 'node:os';
import { join } from 'node:path';
import type { TargetConfig } from '../domain/config';
import { messageOf } from '../domain/errors';
import { failpoint } from '../domain/failpoint';
import { buildRecipe } from '../db/digest';
import { isInside, isRelease, packCanonical, readBack, removeTree, settle } from './archive';
import type { TargetDeps } from './deps';
import { heldIn } from './drivers/numbers';
import { fenced } from './fence';
import { privateUmask, releaseUmask, runCommand, type CommandEnd } from './process';
import type { Sandbox } from './sandbox';
import { FaultError, scarcity, tryAgainCode, verdict, type FaultCause } from './causes';
import { cancelled, type RunStep, type StepContext, type StepInput } from './step';
import { sentences } from '../domain/sentences';

type BuildDeps = Pick<TargetDeps, 'source' | 'targets' | 'stateDir'>;

/**
 * Build: a clean checkout, the target's command, and the result as a content-addressed archive. The same
 * commit with the same recipe is not built twice. An unreferenced archive harms nobody, so build has no undo.
 */
export const createBuild =
  ({ source: repositories, targets, stateDir }: BuildDeps, runStep: RunStep) =>
  (input: StepInput): Promise<{ release: string }> =>
    runStep('build', ['running'], input, async (context) => {
      const { target, room, note } = context;
      const { commit, built } = context.attempt;
      const recipe = buildRecipe(target);
      if (built && (await intact(room.artifact(built), built)))
        return {
          value: { release: built },
          detail: `reused release ${short(built)}, built from the same commit with the same recipe`,
          made: { kind: 'release', release: built },
        };

      const startedAt = new Date();
      const source = join(room.workspace, 'source');
      const temporary = join(room.workspace, 'tmp');
      await mkdir(temporary, { recursive: true });
      note(`build: checking out ${commit}`);
      try {
        const all = [...targets().values()];
        const others = all.filter(({ name }) => name !== target.name);
        const origin = { ...target, closed: [stateDir], made: all.flatMap(madeOf), others };
        await repositories.checkout(origin, commit, source, context.signal);
      } catch (thrown) {
        if (context.signal.aborted) throw cancelled();
        throw thrown;
      }
      demandSandbox(context);
      note(`build: running ${JSON.stringify(target.build.argv)}`);
      const { argv } = target.build;
      const inside = await context.sandbox.build({
        target,
        workspace: room.workspace,
        source,
        temporary,
        argv,
      });
      if (inside.note) note(`build: ${inside.note}`);
      const command = { ...target.build, argv: inside.argv, shown: argv.join(' ') };
      await runTargetCommand(context, 'build', command, source, { SIGNALBOX_COMMIT: commit, ...inside.env });

      await failpoint('build/middle');
      const output = join(source, target.build.output);
      // Followed through every link: what the repository holds must not name a folder outside of it.
      const real = await realpath(output).catch(() => undefined);
      if (real && !isInside(await realpath(source), real))
        throw verdict(
          'BuildFailed',
          `The folder "${target.build.output}" is a link that leaves the repository.`,
        );
      if (!real || !(await stat(real)).isDirectory())
        throw verdict(
          'BuildFailed',
          `The build made no folder "${target.build.output}"; correct build.output or the build.`,
        );
      // Beside its place, which may be on another file system than the workspace.
      const fresh = room.artifact(`${context.name}.${context.tryName}.new`);
      const packed = await packCanonical(real, fresh, target.build.maxBytes).catch(
        async (thrown: unknown) => {
          await removeTree(fresh);
          if (scarcity(thrown)) throw thrown;
          throw verdict(
            'BuildFailed',
            sentences(`The build's output cannot become a release: ${messageOf(thrown)}`),
          );
        },
      );
      const finishedAt = new Date();
      const archive = room.artifact(packed.sha256);
      const provenance = {
        release: packed.sha256,
        target: target.name,
        commit,
        recipe,
        argv: target.build.argv,
        builder: `signalbox on ${hostname()}`,
        deployment: input.key,
        startedAt,
        finishedAt,
      };
      await mkdir(join(archive, '..'), { recursive: true });
      await writeFile(`${archive.slice(0, -4)}.json`, `${JSON.stringify(provenance, null, 2)}\n`);
      await settle(fresh, archive);
      return {
        value: { release: packed.sha256 },
        detail: `release ${short(packed.sha256)}: ${packed.entries} entries, ${packed.bytes} bytes`,
        made: {
          kind: 'release',
          release: packed.sha256,
          build: {
            recipe,
            bytes: packed.bytes,
            startedAt: startedAt.toISOString(),
            finishedAt: finishedAt.toISOString(),
          },
        },
      };
    });

/** What was asked for at the start may have been lost since, or the targets file may say something else by now. */
function demandSandbox({ target, sandbox }: StepContext): void {
  const why = whyRefused(target, sandbox);
  if (why !== undefined) throw verdict('BuildFailed', why);
}
/** Why this host builds nothing for a target; undefined when it does. */
export const whyRefused = ({ name, requireSandbox }: TargetConfig, sandbox: Sandbox): string | undefined =>
  requireSandbox && sandbox.kind === 'none'
    ? sentences(
        `${name} demands that its builds run in a sandbox (requireSandbox), and this host has none; nothing was built`,
        sandbox.said,
      )
    : undefined;

/** Folders of a target in which builds, or what they made, write. */
const madeOf = ({ driver, backup, sandbox }: TargetConfig): string[] => [
  driver.root,
  ...(backup.kind === 'files' ? backup.paths : []),
  ...(typeof sandbox === 'object' ? sandbox.write : []),
];

const runFenced = join(__dirname, 'drivers', 'run-fenced.js');
/** Exit code by which it says that a higher number has acted; a command may end with it too. */
const refusedCode = 77;
/** As a shell says it: there is no such program, or it cannot be run. */
const noProgramCode = 127;

/**
 * Runs one of the target's commands into the log.
 * @param fence for a command that changes the target: its fencing number; it is refused once a higher one acted there.
 * @throws a verdict when it fails, Cancelled when stopped.
 */
export async function runTargetCommand(
  context: StepContext,
  what: string,
  command: {
    argv: string[];
    timeoutSeconds: number;
    /** What people are told it is. */
    shown?: string;
    /** A helper of Signalbox itself, which acts on what lies in the state directory. */
    own?: true;
    /** Of a tool that says by words alone when it is to be tried again: what a line of its error output means. */
    faultIn?(line: string): FaultCause | undefined;
    /** Is told when it is certain that the command did not run. */
    notRun?(): Promise<void>;
  },
  cwd: string,
  env: Record<string, string>,
  fence?: number,
  more: object = {},
): Promise<void> {
  await mkdir(context.room.workspace, { recursive: true });
  await context.goesOn();
  const lastErrors: string[] = [];
  let fault: { cause: FaultCause; line: string } | undefined;
  const notRun = join(context.room.workspace, 'not-run');
  await rm(notRun, { force: true });
  const { sandbox, target } = context;
  // A build has its own sandbox around it already.
  const hidden = command.own || what === 'build' ? [] : sandbox.hook(target, cwd);
  const number = {
    hidden,
    notRun,
    room: context.driver.room,
    fence,
    by: `${context.key} ${context.step}`,
    origin: context.attempt?.origin,
    ...more,
  };
  const ended = await runCommand({
    argv:
      fence === undefined
        ? [...hidden, ...command.argv]
        : [process.execPath, runFenced, JSON.stringify(number), ...command.argv],
    cwd,
    env: {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      LANG: 'C.UTF-8',
      SIGNALBOX_TARGET: context.target.name,
      ...env,
      ...context.secrets,
    },
    mark: context.room.workspace,
    timeoutMs: command.timeoutSeconds * 1000,
    ...(what === 'build' ? { umask: releaseUmask } : what === 'backup' ? { umask: privateUmask } : {}),
    signal: context.signal,
    redact: context.redact,
    onLine(stream, text) {
      if (stream === 'err' && text) {
        lastErrors.push(text);
        if (lastErrors.length > shownErrors) lastErrors.shift();
        const cause = command.faultIn?.(text);
        if (cause) fault ??= { cause, line: text };
      }
      context.log.write(stream, text);
    },
    ready: () => context.log.ready(),
  }).catch(async (thrown: unknown) => {
    await command.notRun?.();
    const why = `${what}: ${command.argv[0]} could not be started: ${messageOf(thrown)}`;
    const scarce = scarcity(thrown);
    if (scarce) throw new FaultError(scarce, why);
    // The system names the program also when it is the folder that is missing.
    if (!existsSync(cwd)) throw new FaultError('unexpected', `${why}; its folder ${cwd} is gone`);
    throw verdict('command-failed', why);
  });
  const end = what === 'build' && sandbox.kind !== 'none' ? asShellsSay(ended) : ended;
  const unrun = await readFile(notRun, 'utf8').catch(() => undefined);
  if (unrun !== undefined) await command.notRun?.();
  if (end.kind === 'aborted') throw cancelled();
  if (fence !== undefined && end.kind === 'exited' && end.code === refusedCode) {
    const held = heldIn(context.driver.room).fence;
    if (held > fence) throw fenced(context.target.name, fence, held);
  }
  if (end.kind === 'exited' && end.code === 0) return;
  if (unrun !== undefined && end.kind === 'exited' && end.code === noProgramCode)
    throw verdict('command-failed', sentences(`${what}: ${command.argv[0]} could not be started: ${unrun}`));
  const why = `${what} failed: ${command.shown ?? command.argv.join(' ')} ${describe(end, command.timeoutSeconds)}`;
  const said = lastErrors.map((line) => line.trim().slice(0, shownChars)).filter(Boolean);
  const withErrors = said.length > 0 ? `${why}: ${said.join(' / ')}` : why;
  if (wasKilled(end)) throw new FaultError('killed', `${why}, and not by Signalbox`);
  if (fault && end.kind === 'exited') throw new FaultError(fault.cause, `${why}: ${fault.line}`);
  if (end.kind === 'exited' && end.code === tryAgainCode)
    throw new FaultError('asks-to-be-tried-again', withErrors);
  throw verdict('command-failed', sentences(withErrors));
}

/** The first process of a sandbox says of what it runs as a shell does by which signal it ended. */
function asShellsSay(end: CommandEnd): CommandEnd {
  const number = end.kind === 'exited' ? end.code - 128 : 0;
  const [signal] = Object.entries(constants.signals).find(([, value]) => value === number) ?? [];
  return signal ? { kind: 'signalled', signal } : end;
}

/** Of what a command that failed wrote last to its error output; the log has the whole. */
const shownErrors = 3;
const shownChars = 300;

/** By somebody else, as a shell says it too; a program that crashes is ended by other signals, which it causes itself. */
const wasKilled = (end: CommandEnd) =>
  end.kind === 'signalled'
    ? ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'].includes(end.signal)
    : end.kind === 'exited' && [137, 143].includes(end.code);

const describe = (end: CommandEnd, seconds: number) =>
  end.kind === 'exited'
    ? `exited with ${end.code}`
    : end.kind === 'timed-out'
      ? `did not finish within ${seconds} s and was killed`
      : `was ended by ${end.kind === 'signalled' ? end.signal : 'us'}`;

export const short = (digest: string | null): string => digest?.slice(0, 12) ?? 'none';

/** An archive that this host cannot read just now is not an altered one. */
export function alteredUnlessScarce(thrown: unknown): false {
  if (scarcity(thrown)) throw thrown;
  return false;
}

async function intact(archive: string, digest: string): Promise<boolean> {
  if (!existsSync(archive)) return false;
  return readBack(archive).then((found) => found.sha256 === digest, alteredUnlessScarce);
}

/**
 * Sees to it that a release can be unpacked again: one whose archive is missing or altered is packed from its folder, if
 * that is what it was.
 * @param fresh where it is packed, beside the archive. @returns false: neither is.
 */
export async function keepArchive(
  release: string,
  folder: string,
  archive: string,
  fresh: string,
): Promise<boolean> {
  if (await intact(archive, release)) return true;
  if (!(await isRelease(folder, release))) return false;
  try {
    // Whatever serves it may have written into it meanwhile.
    if ((await packCanonical(folder, fresh)).sha256 !== release) return false;
    await settle(fresh, archive);
    return true;
  } finally {
    await removeTree(fresh);
  }
}

/** The archive of a release, checked against its digest. @throws when it is lost, and its folder is not what it was. */
export async function archiveOf(context: StepContext, release: string): Promise<string> {
  const { room, target, name, tryName } = context;
  const archive = room.artifact(release);
  const folder = join(target.driver.root, 'releases', release);
  if (!(await keepArchive(release, folder, archive, room.artifact(`${name}.${tryName}.new`))))
    throw verdict(
      'ArtifactLost',
      `The archive of release ${short(release)} is missing or altered (${archive}), and so is its folder ${folder}. Put the archive back, from a copy or from the state directory by which it was deployed; or ship and deploy its revision, which builds it again.`,
    );
  return archive;
}

export function releaseOf({ attempt }: StepContext): string {
  if (!attempt.release) throw verdict('NoRelease', 'This attempt has no release yet.');
  return attempt.release;
}
