import { createHash } from 'node:crypto';
import type { TargetView } from '../domain/schemas';
import { switchedOff } from '../domain/admission';
import type { TargetConfig, Targets } from '../domain/config';
import { deploymentKey, promotionKey } from '../domain/keys';
import { laneHolding } from '../domain/machines';
import { inWords, nothing, releaseOr, type Observed } from '../domain/observed';
import type { WindowSchedule } from '../domain/windows/status';
import { recordAudit } from './audit';
import { usualDuration } from './conflicts';
import { runnersOf, type RunnerRow } from './runners';
import { ofRunners, ofWorkers } from './sandboxes';
import { bySignalbox, movedBy } from './transition';
import { viewWindowStatus } from './views';
import type { Db, Tx } from './connect';
import { rowKey, type DeploymentRow } from './deployments';

/** Makes sure every configured target has its row. */
export async function registerTargets(db: Db, names: string[]): Promise<void> {
  if (names.length > 0)
    await db('targets')
      .insert(names.map((name) => ({ name })))
      .onConflict('name')
      .ignore();
}

/** Notes where each target is deployed to. */
export async function noteRoots(db: Db, targets: Targets): Promise<void> {
  for (const { name, driver } of targets.values())
    await db('targets')
      .where({ name })
      .whereRaw('root IS DISTINCT FROM ?', [driver.root])
      .update({ root: driver.root, ...movedBy(bySignalbox('the targets file was read')) });
}
/** Where a target was deployed to by the targets file that named it last; undefined: nobody has noted it. */
export async function rootOf(db: Db, name: string): Promise<string | undefined> {
  const row = (await db('targets').where({ name }).first('root')) as { root: string | null } | undefined;
  return row?.root ?? undefined;
}

/**
 * Records in the audit trail that the targets file says something else than when it was last read.
 * @param by the operator, as far as the machine knows.
 */
export async function noteTargets(
  db: Db,
  targets: ReadonlyMap<string, TargetConfig>,
  by: string,
): Promise<void> {
  const digest = (config: TargetConfig) =>
    createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 16);
  const now = Object.fromEntries([...targets].map(([name, config]) => [name, digest(config)]));
  const before = await lastRead(db);
  const changed = [...new Set([...Object.keys(now), ...Object.keys(before ?? {})])].filter(
    (name) => now[name] !== before?.[name],
  );
  if (before && changed.length === 0) return;
  await recordAudit(db, {
    actor: by,
    action: 'targets.read',
    subject: 'targets file',
    before,
    after: now,
    why: `The targets file was read; new or changed: ${changed.join(', ') || 'nothing'}.`,
  });
}

/** Digests by name, as the targets file was read last. */
async function lastRead(db: Db): Promise<Record<string, string> | undefined> {
  const last = (await db('audit').where({ action: 'targets.read' }).orderBy('id', 'desc').first('entry')) as
    { entry: string } | undefined;
  return last && ((JSON.parse(last.entry) as { after: Record<string, string> }).after ?? {});
}

/** The targets by which Signalbox runs: those of the file that was read last. */
export const targetsRead = async (db: Db): Promise<string[]> => Object.keys((await lastRead(db)) ?? {});

const viewRunner = ({ id, host, version, seen_at }: RunnerRow) => ({
  id,
  host,
  version,
  seenAt: seen_at.toISOString(),
});

/** A target as configured, joined with what is known of it. */
export async function viewTarget(
  tx: Tx,
  config: TargetConfig,
  schedule: WindowSchedule,
  now: number,
): Promise<TargetView> {
  const asked = {
    target: config.name,
    environment: config.environment,
    type: 'normal',
    risk: 'medium',
  } as const;
  const row = await tx('targets').where({ name: config.name }).first();
  const live = await liveOn(tx, config.name);
  const holder = await tx('deployments')
    .where({ target: config.name })
    .whereIn('status', laneHolding)
    .first();
  return {
    name: config.name,
    environment: config.environment,
    repository: config.repository.replace(/\/\/[^/@]*@/, '//'),
    promotionsEnabled: config.promotionsEnabled,
    promotionsDisabledReason: switchedOff(config) ?? null,
    current: live,
    observed: observedOn(row, live, holder),
    lane: holder ? deploymentKey(holder.promotion, holder.attempt) : null,
    fence: row?.fence ?? 0,
    runners: config.runner ? (await runnersOf(tx, config.name)).map(viewRunner) : null,
    sandboxes: (config.runner ? await ofRunners(tx, config.name) : await ofWorkers(tx)).map(
      ({ host, sandbox }) => ({ host, ...sandbox }),
    ),
    window: viewWindowStatus(schedule.status(asked, now), await usualDuration(tx, config.name), now),
    health: await lastHealth(tx, config.name),
    lastDeployment: await lastDeployment(tx, config.name),
    expectedMs: await expectedMs(tx, config.name),
  };
}

