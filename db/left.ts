import { isTerminal } from '../domain/machines';
import { nameOfAttempt } from '../domain/incarnation';
import { parseDeploymentKey } from '../domain/keys';
import type { Targets } from '../domain/config';
import type { Observed } from '../domain/observed';
import { backupsToRemove } from './backups';
import type { Db } from './connect';
import {
  currentOf,
  findDeployment,
  originOfDeployment,
  releasesInUse,
  rowKey,
  type DeploymentRow,
} from './deployments';
import { readInstallation } from './installation';

/** What an ended deployment leaves on the target's host, and what of it is kept. */
export interface Left {
  key: string;
  /** By which its files are called; not told by the previous version. */
  name?: string;
  target: string;
  /** Releases that stay, besides the newest ones: what is live, and what it would be rolled back to. */
  keep: string[];
  /** Its last fencing number; null when it acted under none, left out by workers of the previous version. */
  fence?: number | null;
  /** The file of its backup that counts. */
  backup: string | null;
  /** The database was restored since it began: the record may lack the one that counts, so that all that are whole stay. */
  restored?: boolean;
}
/** The same on a host of its own, with backups there that may go. */
export interface OnHost extends Left {
  old: { deployment: number; reference: string }[];
}

export async function leftBy(db: Db, targets: Targets, ended: DeploymentRow): Promise<OnHost> {
  const { target } = ended;
  const [live, going, seen, backup, origin, { incarnation }] = await Promise.all([
    currentOf(db, target),
    releasesInUse(db, target),
    db('targets').where({ name: target }).first('observed'),
    db('backups').where({ deployment: ended.id }).first('reference'),
    originOfDeployment(db, ended.id),
    readInstallation(db),
  ]);
  const found = seen?.observed as Observed | null | undefined;
  const keep = [
    live?.to_release,
    live?.from_release,
    // What was last seen live may be a release that the record does not call current.
    found?.kind === 'release' ? found.release : null,
    // The lane is free: whoever has it by now, or waits for it, goes on with these.
    ...going,
  ].filter((digest) => typeof digest === 'string');
  const old = await oldBackups(db, targets, target);
  return {
    key: rowKey(ended),
    name: nameOfAttempt(rowKey(ended), origin),
    target,
    keep,
    fence: ended.fence,
    backup: backup?.reference ?? null,
    restored: ended.incarnation !== incarnation,
    old: old.map(({ deployment, reference }) => ({ deployment, reference })),
  };
}

/** The same for the host of its own, by the attempt's key; undefined when it has not ended, or is not this workflow's. */
export async function leftOnHost(
  db: Db,
  targets: Targets,
  asked: { key: string; target: string; owner: string },
): Promise<OnHost | undefined> {
  const { promotion, attempt } = parseDeploymentKey(asked.key);
  const row = await findDeployment(db, promotion, attempt);
  if (row?.target !== asked.target || row.owner !== asked.owner || !isTerminal('deployment', row.status))
    return undefined;
  return leftBy(db, targets, row);
}

/** Backups on a target's own host that may go. */
export async function oldBackups(db: Db, targets: Targets, target: string) {
  const config = targets.get(target);
  return config?.runner ? backupsToRemove(db, target, config.backup.keepDays) : [];
}
