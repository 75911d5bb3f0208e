import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync as rename,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import type { Role } from '../domain/machines';
import { openKeyring } from '../temporal-config/keys-file';
import type { Keyring } from '../temporal-config/signing';

/** The state directory: everything that embedded Signalbox keeps, and what tells others how to reach it. */
export interface Endpoints {
  api: string;
  page: string;
  /** The page, with a code behind # (it never leaves the browser) that signs in once; the next one is here then. */
  signIn: string;
  docs: string;
  temporalAddress: string;
  temporalUi: string | null;
  databaseUrl: string;
  /** The embedded database as its owner. */
  databaseOwnerUrl?: string;
  site: string;
  /** Whether its sample is one of the targets. Versions before did not say it; theirs always was. */
  sample?: boolean;
  /** The operator's own targets file, with its whole path; null: it runs without. Versions before did not say it. */
  config?: string | null;
  tokens: Record<Role, string>;
}

/** The sample people: each role is a distinct person. */
export const people: Record<Role, string> = {
  contributor: 'carla',
  approver: 'amir',
  'release-manager': 'rosa',
  sre: 'sven',
  admin: 'ada',
};

/** Where the signing keys are: SIGNALBOX_SIGNING_KEYS_FILE, else in the state directory. */
export const signingKeysFile = (stateDir: string, env = process.env) =>
  env.SIGNALBOX_SIGNING_KEYS_FILE ?? join(stateDir, 'signing-keys.json');
/** Opens them; those in the state directory are made when there are none. */
export const signingKeys = (stateDir: string): Keyring =>
  openKeyring(signingKeysFile(stateDir), process.env.SIGNALBOX_SIGNING_KEYS_FILE === undefined);

/** Where workers export heads of the audit trail to, unless the targets file says otherwise. */
export const headsFileIn = (stateDir: string) => join(stateDir, 'audit-heads.jsonl');
/** Tells why no worker signed what the audit trail says of a restore; undefined where there are no keys to tell by. */
export function restoresSignedBy(stateDir: string): ((said: unknown) => string | undefined) | undefined {
  const file = signingKeysFile(stateDir);
  if (!existsSync(file)) return undefined;
  const keyring = openKeyring(file, false);
  return (said) => keyring.whyForged('restored', 'audit', said);
}

export interface StateDir {
  path: string;
  /** The same token for each role at every start. */
  tokens: Record<Role, string>;
  publish(endpoints: Endpoints): void;
  release(): void;
}

/**
 * Takes a state directory for this process. The lock ends with the process, however that ends.
 * @throws when another `up` has it, naming its pid.
 */
export function takeStateDir(path: string): StateDir {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const real = realpathSync(path);
  const lockFile = join(real, 'up.lock');
  const fd = openSync(lockFile, 'a+');
  if (!tryLock(fd)) {
    const pid = readFileSync(lockFile, 'utf8').trim();
    closeSync(fd);
    throw new Error(
      `Signalbox is running already on ${real}, as process ${pid || '(just starting)'}. Use that one, stop it with "kill ${pid}", or start another with --state DIR.`,
    );
  }
  writeFileSync(lockFile, `${process.pid}\n`);
  const endpointsFile = join(real, 'endpoints.json');
  // What an earlier start left says nothing about this one.
  rmSync(endpointsFile, { force: true });
  return {
    path: real,
    tokens: keptTokens(join(real, 'tokens.json')),
    publish(endpoints) {
      writeFileSync(`${endpointsFile}.new`, `${JSON.stringify(endpoints, null, 2)}\n`, { mode: 0o600 });
      rename(`${endpointsFile}.new`, endpointsFile);
    },
    release() {
      rmSync(endpointsFile, { force: true });
      closeSync(fd);
    },
  };
}

function keptTokens(file: string): Record<Role, string> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<Role, string>;
  } catch {
    const made = Object.fromEntries(
      Object.keys(people).map((role) => [role, `sb_${randomBytes(24).toString('base64url')}`]),
    ) as Record<Role, string>;
    writeFileSync(`${file}.new`, JSON.stringify(made), { mode: 0o600 });
    rename(`${file}.new`, file);
    return made;
  }
}

export function readEndpoints(stateDir: string): Endpoints | undefined {
  try {
    return JSON.parse(readFileSync(join(stateDir, 'endpoints.json'), 'utf8')) as Endpoints;
  } catch {
    return undefined;
  }
}
