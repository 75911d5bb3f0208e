import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { isOpenAttempt } from '../../../domain/machines';
import type { Permission } from '../../../domain/permissions';
import type { TotalsView } from '../../../domain/backlog/schemas';
import type { PromotionView } from '../../../domain/schemas';
import { useBlocked, useChangeRequests, useEpics, usePolled, useWipLimits } from '../api';
import { number } from '../format';
import { standFor, useMe } from '../shell/me';
import { Time } from '../time';

interface Need {
  key: string;
  urgent?: boolean;
  says: ReactNode;
}

/** What waits for somebody, the most urgent first; it says where that is the reader. */
export function Needs({ promotions }: { promotions: PromotionView[] }) {
  const needs = [...useDeliveryNeeds(promotions), ...useBacklogNeeds()];
  return (
    <section aria-labelledby="needs-title" className="card">
      <h2 id="needs-title">Needs somebody now</h2>
      {needs.length === 0 ? (
        <p className="muted">
          Nothing waits for anybody. Ship a revision under Promotions when there is one.
        </p>
      ) : (
        <ul className="needs">
          {needs.map(({ key, urgent, says }) => (
            <li key={key} className={urgent ? 'warning' : undefined}>
              {says}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function useDeliveryNeeds(promotions: PromotionView[]): Need[] {
  const me = useMe();
  const submitted = useChangeRequests('submitted').data?.items ?? [];
  const inProgress = useChangeRequests('in-progress').data?.items ?? [];
  const ready = useChangeRequests('approved').data?.items ?? [];
  const drafts = useChangeRequests('draft').data?.items ?? [];
  const can = (permission: Permission, target: string | undefined) => {
    const stand = standFor(me, permission, target);
    return stand.can && stand.as === undefined;
  };
  const failed = promotions.flatMap((p) =>
    p.deployments
      .filter(({ status }) => status === 'rollback-failed')
      .map((d): Need => ({
        key: d.key,
        urgent: true,
        says: (
          <>
            The rollback of <Link href={`/promotions/${p.key}`}>{d.key}</Link> failed; {d.target} waits for{' '}
            {can('resolve', d.target) ? 'you' : 'an SRE'}.
          </>
        ),
      })),
  );
  const reviews = inProgress
    .filter(({ review }) => review !== null)
    .map(({ key, title, review }): Need => ({
      key: `${key} review`,
      urgent: review!.overdue,
      says: (
        <>
          <Link href={`/change-requests/${key}`}>{key}</Link> {title}: its review is{' '}
          {review!.overdue ? 'overdue since ' : 'due until '}
          <Time at={review!.dueAt} />.
        </>
      ),
    }));
  const decisions = submitted.map((request): Need => {
    const target = promotions.find(({ key }) => key === request.promotion)?.target;
    const mine = can('decide', target) && request.requester !== me?.person;
    const level = request.approvals.levels.find(({ missing }) => missing.length > 0);
    return {
      key: request.key,
      says: (
        <>
          <Link href={`/change-requests/${request.key}`}>{request.key}</Link> {request.title} waits for{' '}
          {mine ? <strong>your decision</strong> : 'a decision'}
          {level && ` (${level.name}: ${level.missing.join(' and ')})`}.
        </>
      ),
    };
  });
  const approved = promotions
    .filter((p) => p.status === 'approved' && !p.deployments.some(isOpenAttempt))
    .map((p): Need => ({
      key: p.key,
      says: (
        <>
          <Link href={`/promotions/${p.key}`}>{p.key}</Link> {p.title} is approved for {p.target}
          {can('deploy', p.target) && ': it is yours to deploy'}.
        </>
      ),
    }));
  const stillApproved = new Set(ready.map(({ promotion }) => promotion));
  const rolledBack = promotions
    .filter(
      (p) => p.status === 'rolled-back' && stillApproved.has(p.key) && !p.deployments.some(isOpenAttempt),
    )
    .map((p): Need => ({
      key: p.key,
      urgent: true,
      says: (
        <>
          <Link href={`/promotions/${p.key}`}>{p.key}</Link> {p.title} was rolled back on {p.target}; its
          approval still stands
          {can('deploy', p.target) ? ': it is yours to retry' : ', so that it may be retried'}.
        </>
      ),
    }));
  const own = drafts
    .filter(({ requester }) => requester === me?.person)
    .map(({ key, title }): Need => ({
      key,
      says: (
        <>
          <Link href={`/change-requests/${key}`}>{key}</Link> {title} is <strong>your draft</strong>: submit
          it, or withdraw it.
        </>
      ),
    }));
  const overrides = [...submitted, ...ready].flatMap((request) =>
    request.overrides
      .filter(({ status, requestedBy }) => status === 'asked' && requestedBy !== me?.person)
      .map((o): Need => ({
        key: `override ${o.id}`,
        says: (
          <>
            <Link href={`/promotions/${o.promotion}`}>{o.promotion}</Link> {request.title}: {o.requestedBy}{' '}
            asks to pass "{o.window.name}" with it; a second release manager has to agree.
          </>
        ),
      })),
  );
  return [...failed, ...rolledBack, ...overrides, ...reviews, ...decisions, ...approved, ...own];
}

function useBacklogNeeds(): Need[] {
  const limits = useWipLimits().data?.limits ?? [];
  const roots = useBlocked().data?.roots ?? [];
  const epics = useEpics().data?.items ?? [];
  const totals = usePolled<TotalsView>(['backlog-totals', ''], '/backlog-items/totals').data;
  const over = limits
    .filter((limit) => limit.over)
    .map(({ scope, limit, inProgress }): Need => ({
      key: scope,
      says: (
        <>
          <Link href={wipLink(scope)}>{scope}</Link> has {inProgress} in progress; its limit is {limit}.
        </>
      ),
    }));
  const blocking = roots.slice(0, 3).map(({ item, blocker, title, holds, frees }): Need => ({
    key: `root ${item ?? blocker}`,
    says: (
      <>
        {item ? <Link href={`/backlog/${item}`}>{item}</Link> : 'Outside'} {title} holds{' '}
        <Link href="/backlog?blocked=true">{holds.length} blocked</Link>
        {frees.length > 0 && `; resolving it frees ${frees.join(', ')}`}.
      </>
    ),
  }));
  const overdue = epics
    .filter((epic) => epic.overdue)
    .map(({ key, title, progress }): Need => ({
      key,
      says: (
        <>
          <Link href={`/backlog?epic=${key}`}>{key}</Link> {title} is overdue: {progress.done} of{' '}
          {progress.total} done.
        </>
      ),
    }));
  const late: Need[] =
    totals && totals.overdue > 0
      ? [
          {
            key: 'overdue',
            says: (
              <>
                <Link href="/backlog?overdue=true&sort=due">
                  {totals.overdue === 1 ? 'One item' : `${number(totals.overdue)} items`}
                </Link>{' '}
                of the backlog {totals.overdue === 1 ? 'is' : 'are'} overdue.
              </>
            ),
          },
        ]
      : [];
  return [...over, ...blocking, ...overdue, ...late];
}

const wipLink = (scope: string) => {
  const of = scope.startsWith('owner:')
    ? `&owner=${encodeURIComponent(scope.slice(6))}`
    : scope.startsWith('epic:')
      ? `&epic=${scope.slice(5)}`
      : '';
  return `/backlog?status=in-progress${of}`;
};