/** What the last check of a target found: after a swap, or after what was swapped had been put back. */
async function lastHealth(tx: Tx, target: string): Promise<TargetView['health']> {
  const { rows } = await tx.raw(
    `SELECT s.status, s.detail, s.finished_at
       FROM (SELECT id FROM deployments WHERE target = ? AND started_at IS NOT NULL ORDER BY id DESC LIMIT 20) AS latest
       JOIN deployment_steps s ON s.deployment = latest.id
      WHERE s.name IN ('health-check', 'verify-rollback') AND s.finished_at IS NOT NULL
      ORDER BY s.finished_at DESC LIMIT 1`,
    [target],
  );
  const [found] = rows as { status: string; detail: string; finished_at: Date }[];
  return found
    ? { healthy: found.status === 'done', detail: found.detail, at: found.finished_at.toISOString() }
    : null;
}

async function lastDeployment(tx: Tx, target: string): Promise<TargetView['lastDeployment']> {
  const row = (await tx('deployments')
    .where({ target })
    .whereNotNull('started_at')
    .whereNotNull('finished_at')
    .orderBy('id', 'desc')
    .first()) as DeploymentRow | undefined;
  return row
    ? {
        key: deploymentKey(row.promotion, row.attempt),
        status: row.status,
        finishedAt: row.finished_at!.toISOString(),
      }
    : null;
}

async function expectedMs(tx: Tx, target: string): Promise<Record<string, number>> {
  const { rows } = await tx.raw(
    `SELECT name, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::integer AS ms
       FROM (SELECT s.name, extract(epoch FROM s.finished_at - s.started_at) * 1000 AS ms
               FROM (SELECT id FROM deployments WHERE target = ? ORDER BY id DESC LIMIT 20) AS latest
               JOIN deployment_steps s ON s.deployment = latest.id
              WHERE s.status = 'done') AS runs
      GROUP BY name`,
    [target],
  );
  return Object.fromEntries((rows as { name: string; ms: number }[]).map(({ name, ms }) => [name, ms]));
}

/** What is told of a target besides a release that the record vouches for. */
function observedOn(
  row: { name: string; observed?: Observed | null; observed_at?: Date | null } | undefined,
  live: Live | null,
  holder: DeploymentRow | undefined,
): TargetView['observed'] {
  const seen = row?.observed;
  const at = row?.observed_at?.toISOString() ?? null;
  if (holder?.status === 'rollback-failed')
    return {
      what: seen ? inWords(seen) : 'nobody has looked yet',
      at,
      why: `the rollback of ${rowKey(holder)} failed, so this is what was seen and not what should be`,
    };
  if (live || !seen || seen.kind === 'nothing') return null;
  return {
    what: inWords(seen),
    at,
    why:
      seen.kind === 'release'
        ? 'no promotion put it there'
        : `no promotion put it there; "signalbox adopt ${row.name}" takes it into the record`,
  };
}

/** What a target runs by the record, whoever put it there. */
export async function recordedOn(tx: Tx, target: string): Promise<Observed> {
  const live = await liveOn(tx, target);
  if (live) return releaseOr(live.release);
  const row = await tx('targets').where({ name: target }).first('observed');
  return (row?.observed as Observed | null | undefined) ?? nothing;
}

export interface Live {
  release: string;
  promotion: string;
  revision: string;
  commit: string;
}

/** What a target runs: as recorded, or as it was last seen while nobody vouches for that. */
export async function liveOn(tx: Tx, target: string): Promise<Live | null> {
  const row = await tx('targets')
    .join('deployments', 'deployments.id', tx.raw('live_on(targets.name)'))
    .join('promotions', 'promotions.id', 'deployments.promotion')
    .where('targets.name', target)
    .first('deployments.to_release as release', 'promotions.id', 'promotions.revision', 'promotions.commit');
  return row
    ? { release: row.release, promotion: promotionKey(row.id), revision: row.revision, commit: row.commit }
    : null;
}
