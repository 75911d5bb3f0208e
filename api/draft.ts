import { mostFiles } from '../domain/comparison';
import type { TargetConfig } from '../domain/config';
import type { MirrorProgress } from '../domain/mirror';
import { riskOf } from '../domain/risk';
import type { DraftFacts } from '../db/change-content';
import { liveOn } from '../db/targets';
import type { ApiDeps } from './deps';
import { touchedBy } from './touched';

/**
 * The commit that a revision names now, once the repository is copied that far.
 * @param since when it was first asked for. @returns how far the copy is, when it is not done after a few seconds.
 */
export async function commitOf(
  { mirror, resolveRevision, copyMs = 5_000 }: Pick<ApiDeps, 'mirror' | 'resolveRevision' | 'copyMs'>,
  { name, repository }: Pick<TargetConfig, 'name' | 'repository'>,
  revision: string,
  since: number,
): Promise<{ commit: string } | { copying: MirrorProgress }> {
  const copying = await mirror(name, repository, { since, patienceMs: copyMs });
  if (copying) return { copying };
  return { commit: await resolveRevision(name, repository, revision, since) };
}

/** What is known of a change before anybody writes a word: commits and files since what runs now, and the risk of it. */
export async function draftFacts(
  { db, compare }: Pick<ApiDeps, 'db' | 'compare'>,
  target: TargetConfig,
  commit: string,
): Promise<DraftFacts> {
  const live = await liveOn(db, target.name);
  const { commits, files, lines } = await compare(
    target.name,
    target.repository,
    live?.commit ?? null,
    commit,
  );
  const { rows } = await db.raw(
    `SELECT count(*)::integer AS deployments, count(*) FILTER (WHERE status = 'rolled-back')::integer AS "rolledBack"
       FROM (SELECT status FROM deployments WHERE target = ? AND trigger <> 'rollback'
                AND status IN ('succeeded', 'rolled-back') ORDER BY id DESC LIMIT 20) AS latest`,
    [target.name],
  );
  const touched = await touchedBy(
    target.risk.paths.map(({ match }) => match),
    files.map(({ path }) => path),
  );
  const { risk, reasons } = riskOf(target.risk, { files, lines, recent: rows[0] }, touched);
  return { commits, files: files.slice(0, mostFiles), lines, computedRisk: risk, riskReasons: reasons };
}

/** Backlog items that the commits of a change mention. */
export const itemsMentioned = ({ commits }: Pick<DraftFacts, 'commits'>): string[] =>
  commits.flatMap(({ subject }) => subject.match(/\bITEM-[1-9][0-9]{0,8}\b/g) ?? []);
