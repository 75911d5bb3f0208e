import { parseDocument } from 'yaml';
import { z } from 'zod';
import { messageOf } from './errors';
import { addressOf, isPath } from './git-address';
import { changeTypes, risks } from './machines';
import { reference, service, whyUnfit, type Service } from './service-config';
import { problemText, problemsOf, strict } from './strict';

/**
 * The targets file, `signalbox.config.yaml`. The operator owns it; nothing in the API writes it, so that
 * whoever can ship can not choose a command. Commands are argument lists and never pass through a shell.
 */
const seconds = (fallback: number, max = 86_400) =>
  z.number(`allowed: seconds, more than 0 and at most ${max}`).positive().max(max).default(fallback);
/** Whatever is wrong with it, one is told the whole range. */
const ranged = (what: string, min: number, max: number) =>
  z.number(`allowed: ${what} from ${min} to ${max}`).min(min).max(max);
const whole = (min: number, max: number) => ranged('a whole number', min, max).int();
const text = (what: string) => z.string(`allowed: ${what}`).min(1, `allowed: ${what}`);
const argv = z
  .array(z.string('allowed: text'), 'allowed: a list such as ["npm", "run", "build"], run without a shell')
  .min(1, 'allowed: a list with at least the program');
const command = strict({ argv, timeoutSeconds: seconds(600) });
const path = text('a path');
const mebibytes = whole(1, 1_048_576);

/** What builds find besides the system's programs and their own checkout, and what they may use. */
const sandbox = z.union(
  [
    // Of the hooks alone: they see the state directory. Builds are always in a sandbox, where the host has one.
    z.literal('none'),
    strict({
      network: z.boolean('allowed: true or false').default(true),
      /** Files and folders that builds may read, such as a toolchain of one's own. */
      read: z.array(path, 'allowed: a list of paths').default([]),
      /** Those that they may write, such as a cache; or a socket. */
      write: z.array(path, 'allowed: a list of paths').default([]),
      /** Of one process; left out: three quarters of the host's. */
      memoryMiB: mebibytes.optional(),
      /** At once, with their threads. */
      processes: whole(1, 1_000_000).optional(),
      /** Of one file. */
      fileMiB: mebibytes.optional(),
    }),
  ],
  'allowed: none, or {network, read, write, memoryMiB, processes, fileMiB}',
);

const health = strict({
  kind: z.literal('http', 'allowed: "http"'),
  url: z.url({ protocol: /^https?$/, error: 'allowed: an http or https URL' }),
  /** What the body must contain, so that a stale version's 200 does not count. */
  version: z
    .enum(['release', 'commit', 'revision', 'none'], 'allowed: release, commit, revision or none')
    .default('release'),
  successes: whole(1, 1000).default(3),
  intervalMs: ranged('milliseconds', 1, 60_000).default(500),
  requestTimeoutMs: ranged('milliseconds', 1, 60_000).default(2_000),
  deadlineSeconds: seconds(60),
});

const risk = z.enum(risks, `allowed: ${risks.join(', ')}`);
const list = <T extends z.ZodType>(item: T, what: string) => z.array(item, `allowed: a list of ${what}`);
const hours = z
  .number('allowed: hours, more than 0 and at most 8784')
  .positive()
  .max(24 * 366);

const level = strict({
  name: text('a name'),
  groups: list(text('a group'), 'groups').min(1, 'allowed: at least one group'),
  quorum: whole(1, 20).default(1),
  mandatory: list(text('a group'), 'groups').default([]),
})
  .refine((l) => l.mandatory.every((group) => l.groups.includes(group)), {
    error: 'allowed: groups that stand in groups too',
    path: ['mandatory'],
  })
  .refine((l) => l.mandatory.length <= l.quorum, {
    error: 'allowed: at least as many as there are mandatory groups',
    path: ['quorum'],
  });

/** Who approves which changes, in which order. The first rule that fits a change counts. */
const approvalRule = strict({
  types: list(z.enum(changeTypes, `allowed: ${changeTypes.join(', ')}`), 'change types').optional(),
  risks: list(risk, 'risks').optional(),
  levels: list(level, 'levels').min(1, 'allowed: at least one level').max(10),
  /** Again and again, until it is decided. */
  remindHours: hours.optional(),
  escalateHours: hours.optional(),
  /** Undecided for so long, it is rejected and can be revised. */
  expireHours: hours.optional(),
  /** An approval that was not used for so long has to be given again. */
  bindsHours: hours.optional(),
});

const riskPolicy = strict({
  base: risk.default('low'),
  paths: list(
    strict({ match: text('a pattern such as migrations/**'), risk, reason: text('why').optional() }),
    'rules',
  ).default([{ match: '**/{migrations,migrate}{/**,.*}', risk: 'high', reason: 'a migration' }]),
  lines: list(
    strict({ from: z.number('allowed: a whole number of lines, at least 1').int().min(1), risk }),
    'rules',
  ).default([
    { from: 500, risk: 'medium' },
    { from: 5000, risk: 'high' },
  ]),
  rollbackRate: list(strict({ over: z.number('allowed: 0 to 1').min(0).max(1), risk }), 'rules').default([
    { over: 0.25, risk: 'medium' },
    { over: 0.5, risk: 'high' },
  ]),
}).prefault({});

