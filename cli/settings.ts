import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ConfigError, parseConfig, type Config, type TargetConfig, type Targets } from '../domain/config';
import type { Reference } from '../domain/service-config';
import { messageOf } from '../domain/errors';
import { isPath } from '../domain/git-address';
import { demandOwnRoots } from './own-roots';

/** Where the program itself lies: `dist/`, with the bundled workflows and the built page. */
export const programDir = join(__dirname, '..');
export const workflowBundle = join(programDir, 'workflow-bundle.js');
/** The same, with what passes traces on. */
export const tracedWorkflowBundle = join(programDir, 'workflow-bundle-traced.js');
export const pageDir = join(programDir, 'web');

export const defaultConfigFile = 'signalbox.config.yaml';

/** Reads a targets file; relative paths in it are relative to the file. @throws ConfigError */
export const readTargets = (file: string): Targets => readConfig(file).targets;

/** The whole of it. */
export function readConfig(file: string): Config {
  let source: string;
  try {
    source = readFileSync(file, 'utf8');
  } catch (thrown) {
    throw new ConfigError(`The targets file ${file} could not be read: ${messageOf(thrown)}`);
  }
  const folder = dirname(resolve(file));
  const { api, audit, identity, ...config } = parseConfig(source, file);
  const at = <P extends string | undefined>(path: P) =>
    (path === undefined ? path : resolve(folder, path)) as P;
  const addressAt = (address: string) => (isPath(address) ? resolve(folder, address) : address);
  const from = (secret: Reference) => ('file' in secret ? { file: at(secret.file) } : secret);
  const backupAt = (backup: TargetConfig['backup']): TargetConfig['backup'] =>
    backup.kind === 'files'
      ? { ...backup, paths: backup.paths.map((path) => resolve(folder, path)) }
      : {
          ...backup,
          database: from(backup.database),
          scratch: backup.scratch && from(backup.scratch),
          binaries: at(backup.binaries),
        };
  const targets = new Map(
    [...config.targets].map(([name, target]) => [
      name,
      {
        ...target,
        repository: addressAt(target.repository),
        ...(target.submodules && { submodules: target.submodules.map(addressAt) }),
        driver: { ...target.driver, root: resolve(folder, target.driver.root) },
        backup: backupAt(target.backup),
        ...(typeof target.sandbox === 'object' && {
          sandbox: {
            ...target.sandbox,
            read: target.sandbox.read.map((path) => resolve(folder, path)),
            write: target.sandbox.write.map((path) => resolve(folder, path)),
          },
        }),
        secrets: Object.fromEntries(
          Object.entries(target.secrets).map(([secret, reference]) => [secret, from(reference)]),
        ),
      },
    ]),
  );
  demandOwnRoots(targets, file);
  const oidc = identity?.oidc;
  return {
    targets,
    groups: config.groups,
    retention: config.retention,
    notifications: {
      ...config.notifications,
      webhooks: config.notifications.webhooks.map((w) => ({ ...w, secret: from(w.secret) })),
    },
    api: { ...api, ...(api.tls ? { tls: { cert: at(api.tls.cert), key: at(api.tls.key) } } : {}) },
    audit: { ...audit, exportFile: at(audit.exportFile) },
    identity: oidc && {
      oidc: { ...oidc, ...(oidc.clientSecret ? { clientSecret: from(oidc.clientSecret) } : {}) },
    },
  };
}

/** The file named, else the one in the working directory if there is one. */
export const configFileOr = (named: string | undefined): string | undefined =>
  named ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);

export function required(name: string, what: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; set it to ${what}.`);
  return value;
}

/** The value of a secret that the configuration refers to. @throws naming what is missing. */
export function readReference(reference: Reference): string {
  if ('file' in reference) return readFileSync(reference.file, 'utf8').trimEnd();
  return required(reference.env, 'the secret that the configuration refers to');
}
