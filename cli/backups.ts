import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { badInput, notFound } from '../domain/errors';
import { parseDeploymentKey } from '../domain/keys';
import type { TargetConfig, Targets } from '../domain/config';
import type { BackupOf } from '../db/backups';
import type { Db } from '../db/connect';
import { table } from './commands';
import { exitCodes } from './exit-codes';
import { configFileOr, readTargets } from './settings';
import { sampleConfigFile } from './sample/sample';
import { readEndpoints } from './state-dir';

/** Backups, on the command line of the host where they lie: the one that the worker runs on. */
interface Where {
  state: string;
  json: boolean;
  config?: string;
}

async function withRecord<T>(state: string, work: (db: Db) => Promise<T>): Promise<T> {
  const url = process.env.DATABASE_URL ?? readEndpoints(state)?.databaseUrl;
  if (!url)
    throw new Error(
      'Backups are looked up in the database; set DATABASE_URL, or name the folder of a running "signalbox up" with --state.',
    );
  const { withDatabase } = await import('./database.js');
  return withDatabase(url, work);
}
const keyOf = ({ promotion, attempt }: BackupOf) => `CP-${promotion}.${attempt}`;

async function backupOf(db: Db, key: string): Promise<BackupOf> {
  const { findBackup } = await import('../db/backups.js');
  const { promotion, attempt } = parseDeploymentKey(key);
  const found = await findBackup(db, promotion, attempt);
  if (!found) throw notFound(`backup of ${key}`);
  if (found.removed_at)
    throw badInput(
      `The backup of ${key} was removed on ${found.removed_at.toISOString().slice(0, 10)}, because it was old.`,
    );
  return found;
}

/** The targets file that is named, else that of the running "signalbox up", else the one in the working directory. */
export function configHere({ state, config }: Pick<Where, 'state' | 'config'>): string | undefined {
  const running = readEndpoints(state)?.config;
  // One that runs without a file has the targets of the sample alone.
  return config ?? (running === undefined ? configFileOr(undefined) : (running ?? undefined));
}

/** The targets of this host: those of the sample, and those of that file. */
export function targetsHere({ state, config }: Pick<Where, 'state' | 'config'>): Targets {
  const file = configHere({ state, config });
  const sample = sampleConfigFile(resolve(state));
  const running = readEndpoints(state);
  return new Map([
    ...(running && running.sample !== false && existsSync(sample) ? readTargets(sample) : []),
    ...(file ? readTargets(file) : []),
  ]);
}

function targetOf(where: Where, name: string): TargetConfig {
  const target = targetsHere(where).get(name);
  if (!target) throw badInput(`The targets file names no target ${name}; name the right file with --config.`);
  return target;
}

export async function listBackups(options: Where & { target?: string; limit: string }): Promise<number> {
  const { listBackups: list } = await import('../db/backups.js');
  const { unrecordedBackups } = await import('../activities/backups/unrecorded.js');
  const stateDir = resolve(options.state);
  const here = options.target ? [options.target] : await readdir(join(stateDir, 'backups')).catch(() => []);
  const { rows, others } = await withRecord(options.state, async (db) => ({
    rows: await list(db, options.target, Number(options.limit)),
    others: (await Promise.all(here.map((target) => unrecordedBackups(db, stateDir, target)))).flat(),
  }));
  if (options.json) console.log(JSON.stringify(rows.map((row) => ({ key: keyOf(row), ...row }))));
  else if (rows.length === 0) console.log('No backups yet; one is made and verified before every swap.');
  else
    console.log(
      table(
        ['deployment', 'target', 'kind', 'verified', 'bytes', 'sha256', 'where'],
        rows.map((row) => [
          keyOf(row),
          row.target,
          row.kind,
          row.verified_at.toISOString(),
          String(row.bytes),
          row.sha256.slice(0, 12),
          row.removed_at ? `removed on ${row.removed_at.toISOString().slice(0, 10)}` : row.reference,
        ]),
      ),
    );
  if (!options.json && others.length > 0)
    console.log(
      [
        '\nNot in the record, which was restored, or made by another Signalbox; "signalbox doctor" says what to do:',
        ...others.map(({ reference, bytes }) => `${reference}, ${bytes} bytes`),
      ].join('\n  '),
    );
  return exitCodes.done;
}

export async function verifyBackup(key: string, options: Where): Promise<number> {
  const { backupKind } = await import('../activities/backups/kind.js');
  return withRecord(options.state, async (db) => {
    const backup = await backupOf(db, key);
    const whole = await backupKind(targetOf(options, backup.target).backup).isWhole(backup.reference, backup);
    if (options.json) console.log(JSON.stringify({ key, whole, ...backup }));
    else
      console.log(
        whole
          ? `The backup of ${key} is what was made and verified at ${backup.verified_at.toISOString()}: ${backup.bytes} bytes, sha256 ${backup.sha256}.`
          : `The backup of ${key} is missing or altered: ${backup.reference}. It can not be restored.`,
      );
    return whole ? exitCodes.done : exitCodes.refused;
  });
}

export async function restoreBackup(
  key: string,
  options: Where & { reason?: string; inPlace: boolean },
): Promise<number> {
  if (!options.inPlace)
    throw badInput(
      `Restoring replaces the target's data with what it was before ${key}; what was written since is lost. Say --in-place if that is meant.`,
    );
  if (!options.reason) throw badInput('Say why, with --reason; it goes into the audit trail.');
  const { reason } = options;
  const { restoreByHand } = await import('../activities/backups/by-hand.js');
  const { operator } = await import('./database.js');
  return withRecord(options.state, async (db) => {
    const backup = await backupOf(db, key);
    const target = targetOf(options, backup.target);
    const stateDir = resolve(options.state);
    await restoreByHand({ db, target, backup, stateDir, by: operator(), reason, say: console.error });
    if (options.json) console.log(JSON.stringify({ key, restored: true }));
    else console.log(`The data of ${backup.target} is what it was before ${key}.`);
    return exitCodes.done;
  });
}
