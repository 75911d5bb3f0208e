import type { ReactNode } from 'react';
import type { Action } from '../../../domain/actions';
import { dateTime, bytes, lasting, short } from '../format';
import type { Props } from './actions';
import { WindowState } from './change';

/** What will happen, in plain words, before one presses. */
export function Consequence({ action, ...props }: Props & { action: Action }) {
  const { promotion: p, target, open } = props;
  const now = target.current
    ? `${target.current.revision} (${short(target.current.release)})`
    : (target.observed?.what ?? 'no release');
  switch (action) {
    case 'deploy':
    case 'deploy-when-open':
    case 'retry':
      return <WhatWillHappen {...props} sleeps={action === 'deploy-when-open'} now={now} />;
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
    case 'withdraw':
      return (
        <p>
          {p.key} {p.title} is given up, and {p.changeRequest} is cancelled with it. That is for good: to have
          it after all it is shipped again.
        </p>
      );
    case 'resolve':
      return <p>{open?.waitingFor}</p>;
    default:
      return <p>{p.title}</p>;
  }
}

function WhatWillHappen(props: Props & { sleeps: boolean; now: string }) {
  const { promotion: p, change, target, window, sleeps, now } = props;
  const usual = Object.values(target.expectedMs).reduce((sum, ms) => sum + ms, 0);
  const seats = change.approvals.levels.flatMap(({ name, seats: all }) =>
    all.flatMap(({ filledBy }) => (filledBy ? [`${filledBy} (${name})`] : [])),
  );
  return (
    <>
      <p>
        {target.name} goes from <strong>{now}</strong> to <strong>{p.revision}</strong>: build, backup
        (verified), {'migrate' in target.expectedMs && 'migrate, '}swap, health check. If a step fails, {now}{' '}
        is put back by itself.
      </p>
      <dl className="facts">
        <Fact name="Takes">
          {usual > 0 ? `about ${lasting(usual)}, as its last runs did` : 'not known yet: it never ran here'}
        </Fact>
        <Fact name="Window">
          {window ? <WindowState status={window} /> : 'looking ...'}
          {window?.warning && <p className="warning">{window.warning}</p>}
        </Fact>
        <Fact name="Backup">
          made and verified before the swap
          {p.backup && `; the last one has ${bytes(p.backup.bytes)}, ${dateTime(p.backup.verifiedAt)}`}
        </Fact>
        <Fact name="Approved by">
          {seats.length > 0 ? seats.join(', ') : 'nobody: its policy asks for no approval'}
        </Fact>
        {target.lane && (
          <Fact name="Waits">{target.lane} holds the lane; this waits its turn behind it.</Fact>
        )}
      </dl>
      {sleeps && window?.nextOpen && (
        <p>
          It sleeps until {dateTime(window.nextOpen)} ({window.reason}) and then begins by itself. It can be
          cancelled until then.
        </p>
      )}
    </>
  );
}

const Fact = ({ name, children }: { name: string; children: ReactNode }) => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
);
