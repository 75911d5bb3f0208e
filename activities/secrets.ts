import { readFileSync } from 'node:fs';
import type { TargetConfig } from '../domain/config';
import { messageOf } from '../domain/errors';
import type { Reference } from '../domain/service-config';
import { verdict } from './causes';
import { shortestSecret } from './redact';

/** A value that the targets file refers to. @throws a verdict when it is not there. */
export function valueOf(name: string, target: string, reference: Reference): string {
  if ('file' in reference) {
    try {
      return readFileSync(reference.file, 'utf8').trimEnd();
    } catch (thrown) {
      throw verdict('MissingSecret', `Secret ${name} of ${target}: ${messageOf(thrown)}`);
    }
  }
  const value = process.env[reference.env];
  if (!value)
    throw verdict('MissingSecret', `Secret ${name} of ${target}: the variable ${reference.env} is not set.`);
  return value;
}

/** @throws a verdict when one is missing or too short to be kept out of the log. */
export function readSecrets({ name: target, secrets }: TargetConfig): Record<string, string> {
  const read = Object.fromEntries(
    Object.entries(secrets).map(([name, reference]) => [name, valueOf(name, target, reference)]),
  );
  for (const [name, value] of Object.entries(read))
    if (value.length < shortestSecret)
      throw verdict(
        'MissingSecret',
        `Secret ${name} of ${target} is shorter than ${shortestSecret} characters, so it could not be kept out of the log; use a longer one.`,
      );
  return read;
}

/** What no command is given but must not stand in the log either: passwords of databases that are backed up. */
export function hiddenOf({ name: target, backup }: TargetConfig): Record<string, string> {
  if (backup.kind !== 'postgres') return {};
  const urls = [backup.database, ...(backup.scratch ? [backup.scratch] : [])];
  const passwords = urls
    .map((reference) => decodeURIComponent(new URL(valueOf('backup.database', target, reference)).password))
    .filter((password) => password.length >= shortestSecret);
  return Object.fromEntries(passwords.map((password, n) => [`DATABASE_PASSWORD_${n}`, password]));
}
