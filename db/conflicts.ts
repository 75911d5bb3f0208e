import type { Refusal, Standing } from '../domain/admission';
import type { Targets } from '../domain/config';
import { changeRequestKey, deploymentKey } from '../domain/keys';
import { laneHolding } from '../domain/machines';
import type { Tx } from './connect';

/** Schedules that overlap: on one target, or on two of which one is declared to depend on the other. */
export interface Conflict {
  /** Key of what it overlaps. */
  with: string;
  target: string;
  title: string;
  from: string;
  to: string;
}

const usualMs = 600_000;
/** How long deployments to a target usually take; ten minutes where nothing is known. */
export async function usualDuration(tx: Tx, target: string): Promise<number> {
  const { rows } = await tx.raw(
    `SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at) * 1000) AS ms
       FROM (SELECT started_at, finished_at FROM deployments WHERE target = ? AND status = 'succeeded'
              ORDER BY id DESC LIMIT 20) AS latest`,
    [target],
  );
  return (rows[0].ms as number | null) ?? usualMs;
}

/** What overlaps [from, to) on these targets, besides the change itself. */
export async function conflictsAt(
  tx: Tx,
  promotion: number,
  own: string,
  targets: string[],
  from: Date,
  to: Date,
): Promise<Conflict[]> {
  const { rows } = await tx.raw(
    `SELECT 'planned' AS kind, p.id, NULL::integer AS attempt, p.target, p.title, c.planned_start AS "from",
            c.planned_start + make_interval(mins => c.planned_minutes) AS "to"
       FROM change_requests c JOIN promotions p USING (id)
      WHERE c.status IN ('submitted', 'approved', 'in-progress') AND p.id <> :promotion AND p.target = ANY (:targets)
        AND c.planned_start < :to AND c.planned_start + make_interval(mins => c.planned_minutes) > :from
     UNION ALL
     SELECT 'scheduled', p.id, d.attempt, p.target, p.title, d.scheduled_for, d.scheduled_for + make_interval(secs => :usual)
       FROM deployments d JOIN promotions p ON p.id = d.promotion
      WHERE d.status = 'waiting-for-window' AND p.id <> :promotion AND p.target = ANY (:targets) AND p.target <> :own
        AND d.scheduled_for < :to AND d.scheduled_for + make_interval(secs => :usual) > :from
     UNION ALL
     SELECT 'running', p.id, d.attempt, p.target, p.title, d.started_at,
            greatest(now(), d.started_at + make_interval(secs => :usual))
       FROM deployments d JOIN promotions p ON p.id = d.promotion
      WHERE d.status = ANY (:holding) AND p.id <> :promotion AND p.target = ANY (:targets) AND p.target <> :own
        AND d.started_at < :to AND greatest(now(), d.started_at + make_interval(secs => :usual)) > :from
     ORDER BY "from", id`,
    { promotion, targets, own, from, to, usual: usualMs / 1000, holding: [...laneHolding] },
  );
  type Row = {
    kind: string;
    id: number;
    attempt: number | null;
    target: string;
    title: string;
    from: Date;
    to: Date;
  };
  return (rows as Row[]).map((row) => ({
    with: row.attempt === null ? changeRequestKey(row.id) : deploymentKey(row.id, row.attempt),
    target: row.target,
    title: row.title,
    from: row.from.toISOString(),
    to: row.to.toISOString(),
  }));
}

/** Why a schedule is refused; undefined when nothing overlaps it, or the overlap was accepted with a reason. */
export const conflictRefusal = (
  key: string,
  conflicts: Conflict[],
  accepted: string | null,
): Refusal | undefined =>
  conflicts.length === 0 || accepted
    ? undefined
    : {
        code: 'schedule-conflict',
        message: `${key} overlaps ${conflicts.map((c) => `${c.with} (${c.title}) on ${c.target}, ${c.from} to ${c.to}`).join('; ')}. Wait until ${conflicts
          .map((c) => c.to)
          .sort()
          .at(-1)}, plan it at another time, or accept the overlap with a reason in conflictsAccepted.`,
        detail: {
          conflicts,
          nextFree: conflicts
            .map((c) => c.to)
            .sort()
            .at(-1),
        },
      };

/** Why a deployment that begins now, or when its window opens, would overlap something; undefined when it does not. */
export async function whyConflict(
  tx: Tx,
  standing: Pick<Standing, 'id' | 'target' | 'conflictsAccepted' | 'anyPlanned'>,
  relatives: string[],
  beginsAt: number | null,
): Promise<Refusal | undefined> {
  if (standing.conflictsAccepted || (!standing.anyPlanned && relatives.length === 1)) return undefined;
  const from = new Date(beginsAt ?? Date.now());
  const to = new Date(from.getTime() + (await usualDuration(tx, standing.target)));
  const found = await conflictsAt(tx, standing.id, standing.target, relatives, from, to);
  return conflictRefusal(changeRequestKey(standing.id), found, null);
}

/** Targets with which a deployment to this one must not overlap, itself among them. Depending goes both ways. */
export function relatedTo(targets: Targets, name: string): string[] {
  const others = [...targets.values()].flatMap((t) => (t.dependsOn.includes(name) ? [t.name] : []));
  return [...new Set([name, ...(targets.get(name)?.dependsOn ?? []), ...others])];
}
