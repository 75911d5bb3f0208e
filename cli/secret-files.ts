import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { shortestSecret } from '../activities/redact';
import { databaseFilesIn } from '../activities/secrets';
import type { Config, Targets } from '../domain/config';
import { fileOf } from '../domain/service-config';
import { temporalSecretFiles } from '../temporal-config/connection';
import { signingKeysFile } from './state-dir';

/**
 * Files outside the state directory that hold secrets of Signalbox itself, by every way in which a process is told of them:
 * options, the targets file, the environment, Temporal's client configuration, git's configuration, and the files from which
 * the environment was set. Builds and hooks find them empty. Those of targets are known from `targets()` of the sandbox.
 */
export interface SecretSources {
  stateDir: string;
  /** The targets file, which holds addresses of webhooks and of repositories; undefined: there is none. */
  configFile?: string;
  /** What it says; left out for a runner, which takes nothing from it but its target. */
  config?: Pick<Config, 'api' | 'identity' | 'notifications' | 'targets'>;
  env?: NodeJS.ProcessEnv;
  /** Of Node. */
  argv?: string[];
  /** Where files lie from which services set their environment. */
  systemSettings?: string;
}

export function secretFilesOf(sources: SecretSources): string[] {
  const { stateDir, configFile, config, env = process.env } = sources;
  const { argv = process.execArgv, systemSettings = '/etc' } = sources;
  const beside = [process.cwd(), ...(configFile ? [dirname(resolve(configFile))] : [])];
  return [
    signingKeysFile(stateDir, env),
    ...(configFile ? [configFile] : []),
    ...(config ? ofService(config) : []),
    ...Object.entries(env).flatMap(([name, value]) => (isSecret(name) && isPlainFile(value) ? [value!] : [])),
    ...(env.CREDENTIALS_DIRECTORY ? [env.CREDENTIALS_DIRECTORY] : []),
    ...[env.DATABASE_URL, env.DATABASE_OWNER_URL].flatMap((url) => (url ? databaseFilesIn(url) : [])),
    ...temporalSecretFiles(env),
    ...ofGit(env),
    ...environmentFiles([...argv, ...(env.NODE_OPTIONS ?? '').split(/\s+/)]),
    ...settingFiles(secretsIn(env, config?.targets), systemSettings, beside),
  ].map((path) => resolve(path));
}

const ofService = ({ api, identity, notifications }: Pick<Config, 'api' | 'identity' | 'notifications'>) => [
  ...(api.tls ? [api.tls.key] : []),
  ...fileOf(identity?.oidc.clientSecret),
  ...notifications.webhooks.flatMap(({ secret }) => fileOf(secret)),
];

/** By its name: TEMPORAL_TLS_CLIENT_KEY_PATH, OTEL_EXPORTER_OTLP_CLIENT_KEY, PGPASSFILE and so on. */
const isSecret = (name: string) =>
  /(^|_)(KEYS?|SECRETS?|TOKENS?|PASSWORD|PASSPHRASE|CREDENTIALS?)(_|$)|PASSFILE/i.test(name);

/** A variable of such a name may also hold the secret itself, a folder or a program. */
function isPlainFile(path: string | undefined): boolean {
  const found = path?.startsWith('/') ? statSync(path, { throwIfNoEntry: false }) : undefined;
  return found !== undefined && found.isFile() && (found.mode & 0o111) === 0;
}

/** Keys, cookies and stored credentials of git's own configuration. */
function ofGit(env: NodeJS.ProcessEnv): string[] {
  const { stdout } = spawnSync('git', ['config', '--list', '--includes', '-z'], {
    cwd: '/',
    env: { PATH: env.PATH, HOME: env.HOME, XDG_CONFIG_HOME: env.XDG_CONFIG_HOME },
    encoding: 'utf8',
    timeout: 10_000,
  });
  return (stdout ?? '').split('\0').flatMap((entry) => {
    const [key, ...rest] = entry.split('\n');
    const value = rest.join('\n');
    if (/^http\..*(sslkey|cookiefile)$/.test(key!)) return [value];
    const named = /^credential\..*helper$/.test(key!)
      ? /--file[= ]\s*(\S+)/
      : /^core\.sshcommand$/.test(key!)
        ? /\s-i\s*(\S+)/
        : undefined;
    return named?.exec(value)?.slice(1) ?? [];
  });
}

/** `--env-file=FILE` or `--env-file FILE`, and the same with -if-exists. */
const environmentFiles = (argv: string[]): string[] =>
  argv.flatMap((argument, at) => {
    const [, inOne] = /^--env-file(?:-if-exists)?(?:=(.*))?$/.exec(argument) ?? [argument, null];
    if (inOne === null) return [];
    return [inOne ?? argv[at + 1] ?? []].flat();
  });

/** Variables whose value is nobody's business, with it. */
function secretsIn(env: NodeJS.ProcessEnv, targets: Targets = new Map()): [name: string, value: string][] {
  const named = new Set(
    [...targets.values()].flatMap(({ secrets }) =>
      Object.values(secrets).flatMap((reference) => ('env' in reference ? [reference.env] : [])),
    ),
  );
  return Object.entries(env).filter((entry): entry is [string, string] => {
    const [name, value = ''] = entry;
    return (
      value.length >= shortestSecret &&
      (named.has(name) || isSecret(name) || /:\/\/[^\s/@]*:[^\s/@]+@/.test(value))
    );
  });
}

const largestSettings = 262_144;
/**
 * No process knows from which file its environment was set (a service's EnvironmentFile, /etc/environment, a script): those
 * that set one of these variables to this value are taken for it.
 * @param below looked through with its folders. @param beside the same, without.
 */
function settingFiles(secrets: [name: string, value: string][], below: string, beside: string[]): string[] {
  if (secrets.length === 0) return [];
  const sets = (path: string) => {
    try {
      const text = statSync(path).size > largestSettings ? '' : readFileSync(path, 'utf8');
      return secrets.some(([name, value]) => {
        for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
          const rest = text.slice(at + name.length, at + name.length + value.length + 8);
          if (rest.replace(/^["']?\s*[=:]\s*["']?/, '').startsWith(value) && /^["'\s]*[=:]/.test(rest))
            return true;
        }
        return false;
      });
    } catch {
      return false;
    }
  };
  return [...filesIn(below, true), ...beside.flatMap((folder) => filesIn(folder, false))].filter(sets);
}

function filesIn(folder: string, deep: boolean): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return deep ? filesIn(path, deep) : [];
      return entry.isFile() ? [path] : [];
    });
  } catch {
    return [];
  }
}
