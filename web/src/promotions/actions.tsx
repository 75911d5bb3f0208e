import { useRef, useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { actionPermission, actionsFor, type Action } from '../../../domain/actions';
import type {
  ChangeRequestView,
  DeploymentView,
  PromotionView,
  TargetView,
  WindowStatusView,
} from '../../../domain/schemas';
import { useApi } from '../api';
import { dateTime, short } from '../format';
import { standFor, useMe } from '../shell/me';

interface Props {
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
  withdraw: 'Withdraw',
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
      return api.write(path, { ...fixed, ...body }, stand.can ? stand.as : undefined);
    },
    onSettled: () => queries.invalidateQueries(),
  });
  const actions = actionsFor({
    promotion: p.status,
    changeRequest: change.status,
    attempt: open?.status,
    canReturn:
      p.live && (p.deployments.findLast(({ status }) => status === 'succeeded')?.from ?? null) !== null,
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
    return action !== 'deploy-when-open' && window?.open === false
      ? `${label[action]}: ${target.name} is closed. ${window.reason}${window.nextOpen ? `; it opens ${dateTime(window.nextOpen)}` : ''}.`
      : undefined;
  };
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
      {[...new Set(actions.map(off))].map(
        (why) =>
          why && (
            <span key={why} className="muted">
              {why}
            </span>
          ),
      )}
      {act.error && (
        <p role="alert" className="refusal">
          Refused: {act.error.message}
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

/** What will happen, in plain words. */
function Consequence({ action, promotion: p, change, target, open, window }: Props & { action: Action }) {
  const now = target.current ? `${target.current.revision} (${short(target.current.release)})` : 'no release';
  switch (action) {
    case 'deploy':
    case 'deploy-when-open':
    case 'retry':
      return (
        <>
          <p>
            {target.name} goes from <strong>{now}</strong> to <strong>{p.revision}</strong>: build, backup
            (verified), swap, health check. If a step fails, {now} is put back by itself.
          </p>
          {action === 'deploy-when-open' && window?.nextOpen && (
            <p>
              It sleeps until {dateTime(window.nextOpen)} ({window.reason}) and then begins by itself. It can
              be cancelled until then.
            </p>
          )}
          {change.approvals.given.length > 0 && <p>Approved by {change.approvals.given.join(', ')}.</p>}
          {window?.warning && <p className="warning">{window.warning}</p>}
          {target.lane && <p>{target.lane} holds the lane; this waits its turn behind it.</p>}
        </>
      );
    case 'rollback':
      return (
        <p>
          {target.name} returns from {now} to the release before, after a new backup. Data is left as it is.
        </p>
      );
    case 'cancel':
      return (
        <p>
          {open?.status === 'running'
            ? 'The running step is stopped and everything it did is undone.'
            : 'It has not begun; it ends without touching anything.'}
        </p>
      );
    case 'resolve':
      return <p>{open?.waitingFor}</p>;
    default:
      return <p>{p.title}</p>;
  }
}
