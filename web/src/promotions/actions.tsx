import { useRef, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { actionPermission, actionsFor, type Action } from '../../../domain/actions';
import { sentences } from '../../../domain/sentences';
import type {
  ChangeRequestView,
  DeploymentView,
  PromotionView,
  TargetView,
  WindowStatusView,
} from '../../../domain/schemas';
import { Problem, useApi } from '../api';
import { dateTime } from '../format';
import { Keyed } from '../keyed';
import { standFor, useMe } from '../shell/me';
import { Consequence } from './confirm';

export interface Props {
  promotion: PromotionView;
  change: ChangeRequestView;
  target: TargetView;
  open: DeploymentView | undefined;
  window: WindowStatusView | undefined;
}
const label: Record<Action, string> = {
  submit: 'Submit for approval',
  approve: 'Approve',
  reject: 'Reject …',
  'withdraw-approval': 'Withdraw my approval …',
  review: 'Review …',
  revise: 'Revise',
  deploy: 'Deploy Now',
  'deploy-when-open': 'Deploy when it opens',
  retry: 'Retry',
  rollback: 'Roll back …',
  cancel: 'Cancel deployment …',
  resolve: 'Resolve failed rollback …',
  withdraw: 'Withdraw …',
};
const primary: Action[] = [
  'submit',
  'approve',
  'review',
  'revise',
  'deploy',
  'deploy-when-open',
  'retry',
  'resolve',
];
/** Asked before: what it will do, and for some a reason. */
const asks: Partial<Record<Action, 'confirm' | 'reason'>> = {
  deploy: 'confirm',
  'deploy-when-open': 'confirm',
  'withdraw-approval': 'confirm',
  review: 'reason',
  retry: 'confirm',
  rollback: 'reason',
  reject: 'reason',
  cancel: 'confirm',
  withdraw: 'confirm',
  resolve: 'reason',
};

/** The buttons that fit the promotion's state. What the server refuses is shown in its own words. */
export function Actions(props: Props) {
  const { promotion: p, change, target, open, window } = props;
  const api = useApi();
  const queries = useQueryClient();
  const me = useMe();
  const [asking, setAsking] = useState<Action>();
  const act = useMutation({
    mutationFn: ({ action, body }: { action: Action; body: object }) => {
      const [path, fixed] = request(action, props);
      const stand = standOf(action);
      return api.write<{ accepted?: string }>(path, { ...fixed, ...body }, stand.can ? stand.as : undefined);
    },
    onSettled: () => queries.invalidateQueries(),
  });
  const actions = actionsFor({
    promotion: p.status,
    changeRequest: change.status,
    attempt: open?.status,
    canReturn:
      // Accepted as it was, a promotion that rolled back may be what is live.
      p.live &&
      (p.deployments.findLast(({ status }) => p.status === 'rolled-back' || status === 'succeeded')?.from ??
        null) !== null,
    reviewDue: change.review !== null,
    // One's own, or that of a sample person whom one may go on as.
    approvalGiven: change.approvals.given.some(
      (giver) => giver === me?.person || me?.canBe.some(({ person }) => person === giver),
    ),
    closed: window?.open === false && window.nextOpen !== null,
  });
  const standOf = (action: Action) => standFor(me, actionPermission[action], p.target);
  /** Why a button can not be pressed. */
  const off = (action: Action) => {
    const stand = standOf(action);
    if (!stand.can) return stand.why;
    if (!['deploy', 'retry', 'deploy-when-open'].includes(action)) return undefined;
    if (!target.promotionsEnabled)
      return `Promotions to ${target.name} are switched off: ${target.promotionsDisabledReason}`;
    if (p.blocked) return sentences(p.blocked, 'Nothing that carries a blocked item is deployed');
    return action !== 'deploy-when-open' && window?.open === false
      ? `${target.name} is closed. ${window.reason}${window.nextOpen ? `; it opens ${dateTime(window.nextOpen)}` : ''}.`
      : undefined;
  };
  /** Each reason once, with the buttons that it holds. */
  const reasons = new Map<string, string[]>();
  for (const action of actions) {
    const why = off(action);
    if (why) reasons.set(why, [...(reasons.get(why) ?? []), label[action].replace(' …', '')]);
  }
  const as = (action: Action) => {
    const stand = standOf(action);
    return stand.can ? stand.as : undefined;
  };
  const run = (action: Action, body: object = {}) => act.mutate({ action, body });
  return (
    <div className="actions">
      {actions.map((action) => (
        <button
          key={action}
          type="button"
          className={primary.includes(action) ? 'primary' : ''}
          disabled={act.isPending || off(action) !== undefined}
          title={off(action)}
          onClick={() => (asks[action] ? setAsking(action) : run(action))}
        >
          {as(action)
            ? `${label[action].replace(' …', '')} as ${as(action)}${label[action].endsWith('…') ? ' …' : ''}`
            : label[action]}
        </button>
      ))}
      {act.isPending && <span className="muted">Sent; waiting for the verdict …</span>}
      {[...reasons].map(([why, held]) => (
        <p key={why} className="muted reason">
          {held.join(', ')}: <Keyed text={why} />
        </p>
      ))}
      {act.data?.accepted && (
        <p role="status" className="muted">
          <Keyed text={act.data.accepted} />
        </p>
      )}
      {act.error && (
        <p role="alert" className="refusal">
          {act.error instanceof Problem && 'Refused: '}
          <Keyed text={act.error.message} />
        </p>
      )}
      {asking && (
        <Ask
          action={asking}
          {...props}
          person={as(asking) ?? me?.person}
          close={() => setAsking(undefined)}
          run={(body) => {
            setAsking(undefined);
            run(asking, body);
          }}
        />
      )}
    </div>
  );
}

function request(action: Action, { promotion: p, change, open }: Props): [string, object] {
  switch (action) {
    case 'withdraw-approval':
      return [`/change-requests/${change.key}/withdraw-decision`, {}];
    case 'review':
    case 'revise':
      return [`/change-requests/${change.key}/${action}`, {}];
    case 'deploy-when-open':
      return [
        `/promotions/${p.key}/${p.status === 'rolled-back' ? 'retry' : 'deploy'}`,
        { when: 'next-window' },
      ];
    case 'submit':
      return [`/change-requests/${change.key}/submit`, {}];
    case 'approve':
    case 'reject':
      // Bound to what this page shows.
      return [`/change-requests/${change.key}/decisions`, { decision: action, digest: change.digest }];
    case 'cancel':
    case 'resolve':
      return [`/deployments/${open!.key}/${action}`, {}];
    default:
      return [`/promotions/${p.key}/${action}`, {}];
  }
}

function Ask(
  props: Props & {
    action: Action;
    person: string | undefined;
    close: () => void;
    run: (body: object) => void;
  },
) {
  const { action, person, close, run } = props;
  const reason = useRef<HTMLInputElement>(null);
  const needsReason = asks[action] === 'reason';
  const send = (more: object = {}) => {
    const text = reason.current?.value.trim();
    if (needsReason && !text) return reason.current?.focus();
    const name = action === 'reject' || action === 'review' ? 'comment' : 'reason';
    run({ ...(text ? { [name]: text } : {}), ...more });
  };
  return (
    <dialog
      ref={(dialog) => {
        if (dialog && !dialog.open) dialog.showModal();
      }}
      onClose={close}
      aria-label={label[action]}
    >
      <h3>{label[action].replace(' …', '')}</h3>
      <Consequence {...props} />
      {person && <p className="muted">You do this as {person}.</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send(action === 'resolve' ? { action: 'retry' } : {});
        }}
      >
        <label>
          {needsReason ? 'Reason' : 'Reason (optional)'}{' '}
          <input ref={reason} required={needsReason} autoFocus />
        </label>
        <span className="row">
          <button type="submit" className="primary">
            {action === 'resolve' ? 'Undo again' : label[action].replace(' …', '')}
          </button>
          {action === 'resolve' && (
            <button type="button" onClick={() => send({ action: 'accept' })}>
              Accept the target as it is
            </button>
          )}
          <button type="button" onClick={close}>
            Not now
          </button>
        </span>
      </form>
    </dialog>
  );
}
