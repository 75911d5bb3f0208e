import type { Targets } from '../domain/config';
import { laneHolding } from '../domain/machines';
import { relatedTo } from './conflicts';
import type { Db, Tx } from './connect';
import { rowKey, type DeploymentRow } from './deployments';

/**
 * The lanes of targets that must not run beside each other (`dependsOn`, either way). An attempt needs the lane of its own
 * target to itself, and those of the related ones free. It waits behind whoever holds one of them, and behind whoever asked
 * for one of them earlier: so nobody is overtaken for good, and as each waits only for holders and for older ones, no two
 * ever wait for each other.
 */

/** The lanes that an attempt needs. An overlap that was accepted with the change counts for its deployment, not for a rollback. */
export const lanesOf = (
  targets: Targets,
  row: Pick<DeploymentRow, 'target' | 'trigger'>,
  conflictsAccepted: string | null,
): string[] =>
  conflictsAccepted && row.trigger !== 'rollback' ? [row.target] : relatedTo(targets, row.target);

/**
 * Locks the promotion, then its target and the related ones, in one order everywhere: by name, in one statement. Not FOR
 * UPDATE: rows that refer to a target, such as an attempt that is written, hold a key share of it, and two admissions would
 * wait for each other.
 */
export async function lockLanes(
  tx: Tx,
  promotion: { id: number; target: string },
  targets: Targets,
): Promise<void> {
  await tx('promotions').where({ id: promotion.id }).forNoKeyUpdate().first('id');
  await tx('targets')
    .whereIn('name', relatedTo(targets, promotion.target))
    .orderBy('name')
    .forNoKeyUpdate()
    .select('name');
}

type InLine = Pick<DeploymentRow, 'id' | 'target' | 'status'>;
const holds = ({ status }: InLine) => (laneHolding as readonly string[]).includes(status);

/** Whoever goes before it: of those who hold one of its lanes or wait in their queues. */
export const inFrontOf = <R extends InLine>(id: number, lanes: readonly string[], line: readonly R[]): R[] =>
  line.filter((row) => row.id !== id && lanes.includes(row.target) && (holds(row) || row.id < id));

/** What it waits for, in plain words. */
export const behindOf = (target: string, last: Pick<DeploymentRow, 'promotion' | 'attempt' | 'target'>) =>
  last.target === target
    ? rowKey(last)
    : `${rowKey(last)} on ${last.target}, which must not run beside ${target}`;

/** The workflows that wait first for the lanes of these targets. */
export async function firstInLine(tx: Tx, targets: readonly string[]): Promise<string[]> {
  const { rows } = await tx.raw(
    `SELECT DISTINCT ON (target) owner FROM deployments WHERE status = 'queued' AND target = ANY (?) ORDER BY target, id`,
    [[...targets]],
  );
  return (rows as { owner: string }[]).map(({ owner }) => owner);
}

/** Workflows that wait first for lanes of which all are free: a signal to them was lost. */
export async function freeLanesWaitedFor(db: Db, targets: Targets): Promise<string[]> {
  const { rows } = await db.raw(
    `SELECT * FROM (
       SELECT DISTINCT ON (d.target) d.id, d.target, d.status, d.trigger, d.owner, c.conflicts_accepted
         FROM deployments d JOIN change_requests c ON c.id = d.promotion
        WHERE d.status = 'queued' ORDER BY d.target, d.id) AS first
     UNION ALL
     SELECT id, target, status, trigger, owner, NULL FROM deployments WHERE status = ANY (?)`,
    [[...laneHolding]],
  );
  type Row = InLine & Pick<DeploymentRow, 'trigger' | 'owner'> & { conflicts_accepted: string | null };
  const line = rows as Row[];
  return line
    .filter((row) => !holds(row))
    .filter((row) => inFrontOf(row.id, lanesOf(targets, row, row.conflicts_accepted), line).length === 0)
    .map(({ owner }) => owner);
}
