import { parseDocument } from 'yaml';
import { z } from 'zod';
import { reference, service, whyUnfit, type Service } from './service-config';
import { problemText, problemsOf, strict } from './strict';

/**
 * The targets file, `signalbox.config.yaml`. The operator owns it; nothing in the API writes it, so that
 * whoever can ship can not choose a command. Commands are argument lists and never pass through a shell.
 */
const seconds = (fallback: number, max = 86_400) =>
  z.number('allowed: a number of seconds').positive('allowed: more than 0').max(max).default(fallback);
const text = (what: string) => z.string(`allowed: ${what}`).min(1, `allowed: ${what}`);
const argv = z
  .array(z.string('allowed: text'), 'allowed: a list such as ["npm", "run", "build"], run without a shell')
  .min(1, 'allowed: a list with at least the program');
const command = strict({ argv, timeoutSeconds: seconds(600) });
const path = text('a path');

const health = strict({
  kind: z.literal('http', 'allowed: "http"'),
  url: z.url({ protocol: /^https?$/, error: 'allowed: an http or https URL' }),
  /** What the body must contain, so that a stale version's 200 does not count. */
  version: z
    .enum(['release', 'commit', 'revision', 'none'], 'allowed: release, commit, revision or none')
    .default('release'),
  successes: z.number('allowed: a number').int('allowed: a whole number').min(1).max(1000).default(3),
  intervalMs: z.number('allowed: milliseconds').min(1).max(60_000).default(500),
  requestTimeoutMs: z.number('allowed: milliseconds').min(1).max(60_000).default(2_000),
  deadlineSeconds: seconds(60),
});

const target = strict({
  environment: text('a name such as production').default('production'),
  /** A path (relative to the targets file) or a URL that git reads. */
  repository: text('a path or URL of a git repository').refine((value) => !value.startsWith('-'), {
    error: 'allowed: a path or URL that does not start with a dash',
  }),
  build: strict({
    argv,
    /** Folder inside the checkout that becomes the release. */
    output: text('a folder inside the repository')
      .refine((value) => !/^[/\\]|(^|[/\\])\.\.([/\\]|$)/.test(value), {
        error: 'allowed: a folder inside the repository, without ".."',
      })
      .default('dist'),
    timeoutSeconds: seconds(1800),
    /** What is larger does not become a release. */
    maxBytes: z.number('allowed: bytes').int('allowed: a whole number').min(1).default(4_294_967_296),
  }),
  driver: strict({
    kind: z.literal('directory', 'allowed: "directory"'),
    /** Holds `releases/<digest>` and the `current` link. */
    root: path,
    keepReleases: z.number('allowed: a number').int('allowed: a whole number').min(1).max(1000).default(5),
    reload: command.optional(),
  }),
  backup: strict({
    kind: z.literal('files', 'allowed: "files"'),
    paths: z.array(path, 'allowed: a list of paths').min(1, 'allowed: at least one path'),
  }),
  migrate: strict({
    argv,
    timeoutSeconds: seconds(600),
    /** Whether rolling back puts the backup's data back. Writes made since are lost if it does. */
    restoreDataOnRollback: z.boolean('allowed: true or false').default(false),
  }).optional(),
  health,
  promotionsEnabled: z.boolean('allowed: true or false').default(true),
  promotionsDisabledReason: text('why promotions are off').optional(),
  /**
   * What happens to deployments that wait for this target's lane: `queue` runs them in the order of their
   * clicks; `supersede` ends a waiting one when a newer promotion waits, runs or is live.
   */
  concurrency: z.enum(['queue', 'supersede'], 'allowed: queue or supersede').default('queue'),
  /** Values are read from the environment or a file when a command needs them, and never stored. */
  secrets: z
    .record(z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'allowed: names such as API_KEY'), reference)
    .default({}),
  /** How long an undo is retried before the deployment becomes rollback-failed and an SRE is asked. */
  undoAlarmSeconds: seconds(600),
});

export const targetName = z
  .string('allowed: a name')
  .regex(/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/, 'allowed: lower-case letters, digits and dashes');

const file = strict({
  ...service,
  targets: z.record(targetName, target, {
    error: (issue) =>
      issue.code === 'invalid_key'
        ? 'allowed: names of lower-case letters, digits and dashes'
        : 'allowed: targets by name',
  }),
});

export type TargetConfig = z.infer<typeof target> & { name: string };
export type Targets = ReadonlyMap<string, TargetConfig>;
export interface Config extends Service {
  targets: Targets;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Its targets alone. @throws ConfigError */
export const parseTargets = (source: string, where: string): Targets => parseConfig(source, where).targets;

/**
 * Parses the operator's file.
 * @param source YAML text. @param where the file's path, for messages.
 * @throws ConfigError naming each wrong path, what was found there and what is allowed.
 */
export function parseConfig(source: string, where: string): Config {
  const document = parseDocument(source);
  if (document.errors.length > 0)
    throw new ConfigError(`${where} is not valid YAML:\n${document.errors.map((e) => e.message).join('\n')}`);
  const input: unknown = document.toJS();
  const parsed = file.safeParse(input);
  if (!parsed.success)
    throw new ConfigError(
      `${where} is not a valid targets file. Correct it and start again.\n${problemText(problemsOf(parsed.error, input))}`,
    );
  const unfit = whyUnfit(parsed.data);
  if (unfit) throw new ConfigError(`${where} is not valid: ${unfit}`);
  const targets = Object.entries(parsed.data.targets).map(
    ([name, config]) => [name, { ...config, name }] as const,
  );
  return { ...parsed.data, targets: new Map(targets) };
}
