import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { ApiContext, createApi, LiveContext, Problem, useApi, useEventStream } from './api';
import { forget, keepBearer, type Start } from './session';
import { Shell } from './shell/shell';
import { SignIn } from './sign-in';

/** The Operations page: signed in, or not yet. */
export function App({ session: given, way, problem: met }: Start) {
  const [session, setSession] = useState(given);
  const [problem, setProblem] = useState(met);
  const api = useMemo(() => session && createApi(session), [session]);
  const signOut = useCallback(() => {
    const over = (problem?: string) => {
      forget();
      setProblem(problem);
      setSession(undefined);
    };
    // Says that one is out only when the session has ended, so that leaving the page at once does not leave it open.
    api?.signOut().then(
      () => over(),
      (thrown: unknown) =>
        // An answer, whatever it says: a token has no session to end, and one that is over is refused.
        thrown instanceof Problem
          ? over()
          : over(
              'Signalbox does not answer, so your session could not be ended; reload when it is back, and sign out again.',
            ),
    );
  }, [api]);
  if (!api) return <SignIn way={way} problem={problem} onToken={(token) => setSession(keepBearer(token))} />;
  return (
    <ApiContext value={api}>
      <Live>
        <Shell signOut={signOut} />
      </Live>
    </ApiContext>
  );
}

function Live({ children }: { children: ReactNode }) {
  return <LiveContext value={useEventStream(useApi())}>{children}</LiveContext>;
}
