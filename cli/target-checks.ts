import { existsSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { whyUnusable } from '../activities/backups/tools';
import { git, whoseAdvice, withoutUserinfo } from '../activities/git-command';
import { whyRefused } from '../activities/build';
import type { Sandbox } from '../activities/sandbox';
import { whySecretsMissing } from '../activities/secrets';
import type { TargetConfig, Targets } from '../domain/config';
import { messageOf } from '../domain/errors';
import { isPath } from '../domain/git-address';
import { sentences } from '../domain/sentences';

/**
 * What a targets file that is valid needs of this host, looked at when a process starts and when it reads the file again:
 * told then, and not in the night of a deployment.
 */
export interface TargetChecks {
  /**
   * Looks whether this host has what backups need, and says what else is missing: secrets at once, repositories once they were
   * asked for; each once, until it has been right in between.
   * @throws naming each target whose backups cannot be taken here, or which demands a sandbox that this host does not have.
   */
  demand(targets: Targets): Promise<void>;
  /** Ends what is still being asked. */
  stop(): void;
}

/** A git host that does not answer at once is looked at again by the first deployment. */
const gitLimitMs = 20_000;

/**
 * @param warn hears one line of each target that lacks something.
 * @param sandbox what this host has for builds.
 */
export function createTargetChecks(warn: (line: string) => void, sandbox: Sandbox): TargetChecks {
  const said = new Map<string, string>();
  let asking = new AbortController();
  const say = (about: string, line: string | undefined) => {
    if (line !== undefined && said.get(about) !== line) warn(line);
    if (line === undefined) said.delete(about);
    else said.set(about, line);
  };
  async function askRepositories(targets: TargetConfig[], signal: AbortSignal): Promise<void> {
    for (const target of targets) {
      const line = await withoutRepository(target, signal);
      if (signal.aborted) return;
      say(`repository ${target.name}`, line);
    }
  }

  return {
    async demand(targets) {
      // The host of a runner has tools, secrets and a way to the repository of its own.
      const here = [...targets.values()].filter(({ runner }) => !runner);
      const wrong = [
        ...(await Promise.all(here.map(whyUnusable))).filter((why) => why !== undefined),
        ...here.flatMap((target) => whyRefused(target, sandbox) ?? []),
      ];
      if (wrong.length > 0) throw new Error(wrong.join('\n'));
      for (const target of here) say(`secrets ${target.name}`, withoutSecrets(target));
      for (const target of here) say(`hooks ${target.name}`, withoutTheirUser(target, sandbox));
      asking.abort();
      asking = new AbortController();
      void askRepositories(here, asking.signal);
    },
    stop: () => asking.abort(),
  };
}

/** Programs by which a command becomes somebody else, which nobody can from inside a user namespace. */
const becomes = ['sudo', 'doas', 'su', 'pkexec', 'runuser'];

function withoutTheirUser(target: TargetConfig, sandbox: Sandbox): string | undefined {
  const { name, driver, migrate } = target;
  if (!sandbox.hook(target, driver.root).includes('--user')) return undefined;
  const hooks = {
    migrate,
    ...(driver.kind === 'command'
      ? { swap: driver.swap, restore: driver.restore, observe: driver.observe }
      : { reload: driver.reload }),
  };
  const wrong = Object.entries(hooks).filter(([, hook]) => becomes.includes(basename(hook?.argv[0] ?? '')));
  if (wrong.length === 0) return undefined;
  const which = wrong.map(([hook, command]) => `${hook} (${command!.argv[0]})`).join(', ');
  return sentences(
    `${which} of ${name} cannot become another user where the state directory is hidden from it, so it will fail`,
    `Set "sandbox: none" for ${name}, or run it without that program`,
  );
}

function withoutSecrets(target: TargetConfig): string | undefined {
  const missing = whySecretsMissing(target);
  if (missing.length === 0) return undefined;
  return sentences(
    ...missing,
    `Deployments to ${target.name} fail until that is set where this process starts`,
  );
}

async function withoutRepository(
  { name, repository }: TargetConfig,
  signal: AbortSignal,
): Promise<string | undefined> {
  // Nearly always; and a process less for each.
  const there = ['.git', 'HEAD'].some((part) => existsSync(join(repository, part)));
  if (there && statSync(repository).uid === process.getuid?.()) return undefined;
  try {
    await git(['ls-remote', '--quiet', repository, 'HEAD'], { signal, limitMs: gitLimitMs });
    return undefined;
  } catch (thrown) {
    const why = withoutUserinfo(messageOf(thrown)).replaceAll(/\s+/g, ' ');
    return sentences(
      `The repository of ${name} cannot be read from this host: ${why}`,
      isPath(repository) && whoseAdvice(messageOf(thrown)),
      `Nothing can be shipped or built for ${name} until it can`,
    );
  }
}
