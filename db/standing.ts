import type { Asked, Standing } from '../domain/admission';
import type { Approval } from '../domain/approval';
import type { Targets } from '../domain/config';
import { laneHolding, openAttempt } from '../domain/machines';
import type { ApprovalPolicy } from '../domain/policy';
import { isComplete } from './approvals';
import { calendarOf, relatedTo, usualMsOf } from './conflicts';
import type { Tx } from './connect';
import type { DeploymentRow } from './deployments';
import { bindsTo, buildRecipe } from './digest';
import { actsOf } from './runners';
import type { Windows } from './windows';

/** Where the rules of a target are: its entry in the targets file, and its windows. */
export interface RuleDeps {
  windows: Windows;
  targets(): Targets;
}
/** Who starts which kind of attempt, and whether it may wait for its window. */
export type Starter = Pick<Asked, 'trigger' | 'startedBy' | 'whenOpen'>;
export const starterOf = (row: Pick<DeploymentRow, 'trigger' | 'started_by' | 'when_open'>): Starter => ({
  trigger: row.trigger,
  startedBy: row.started_by,
  whenOpen: row.when_open,
});

/**
 * All that `whyNotNow` needs.
 * @param there digests of how the target builds and acts where its steps are done; left out: as far as is known here.
 * @returns undefined when there is no such promotion.
 * @throws when any of it cannot be read: then nothing is known, neither yes nor no.
 */
export async function askedOf(
  { windows, targets }: RuleDeps,
  tx: Tx,
  promotion: { id: number; target: string },
  starter: Starter,
  there?: { builds: string; acts?: string },
): Promise<Asked | undefined> {
  const config = targets().get(promotion.target);
  const related = relatedTo(targets(), promotion.target);
  const found = await read(tx, promotion.id, starter.startedBy, related);
  if (!found) return undefined;
  const { standing, ...more } = found;
  const acts = there?.acts ? [there.acts] : config ? await actsOf(tx, config) : [];
  const schedule = config && (await windows.current(standing.windowStamp, tx));
  return {
    ...standing,
    ...more,
    ...starter,
    recipeBinds:
      !config ||
      (bindsTo(standing, config, acts) && (there === undefined || there.builds === buildRecipe(config))),
    window: schedule?.status({ ...standing, environment: config!.environment }, standing.now),
  };
}

/** How a promotion stands; undefined when there is none. */
export const standingOf = async (tx: Tx, promotion: number): Promise<Standing | undefined> =>
  (await read(tx, promotion))?.standing;

/** In one statement, so that no two parts of it are of different moments. */
async function read(tx: Tx, promotion: number, starter = '', related: string[] = []) {
  const { rows } = await tx
    .raw(
      `SELECT p.id, p.target, p.title, p.revision, p.commit, p.status AS promotion, c.status AS "changeRequest",
            c.type, c.risk, c.policy, c.recipe, c.acts, c.backlog_items AS "backlogItems", c.conflicts_accepted AS "conflictsAccepted",
            standing_approvals(p.id) AS approvals, extract(epoch FROM clock_timestamp()) * 1000 AS now,
            (SELECT coalesce(json_agg(grant_), '[]') FROM standing_grants WHERE person = :starter) AS grants,
            (SELECT coalesce(json_agg(json_build_object('item', b.item, 'blockedBy', 'ITEM-' || b.blocked_by, 'reason', b.reason) ORDER BY b.id), '[]')
               FROM blockers b
              WHERE b.resolved_at IS NULL
                AND b.item IN (SELECT substr(key, 6)::integer FROM unnest(c.backlog_items) AS key)) AS blockers,
            (SELECT coalesce(json_agg(entry), '[]')
               FROM (${calendarOf('p.id', 'p.target')}) AS entry
              WHERE kind <> 'running' AND "to" > extract(epoch FROM now()) * 1000) AS calendar,
            ${usualMsOf('p.target')} AS "usualMs",
            (SELECT coalesce(max(attempt), 0) FROM deployments WHERE promotion = p.id) AS "lastAttempt",
            (SELECT json_build_object('attempt', attempt, 'status', status, 'trigger', trigger)
               FROM deployments WHERE promotion = p.id AND status = ANY (:open)) AS open,
            CASE WHEN live.id IS NOT NULL
                 THEN json_build_object('promotion', live.promotion, 'before', live.from_deployment) END AS live,
            CASE WHEN live.promotion = p.id THEN release_before(live.id)
                 WHEN latest.promotion = p.id AND latest.status = 'rolled-back'
                  AND coalesce(latest.restores, latest.from_deployment) IS DISTINCT FROM t.current_deployment
                 THEN coalesce(latest.restores, latest.from_deployment) END AS "returnsTo",
            CASE WHEN live.promotion = p.id OR (latest.promotion = p.id AND latest.status = 'rolled-back'
                       AND coalesce(latest.drifted, latest.observed) IS DISTINCT FROM t.observed)
                 THEN (SELECT o.observed FROM deployments o
                        WHERE o.promotion = p.id AND o.trigger <> 'rollback' AND o.observed IS NOT NULL
                          AND o.observed->>'release' IS DISTINCT FROM o.to_release
                        ORDER BY o.attempt DESC LIMIT 1) END AS "cameAfter",
            (SELECT revision FROM window_revision) AS "windowRevision",
            (SELECT stamp FROM window_revision) AS "windowStamp",
            (SELECT coalesce(json_agg(json_build_object('window', deployment_window,
                      'until', extract(epoch FROM expires_at) * 1000, 'by', ARRAY[requested_by, seconded_by])), '[]')
               FROM window_overrides
              WHERE promotion = p.id AND seconded_by IS NOT NULL AND revoked_at IS NULL) AS overrides
       FROM promotions p JOIN change_requests c USING (id)
            LEFT JOIN targets t ON t.name = p.target
            LEFT JOIN deployments live ON live.id = t.current_deployment
            LEFT JOIN LATERAL (SELECT * FROM deployments WHERE target = t.name AND started_at IS NOT NULL
                                ORDER BY started_at DESC LIMIT 1) AS latest ON true
      WHERE p.id = :promotion`,
      { open: [...openAttempt], promotion, starter, related, holding: [...laneHolding] },
    )
    // Asked at every click, admission and swap; planning it took longer than running it.
    .options({ name: 'standing' });
  if (!rows[0]) return undefined;
  const { policy, approvals, overrides, now, grants, calendar, usualMs, ...row } = rows[0] as Omit<
    Standing,
    'approvalStands' | 'overridden' | 'now'
  > &
    Pick<Asked, 'grants' | 'calendar' | 'usualMs'> & {
      policy: ApprovalPolicy | null;
      approvals: Approval[];
      overrides: { window: number; until: number; by: string[] }[];
      now: string;
    };
  const standing: Standing = {
    ...row,
    now: Number(now),
    approvalStands: isComplete(
      { policy },
      approvals,
      overrides.flatMap(({ by }) => by),
    ),
    overridden: overrides.map(({ window, until }) => ({ window, until })),
  };
  return { standing, grants, calendar, usualMs: Number(usualMs) };
}
