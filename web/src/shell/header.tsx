import { useEffect } from 'react';
import { pollMs, Problem, useLive, useStanding } from '../api';
import { time } from '../format';
import { WhoAmI } from './me';
import { Shortcuts } from './shortcuts';

const every = `every ${pollMs / 1000} s`;

/** Whether what is shown is up to date, and since when it is not; who one is. */
export function Header({ signOut }: { signOut: () => void }) {
  const live = useLive();
  const { error, since } = useStanding();
  const refused = error instanceof Problem && error.status === 401;
  useEffect(() => {
    if (refused) signOut();
  }, [refused, signOut]);
  return (
    <header>
      <h1>
        <img src="/signal.svg" alt="" width="24" height="24" /> Signalbox
      </h1>
      <p className={error ? 'live stale' : 'live'} role="status">
        {error
          ? `Signalbox does not answer. This is what was known at ${time(since)}; trying again ${every}.`
          : live
            ? 'Live: every change shows as it happens'
            : `Updating ${every}; the live stream is being connected`}
      </p>
      <WhoAmI />
      <a href="/api/docs/">API</a>
      <Shortcuts />
      <button type="button" className="plain" onClick={signOut}>
        Sign out
      </button>
    </header>
  );
}
