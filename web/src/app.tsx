import { useCallback, useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from 'react';
import {
  ApiContext,
  createApi,
  LiveContext,
  Problem,
  useApi,
  useEventStream,
  useLive,
  usePromotions,
} from './api';
import { Promotion } from './promotions/promotion';
import { PromotionList } from './promotions/promotion-list';
import { ShipForm } from './promotions/ship-form';
import { WhoAmI } from './me';
import { forget, keepBearer, type Start } from './session';
import { SignIn } from './sign-in';
import { Targets } from './targets';

/** The Operations page: targets on top, promotions on the left, the chosen one on the right. */
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
        <Operations signOut={signOut} />
      </Live>
    </ApiContext>
  );
}

function Live({ children }: { children: ReactNode }) {
  return <LiveContext value={useEventStream(useApi())}>{children}</LiveContext>;
}

function Operations({ signOut }: { signOut: () => void }) {
  const [key, choose] = useChosen();
  const promotions = usePromotions();
  const refused = promotions.error instanceof Problem && promotions.error.status === 401;
  useEffect(() => {
    if (refused) signOut();
  }, [refused, signOut]);
  const items = promotions.data?.items ?? [];
  const chosen = key ?? items[0]?.key;
  return (
    <>
      <Header failing={promotions.isError} since={promotions.dataUpdatedAt} signOut={signOut} />
      <main>
        <Targets />
        <div className="columns">
          <section aria-label="Promotions" className="list">
            <ShipForm onShipped={choose} />
            <PromotionList items={items} loaded={promotions.isSuccess} chosen={chosen} choose={choose} />
          </section>
          {chosen ? (
            <Promotion key={chosen} promotionKey={chosen} />
          ) : (
            <section className="empty">
              {promotions.isSuccess
                ? 'Nothing was shipped yet. Ship a revision on the left, or with "npx signalbox ship <target> <revision>".'
                : 'Reading the promotions ...'}
            </section>
          )}
        </div>
      </main>
    </>
  );
}

function Header({ failing, since, signOut }: { failing: boolean; since: number; signOut: () => void }) {
  const live = useLive();
  return (
    <header>
      <h1>
        <img src="/signal.svg" alt="" width="24" height="24" /> Signalbox
      </h1>
      <p className={failing ? 'live stale' : 'live'} role="status">
        {failing
          ? `Signalbox does not answer. This is what was known at ${new Date(since).toLocaleTimeString()}; trying again every second.`
          : live
            ? 'Live: every change shows as it happens'
            : 'Updating every second; the live stream is being connected'}
      </p>
      <WhoAmI />
      <a href="/api/docs/">API</a>
      <button type="button" className="plain" onClick={signOut}>
        Sign out
      </button>
    </header>
  );
}

/** Which promotion is chosen stands in the address, so that a link and the back button work. */
function useChosen(): [string | undefined, (key: string) => void] {
  const search = useSyncExternalStore(
    (changed) => {
      addEventListener('popstate', changed);
      return () => removeEventListener('popstate', changed);
    },
    () => location.search,
  );
  const choose = (key: string) => {
    history.pushState(null, '', `?promotion=${key}`);
    dispatchEvent(new PopStateEvent('popstate'));
  };
  return [new URLSearchParams(search).get('promotion') ?? undefined, choose];
}
