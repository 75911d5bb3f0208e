import type { TargetView } from '../domain/schemas';
import type { TargetConfig } from '../domain/config';
import { deploymentKey, promotionKey } from '../domain/keys';
import { laneHolding } from '../domain/machines';
import type { Db, Tx } from './connect';

/** Makes sure every configured target has its row. */
export async function registerTargets(db: Db, names: string[]): Promise<void> {
  if (names.length > 0)
    await db('targets')
      .insert(names.map((name) => ({ name })))
      .onConflict('name')
      .ignore();
}

/** A target as configured, joined with what is known of it. */
export async function viewTarget(tx: Tx, config: TargetConfig): Promise<TargetView> {
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
    lane: holder ? deploymentKey(holder.promotion, holder.attempt) : null,
    fence: row?.fence ?? 0,
  };
}

export interface Live {
  release: string;
  promotion: string;
  revision: string;
  commit: string;
}

/** What the record says a target runs. */
export async function liveOn(tx: Tx, target: string): Promise<Live | null> {
  const row = await tx('targets')
    .join('deployments', 'deployments.id', 'targets.current_deployment')
    .join('promotions', 'promotions.id', 'deployments.promotion')
    .where('targets.name', target)
    .first('deployments.to_release as release', 'promotions.id', 'promotions.revision', 'promotions.commit');
  return row
    ? { release: row.release, promotion: promotionKey(row.id), revision: row.revision, commit: row.commit }
    : null;
}

/** Why a target takes no promotions; undefined when it does. */
export const switchedOff = (config: TargetConfig): string | undefined =>
  config.promotionsEnabled
    ? undefined
    : (config.promotionsDisabledReason ?? 'the targets file gives no reason');
