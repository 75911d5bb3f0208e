import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { Permission } from '../../../domain/permissions';
import type { TotalsView } from '../../../domain/backlog/schemas';
import type { NeedsView } from '../../../domain/schemas';
import { useBlocked, useEpics, useNeeds, usePolled, useWipLimits } from '../api';
import { number } from '../format';
import { standFor, useMe } from '../shell/me';
import { Time } from '../time';

interface Need {
  key: string;
  urgent?: boolean;
  says: ReactNode;
}

/** What waits for somebody, the most urgent first; it says where that is the reader. */
export function Needs() {
  const needs = [...useDeliveryNeeds(), ...useBacklogNeeds()];
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
            <li key={key} data-row className={urgent ? 'warning' : undefined}>
              {says}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function useDeliveryNeeds(): Need[] {
  const me = useMe();
  const { data } = useNeeds();
  if (!data) return [];
  const can = (permission: Permission, target: string) => {
    const stand = standFor(me, permission, target);
    return stand.can && stand.as === undefined;
  };
  const needs = data.items.map((need): Need => ({
    key: `${need.kind} ${need.key}`,
    urgent: need.kind === 'rollback-failed' || need.kind === 'rolled-back' || need.kind === 'review-overdue',
    says: (
      <>
        {need.emergency && <strong>Emergency </strong>}
        {inWords(need, can, me?.person)}
      </>
    ),
  }));
  const left = data.total - data.items.length;
  const more: Need = {
    key: 'more',
    says: (
      <>
        And {number(left)} more: {left === 1 ? 'it waits' : 'they wait'} for less, or since later. All are in{' '}
        <Link href="/change-requests">Change requests</Link> and <Link href="/promotions">Promotions</Link>.
      </>
    ),
  };
  return left > 0 ? [...needs, more] : needs;
}

type Item = NeedsView['items'][number];
function inWords(
  { kind, key, promotion, changeRequest, target, title, by, since, dueAt, asks }: Item,
  can: (permission: Permission, target: string) => boolean,
  person: string | undefined,
): ReactNode {
  const request = <Link href={`/change-requests/${changeRequest}`}>{changeRequest}</Link>;
  const shipped = <Link href={`/promotions/${promotion}`}>{promotion}</Link>;
  switch (kind) {
    case 'rollback-failed':
      return (
        <>
          The rollback of <Link href={`/promotions/${promotion}`}>{key}</Link> failed; {target} waits for{' '}
          {can('resolve', target) ? 'you' : 'an SRE'}.
        </>
      );
    case 'rolled-back':
      return (
        <>
          {shipped} {title} was rolled back on {target}; its approval still stands
          {can('deploy', target) ? ': it is yours to retry' : ', so that it may be retried'}.
        </>
      );
    case 'review-overdue':
      return (
        <>
          {request} {title}: its review is overdue since <Time at={since} />.
        </>
      );
    case 'review':
      return (
        <>
          {request} {title}: its review is due until <Time at={dueAt!} />.
        </>
      );
    case 'override':
      return (
        <>
          {shipped} {title}: {by} asks to pass "{asks}" with it; a second release manager has to agree.
        </>
      );
    case 'decision':
      return (
        <>
          {request} {title} waits for{' '}
          {can('decide', target) && by !== person ? <strong>your decision</strong> : 'a decision'}
          {asks && ` (${asks})`}.
        </>
      );
    case 'deploy':
      return (
        <>
          {shipped} {title} is approved for {target}
          {can('deploy', target) && ': it is yours to deploy'}.
        </>
      );
    case 'draft':
      return (
        <>
          {request} {title} is <strong>your draft</strong>: submit it, or withdraw it.
        </>
      );
  }
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
