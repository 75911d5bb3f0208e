import { changeRequestKey } from '../domain/keys';
import { databaseNow } from './clock';
import type { Db } from './connect';
import { contentDigest } from './digest';
import { contentOf, locked, tell, touch, type ChangeRequestRow } from './change-requests';
import { backToSubmitted, policyOf, promotionFollows } from './approvals';
import { bySignalbox, transition } from './transition';

/** What time brings to a change request: reminders, escalation, expiry, an overdue review. */
export interface Due {
  what: 'remind' | 'escalate' | 'expire' | 'lapse' | 'review-overdue';
  /** Milliseconds since 1970. */
  at: number;
  /** How long that is from now, by the database's clock; for the timer. */
  left?: number;
  /** In plain words, for the timer. */
  inWords: string;
}

/** The next thing that time brings; undefined when there is none. */
export function nextDue(row: ChangeRequestRow): Due | undefined {
  const policy = policyOf(row);
  const key = changeRequestKey(row.id);
  const all: Due[] = [];
  const add = (what: Due['what'], from: Date | null, ms: number | undefined, inWords: string) => {
    if (from && ms !== undefined) all.push({ what, at: from.getTime() + ms, inWords });
  };
  if (row.status === 'submitted') {
    add('remind', row.reminded_at ?? row.asked_at, policy.remindMs, `Remind the approvers of ${key}`);
    if (!row.escalated_at)
      add('escalate', row.asked_at, policy.escalateMs, `Escalate: nobody has decided on ${key}`);
    add('expire', row.asked_at, policy.expireMs, `${key} expires: rejected, to be revised`);
  }
  if (row.status === 'approved')
    add('lapse', row.approved_at, policy.bindsMs, `The approval of ${key} lapses unused`);
  if (row.status === 'in-progress' && !row.review_overdue_at)
    add('review-overdue', row.review_due_at, 0, `Deadline of the review of ${key}`);
  return all.sort((a, b) => a.at - b.at)[0];
}

/** Until when a decision or the use of an approval is waited for. */
export const expiryOf = (row: ChangeRequestRow): number | undefined => {
  const policy = policyOf(row);
  if (row.status === 'submitted' && row.asked_at && policy.expireMs !== undefined)
    return row.asked_at.getTime() + policy.expireMs;
  if (row.status === 'approved' && row.approved_at && policy.bindsMs !== undefined)
    return row.approved_at.getTime() + policy.bindsMs;
  return undefined;
};

/** Does what is due, if it still is. Repeating it is harmless. @param at milliseconds since 1970; left out: now. */
export const doDue = (
  db: Db,
  id: number,
  submission: number,
  at?: number,
): Promise<Due['what'] | undefined> =>
  db.transaction(async (tx) => {
    const now = at ?? (await databaseNow(tx));
    const { row, promotion } = await locked(tx, id);
    const due = row.submission === submission ? nextDue(row) : undefined;
    if (!due || due.at > now) return undefined;
    const key = changeRequestKey(id);
    switch (due.what) {
      case 'remind':
        await touch(tx, id, bySignalbox('the approvers were reminded'), { reminded_at: new Date(now) });
        await tell(tx, 'approval.reminded', id);
        break;
      case 'escalate':
        await touch(tx, id, bySignalbox('nobody decided in time; it was escalated'), {
          escalated_at: new Date(now),
        });
        await tell(tx, 'approval.escalated', id);
        break;
      case 'expire': {
        const outcome = `expired: not decided in ${hours(policyOf(row).expireMs!)}. Revise it and submit it again.`;
        const move = bySignalbox(outcome);
        await transition(tx, 'changeRequest', id, 'rejected', move, { outcome });
        await promotionFollows(tx, id, 'rejected', move);
        break;
      }
      case 'lapse': {
        const revision = row.revision + 1;
        await backToSubmitted(
          tx,
          id,
          bySignalbox(
            `its approval was not used in ${hours(policyOf(row).bindsMs!)}; it has to be given again`,
          ),
          {
            revision,
            digest: contentDigest(contentOf(row, promotion), revision),
          },
        );
        break;
      }
      case 'review-overdue':
        await touch(tx, id, bySignalbox(`the review of ${key} is overdue`), {
          review_overdue_at: new Date(now),
        });
        await tell(tx, 'review.overdue', id);
    }
    return due.what;
  });

const hours = (ms: number) =>
  ms < 3_600_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 360_000) / 10} h`;
