import { overlapping, type Conflict, type Scheduled } from '../domain/conflicts';
import type { Targets } from '../domain/config';
import { laneHolding } from '../domain/machines';
import type { Tx } from './connect';

const usualMs = 600_000;
const ms = (time: string) => `(extract(epoch FROM ${time}) * 1000)::float`;
/** SQL of how long deployments to a target have taken, in ms; null where none has succeeded. */
const knownMsOf = (target: string) => `(
  SELECT (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at) * 1000))::float
    FROM (SELECT started_at, finished_at FROM deployments WHERE target = ${target} AND status = 'succeeded'
           ORDER BY id DESC LIMIT 20) AS latest)`;
/** The same; ten minutes where nothing is known. */
export const usualMsOf = (target: string) => `coalesce(${knownMsOf(target)}, ${usualMs})::float`;

/** How long to plan for. */
export async function usualDuration(tx: Tx, target: string): Promise<number> {
  return (await knownDuration(tx, target)) ?? usualMs;
}

/** The same; undefined where none has succeeded yet, so that nothing is said that nobody can know. */
export async function knownDuration(tx: Tx, target: string): Promise<number | undefined> {
  const { rows } = await tx.raw(`SELECT ${knownMsOf(':target')} AS ms`, { target });
  return (rows[0].ms as number | null) ?? undefined;
}

/**
 * SQL of what stands in the calendar of the targets `:related`, besides the promotion itself; lanes are held in the states
 * `:holding`. Times in ms since 1970.
 * @param promotion its number, in SQL. @param own its target, in SQL: what sleeps or runs there has its own queue.
 */
export const calendarOf = (promotion: string, own: string) => `
  SELECT 'planned' AS kind, o.id, NULL::integer AS attempt, o.target, o.title,
         ${ms('r.planned_start')} AS "from", ${ms('r.planned_start + make_interval(mins => r.planned_minutes)')} AS "to"
    FROM change_requests r JOIN promotions o USING (id)
   WHERE r.planned_start IS NOT NULL AND r.status IN ('submitted', 'approved', 'in-progress')
     AND o.id <> ${promotion} AND o.target = ANY (:related)
  UNION ALL
  SELECT 'scheduled', o.id, d.attempt, o.target, o.title, ${ms('d.scheduled_for')}, ${ms('d.scheduled_for')} + ${usualMs}
    FROM deployments d JOIN promotions o ON o.id = d.promotion
   WHERE d.status = 'waiting-for-window' AND o.id <> ${promotion} AND o.target = ANY (:related) AND o.target <> ${own}
  UNION ALL
  SELECT 'running', o.id, d.attempt, o.target, o.title, ${ms('d.started_at')},
         greatest(${ms('now()')}, ${ms('d.started_at')} + ${usualMs})
    FROM deployments d JOIN promotions o ON o.id = d.promotion
   WHERE d.status = ANY (:holding) AND o.id <> ${promotion} AND o.target = ANY (:related) AND o.target <> ${own}`;

/** What overlaps [from, to) on these targets, besides the change itself. */
export async function conflictsAt(
  tx: Tx,
  promotion: number,
  own: string,
  related: string[],
  from: Date,
  to: Date,
): Promise<Conflict[]> {
  const { rows } = await tx.raw(
    `SELECT * FROM (${calendarOf(':promotion', ':own')}) AS entry WHERE "from" < :to AND "to" > :from`,
    { promotion, own, related, from: from.getTime(), to: to.getTime(), holding: [...laneHolding] },
  );
  return overlapping(rows as Scheduled[], from.getTime(), to.getTime());
}

/** Targets with which a deployment to this one must not overlap, itself among them. Depending goes both ways. */
export function relatedTo(targets: Targets, name: string): string[] {
  const others = [...targets.values()].flatMap((t) => (t.dependsOn.includes(name) ? [t.name] : []));
  return [...new Set([name, ...(targets.get(name)?.dependsOn ?? []), ...others])];
}
