import type { ReactNode } from 'react';
import type { ChangeRequestDetail, WindowStatusView } from '../../../domain/schemas';
import { Badge } from '../badge';
import { difference } from '../changed';
import { count, short } from '../format';
import { Keyed } from '../keyed';
import { Markdown } from '../markdown';
import { Time } from '../time';
import { Overrides } from './overrides';

/** What governs a promotion: its request, who approves it, how risky it is, and whether its window is open. */
export function ChangeFacts({
  change,
  target,
  window,
}: {
  change: ChangeRequestDetail;
  target: string;
  window: WindowStatusView | undefined;
}) {
  const { approvals } = change;
  return (
    <>
      <dt>Request</dt>
      <dd>
        <Keyed text={change.key} /> <Badge machine="changeRequest" state={change.status} />{' '}
        {change.type === 'emergency' && (
          <strong>
            Emergency: <Keyed text={change.emergencyReason ?? ''} />
          </strong>
        )}
        {change.outcome && ['submitted', 'rejected', 'cancelled'].includes(change.status) && (
          <p className="muted">
            <Keyed text={change.outcome} />
          </p>
        )}
        {change.review && (
          <p className={change.review.overdue ? 'warning' : 'muted'}>
            {change.review.overdue ? 'Its review is overdue since ' : 'To be reviewed by an approver until '}
            <Time at={change.review.dueAt} />
          </p>
        )}
      </dd>
      <dt>Approval</dt>
      <dd>
        <ol className="chain">
          {approvals.levels.map((level) => (
            <li key={level.name}>
              {level.name}:{' '}
              {level.seats.map((seat, n) => (
                <span key={n} className={seat.filledBy ? 'seat filled' : 'seat'}>
                  {seat.filledBy
                    ? `approved by ${seat.filledBy}`
                    : `waits for one of ${seat.groups.join(' or ')}`}
                </span>
              ))}
            </li>
          ))}
        </ol>
        {change.status === 'submitted' && <p className="muted">By anybody but {change.requester}.</p>}
        {approvals.expiresAt && (
          <p className="muted">
            {change.status === 'submitted' ? 'Expires undecided ' : 'The approval lapses unused '}
            <Time at={approvals.expiresAt} />
          </p>
        )}
        {change.decisions
          .filter((d) => d.counted && d.comment && d.submission === change.submission)
          .map((d) => (
            <p key={d.id} className="muted">
              {d.approver} ({d.decision}): <Keyed text={d.comment ?? ''} />
            </p>
          ))}
      </dd>
      <dt>Risk</dt>
      <dd>
        {change.risk}
        {change.riskReasons.length > 0 && <Notes of={change.riskReasons} />}
        {change.riskReason && (
          <p className="muted">
            {change.computedRisk} by the rules; set by a person: <Keyed text={change.riskReason} />
          </p>
        )}
      </dd>
      <dt>Brings</dt>
      <dd>
        <details>
          <summary>
            {count(change.commits.length, 'commit')}, {count(change.files.length, 'file')},{' '}
            {count(change.lines, 'line')} since what ran when it was shipped
          </summary>
          <Notes of={change.commits.map((c) => `${short(c.commit)} ${c.subject} (${c.author})`)} />
        </details>
      </dd>
      {change.backlogItems.length > 0 && (
        <Fact name="Carries">
          <Keyed text={change.backlogItems.join(', ')} />
        </Fact>
      )}
      {change.rollbackPlan && (
        <Fact name="Rollback plan">
          <Markdown html={change.rollbackPlanHtml} />
        </Fact>
      )}
      {change.backupPlan && (
        <Fact name="Backup plan">
          <Markdown html={change.backupPlanHtml} />
        </Fact>
      )}
      {change.planned && (
        <Fact name="Planned">
          <Time at={change.planned.start} /> for {change.planned.minutes} min
          {change.conflicts.length > 0 && (
            <Notes of={change.conflicts.map((c) => `overlaps ${c.with} (${c.title}) on ${c.target}`)} />
          )}
          {change.conflictsAccepted && (
            <p className="muted">
              Accepted: <Keyed text={change.conflictsAccepted} />
            </p>
          )}
        </Fact>
      )}
      {change.changes.length > 0 && (
        <Fact name="Changed">
          <Notes of={change.changes.map((c) => difference(c.field, c.before, c.after))} />
        </Fact>
      )}
      {(change.overrides.length > 0 || window?.open === false) && (
        <Fact name="Overrides">
          <Overrides change={change} target={target} window={window} />
        </Fact>
      )}
      {window && (
        <Fact name="Window">
          <WindowState status={window} />
          {window.warning && <p className="warning">{window.warning}</p>}
        </Fact>
      )}
    </>
  );
}

/** Open or closed, why, and until when. */
export function WindowState({ status }: { status: WindowStatusView }) {
  const next = status.open ? status.nextClose : status.nextOpen;
  return (
    <>
      <strong className={status.open ? 'open' : 'closed'}>{status.open ? 'open' : 'closed'}</strong> ·{' '}
      {status.reason}
      {next ? (
        <>
          {status.open ? '; closes ' : '; opens '}
          <Time at={next} />
        </>
      ) : (
        !status.open && '; it does not open within a year'
      )}
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
const Notes = ({ of }: { of: string[] }) => (
  <ul className="notes">
    {of.map((line) => (
      <li key={line}>
        <Keyed text={line} />
      </li>
    ))}
  </ul>
);
