import { readFileSync } from 'node:fs';
import type { TargetConfig } from '../domain/config';
import { messageOf } from '../domain/errors';
import { fileOf, type Reference } from '../domain/service-config';
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
export const readSecrets = (target: TargetConfig): Record<string, string> =>
  Object.fromEntries(Object.keys(target.secrets).map((name) => [name, secretOf(target, name)]));

function secretOf({ name: target, secrets }: TargetConfig, name: string): string {
  const value = valueOf(name, target, secrets[name]!);
  if (value.length < shortestSecret)
    throw verdict(
      'MissingSecret',
      `Secret ${name} of ${target} is shorter than ${shortestSecret} characters, so it could not be kept out of the log; use a longer one.`,
    );
  return value;
}

/** What no command is given but must not stand in the log either: passwords of databases that are backed up. */
export function hiddenOf(target: TargetConfig): Record<string, string> {
  const passwords = databasesOf(target)
    .map((database) => passwordIn(target.name, ...database))
    .filter((password) => password.length >= shortestSecret);
  return Object.fromEntries(passwords.map((password, n) => [`DATABASE_PASSWORD_${n}`, password]));
}

/** Why steps of a target would fail before they begin, in plain words: one reason for each value that cannot be used. */
export const whySecretsMissing = (target: TargetConfig): string[] =>
  [
    ...Object.keys(target.secrets).map((name) => () => secretOf(target, name)),
    ...databasesOf(target).map((database) => () => passwordIn(target.name, ...database)),
  ].flatMap((read) => {
    try {
      read();
      return [];
    } catch (thrown) {
      return [messageOf(thrown)];
    }
  });

/** Files that hold secrets of a target, by whatever way it names them. */
export const secretFilesOfTarget = (target: TargetConfig): string[] => [
  ...Object.values(target.secrets ?? {}).flatMap(fileOf),
  ...databasesOf(target).flatMap(([name, reference]) => [
    ...fileOf(reference),
    ...databaseFilesIn(readable(() => valueOf(name, target.name, reference))),
  ]),
];
/** Files that a database's URL leads to, by libpq's names of parameters. */
export function databaseFilesIn(url: string): string[] {
  const asked = readable(() => new URL(url)) || undefined;
  return ['sslkey', 'passfile'].flatMap((name) => asked?.searchParams.getAll(name) ?? []).filter(Boolean);
}
function readable<T>(read: () => T): T | '' {
  try {
    return read();
  } catch {
    return '';
  }
}

const databasesOf = ({ backup }: TargetConfig): [name: string, url: Reference][] => {
  if (backup.kind !== 'postgres') return [];
  const { database, scratch } = backup;
  return [
    ['backup.database', database],
    ...(scratch ? [['backup.scratch', scratch] as [string, Reference]] : []),
  ];
};

function passwordIn(target: string, name: string, reference: Reference): string {
  const url = valueOf(name, target, reference);
  try {
    return decodeURIComponent(new URL(url).password);
  } catch {
    throw verdict(
      'MissingSecret',
      `Secret ${name} of ${target} is no URL: set it to postgres://user:password@host/name.`,
    );
  }
}