const releases = {
  /** Holds `releases/<digest>`, for a directory also the `current` link, and what Signalbox keeps with the target. */
  root: path,
  keepReleases: whole(1, 1000).default(5),
};

const retention = {
  /** Backups are kept for so long, and as long as a release could still return to what they belong to. */
  keepDays: ranged('days', 1, 3650).default(30),
};

const target = strict({
  environment: text('a name such as production').default('production'),
  /** A path (relative to the targets file) or a URL that git reads. */
  repository: text('a path or URL of a git repository').refine((value) => !value.startsWith('-'), {
    error: 'allowed: a path or URL that does not start with a dash',
  }),
  /**
   * From where else a build's checkout may come: addresses with which those of submodules, and of what Git LFS keeps, have
   * to begin. Left out: the place of the repository (for a URL its host, for a path the folder that holds it).
   */
  submodules: list(
    text('an address').refine((value) => isPath(value) || addressOf(value) !== undefined, {
      error: 'allowed: an address such as https://git.example.org/shared/, or a folder',
    }),
    'addresses',
  ).optional(),
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
    maxBytes: z.number('allowed: a whole number of bytes, at least 1').int().min(1).default(4_294_967_296),
  }),
  driver: z.discriminatedUnion(
    'kind',
    [
      strict({ kind: z.literal('directory'), ...releases, reload: command.optional() }),
      // What makes a release live, puts back the one from before, and prints the digest of the one that is live.
      strict({ kind: z.literal('command'), ...releases, swap: command, restore: command, observe: command }),
    ],
    'allowed: kind "directory" or "command"',
  ),
  backup: z.discriminatedUnion(
    'kind',
    [
      strict({
        kind: z.literal('files'),
        paths: z.array(path, 'allowed: a list of paths').min(1, 'allowed: at least one path'),
        ...retention,
      }),
      strict({
        kind: z.literal('postgres'),
        /** Its URL. The login owns what is backed up, and may make databases where backups are verified. */
        database: reference,
        /** URL of another server on which backups are verified; left out: on the same. */
        scratch: reference.optional(),
        /** Folder of pg_dump, pg_restore and psql; left out: as PATH has them. */
        binaries: path.optional(),
        timeoutSeconds: seconds(3600),
        ...retention,
      }),
    ],
    'allowed: kind "files" or "postgres"',
  ),
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
  approval: list(approvalRule, 'rules').default([]),
  /** How risky a change is. */
  risk: riskPolicy,
  /** Deadline of the review that follows an emergency change or an overridden window. */
  reviewHours: hours.default(72),
  /** Whether deploying here moves the backlog items that a promotion carries to done; rolling it back reopens them. */
  itemsDoneWhenDeployed: z.boolean('allowed: true or false').default(false),
  /** How long a deployment may hold just before its swap when its window has closed; then it is undone. */
  windowHoldSeconds: seconds(3600, 7 * 86_400),
  /**
   * Its steps are done by a runner on its own host (`signalbox worker --runner <target>`), which polls a queue of its
   * own; left out: by the workers.
   */
  runner: strict({
    /** A step that no runner has taken up for so long fails, and the deployment is undone. */
    lostAfterSeconds: seconds(600),
  }).optional(),
  /** Targets with which a deployment must not overlap. */
  dependsOn: list(text('a target'), 'targets').default([]),
  sandbox: sandbox.optional(),
  /** Builds nothing where the host has no sandbox. */
  requireSandbox: z.boolean('allowed: true or false').optional(),
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

export type TargetConfig = z.infer<typeof target> & {
  name: string;
  /** Who is in which group, as the file that declares the target says. */
  groups: Readonly<Record<string, readonly string[]>>;
};
export type ApprovalRule = z.infer<typeof approvalRule>;
export type Targets = ReadonlyMap<string, TargetConfig>;
export interface Config extends Service {
  targets: Targets;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Aliases of aliases would fill the memory: the parser refuses them. @throws ConfigError */
function valueOf(document: ReturnType<typeof parseDocument>, where: string): unknown {
  try {
    return document.toJS();
  } catch (thrown) {
    throw new ConfigError(`${where} is not valid YAML:\n${messageOf(thrown)}`, { cause: thrown });
  }
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
  const input = valueOf(document, where);
  if (input === null || input === undefined)
    throw new ConfigError(`${where} is empty. It needs at least "targets:" with a target; see the README.`);
  const parsed = file.safeParse(input);
  if (!parsed.success)
    throw new ConfigError(
      `${where} is not a valid targets file. Correct it and start again.\n${problemText(problemsOf(parsed.error, input))}`,
    );
  const unfit = whyUnfit(parsed.data);
  if (unfit) throw new ConfigError(`${where} is not valid: ${unfit}`);
  const { groups } = parsed.data;
  const targets = Object.entries(parsed.data.targets).map(
    ([name, config]) => [name, { ...config, name, groups }] as const,
  );
  return { ...parsed.data, targets: new Map(targets) };
}
