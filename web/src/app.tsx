import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { ApiContext, createApi, LiveContext, useApi, useEventStream } from './api';
import { forget, keepBearer, type Start } from './session';
import { Shell } from './shell/shell';
import { SignIn } from './sign-in';

/** The Operations page: signed in, or not yet. */
export function App({ session: given, way, problem }: Start) {
  const [session, setSession] = useState(given);
  const api = useMemo(() => session && createApi(session), [session]);
  const signOut = useCallback(() => {
    // A token has no session to end; whatever the answer, this page forgets it.
    void api?.signOut().catch(() => undefined);
    forget();
    setSession(undefined);
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
