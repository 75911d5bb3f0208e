import { needKinds, type NeedKind } from '../domain/needs';
import { openAttempt } from '../domain/machines';
import type { Tx } from './connect';

/** Something that waits for somebody. */
export interface NeedRow {
  kind: NeedKind;
  promotion: number;
  /** Of a failed rollback, or of what was rolled back. */
  attempt: number | null;
  /** The number of an override. */
  override: number | null;
  target: string;
  title: string;
  emergency: boolean;
  /** Who asked for it. */
  by: string;
  since: Date;
  due: Date | null;
}

interface Source {
  from: string;
  by: string;
  since: string;
  attempt?: string;
  override?: string;
  due?: string;
}
/** Each kind in SQL: of the promotion `p` and its change request `c`. */
const sources: Record<NeedKind, Source> = {
  'rollback-failed': {
    from: "JOIN deployments d ON d.promotion = p.id WHERE d.status = 'rollback-failed'",
    ...{ by: 'd.started_by', since: 'd.updated_at', attempt: 'd.attempt' },
  },
  // One whose target has a newer release that is well is no longer wanted, whatever its approval says.
  'rolled-back': {
    from: `JOIN LATERAL (SELECT * FROM deployments WHERE promotion = p.id ORDER BY attempt DESC LIMIT 1) d ON NOT (d.status = ANY (:open))
      WHERE p.status = 'rolled-back' AND c.status = 'approved'
        AND NOT EXISTS (SELECT FROM deployments s WHERE s.target = p.target AND s.status = 'succeeded' AND s.id > d.id)`,
    ...{ by: 'd.started_by', since: 'd.finished_at', attempt: 'd.attempt' },
  },
  'review-overdue': {
    from: "WHERE c.status = 'in-progress' AND c.review_overdue_at IS NOT NULL",
    ...{ by: 'c.requester', since: 'c.review_overdue_at', due: 'c.review_due_at' },
  },
  override: {
    from: `JOIN window_overrides o ON o.promotion = p.id
      WHERE c.status IN ('submitted', 'approved') AND o.seconded_by IS NULL AND o.revoked_at IS NULL AND o.expires_at > now()`,
    ...{ by: 'o.requested_by', since: 'o.created_at', override: 'o.id', due: 'o.expires_at' },
  },
  decision: { from: "WHERE c.status = 'submitted'", by: 'c.requester', since: 'c.asked_at' },
  deploy: {
    from: `WHERE p.status = 'approved'
        AND NOT EXISTS (SELECT FROM deployments d WHERE d.promotion = p.id AND d.status = ANY (:open))`,
    ...{ by: 'p.shipped_by', since: 'p.updated_at' },
  },
  review: {
    from: "WHERE c.status = 'in-progress' AND c.review_due_at IS NOT NULL AND c.review_overdue_at IS NULL",
    ...{ by: 'c.requester', since: 'c.updated_at', due: 'c.review_due_at' },
  },
  draft: { from: "WHERE c.status = 'draft'", by: 'c.requester', since: 'c.updated_at' },
};
const every = needKinds
  .map((kind, rank) => {
    const { from, by, since, attempt = 'NULL', override = 'NULL', due = 'NULL' } = sources[kind];
    return `SELECT ${rank} AS rank, '${kind}' AS kind, p.id AS promotion, ${attempt}::integer AS attempt, ${override}::integer AS override,
      p.target, p.title, c.type = 'emergency' AS emergency, ${by} AS by, ${since} AS since, ${due}::timestamptz AS due
      FROM promotions p JOIN change_requests c ON c.id = p.id ${from}`;
  })
  .join(' UNION ALL ');

/**
 * All that waits, complete, in order of urgency. @param most so many of them. @param person only drafts of theirs wait for them.
 * @returns these, and how many there are of each kind.
 */
export async function needsOf(
  tx: Tx,
  person: string,
  most: number,
): Promise<{ counts: Record<NeedKind, number>; needs: NeedRow[] }> {
  const { rows } = await tx.raw(
    `WITH every AS (${every}),
          theirs AS (SELECT * FROM every WHERE kind <> 'draft' OR person_key(by) = person_key(:person)),
          counted AS (SELECT coalesce(json_object_agg(kind, n), '{}') AS counts FROM (SELECT kind, count(*) AS n FROM theirs GROUP BY kind) k)
     SELECT counts, needs.* FROM counted LEFT JOIN LATERAL (
       SELECT * FROM theirs ORDER BY rank, emergency DESC, since, promotion LIMIT :most) needs ON true`,
    { open: [...openAttempt], person, most },
  );
  const found = rows as (NeedRow & { counts: Partial<Record<NeedKind, number>> })[];
  const counts = Object.fromEntries(needKinds.map((kind) => [kind, found[0]?.counts[kind] ?? 0]));
  return {
    counts: counts as Record<NeedKind, number>,
    needs: found.filter(({ kind }) => kind !== null),
  };
}
