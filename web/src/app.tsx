import { useEffect, useMemo, useState, useSyncExternalStore, type ReactNode } from 'react';
import {
  ApiContext,
  createApi,
  LiveContext,
  Problem,
  useApi,
  useEventStream,
  useLive,
  usePeople,
  usePromotions,
} from './api';
import { Promotion } from './promotions/promotion';
import { PromotionList } from './promotions/promotion-list';
import { ShipForm } from './promotions/ship-form';
import { forgetTokens, keepTokens, type Tokens } from './session';
import { Targets } from './targets';

/** The Operations page: targets on top, promotions on the left, the chosen one on the right. */
export function App({ tokens: given }: { tokens: Tokens | undefined }) {
  const [tokens, setTokens] = useState(given);
  const api = useMemo(() => tokens && createApi(tokens), [tokens]);
  const signOut = () => {
    forgetTokens();
    setTokens(undefined);
  };
  if (!api)
    return (
      <SignIn
        onToken={(token) => {
          keepTokens({ any: token });
          setTokens({ any: token });
        }}
      />
    );
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
  const people = usePeople();
  const live = useLive();
  const names = Object.entries(people).map(([role, person]) => `${person} (${role})`);
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
      <p className="who" title={names.join('\n')}>
        You act as{' '}
        {names.length > 1
          ? `the sample people: ${names.map((n) => n.split(' ')[0]).join(', ')}`
          : (names[0] ?? '...')}
      </p>
      <a href="/api/docs/">API</a>
      <button type="button" className="plain" onClick={signOut}>
        Sign out
      </button>
    </header>
  );
}

function SignIn({ onToken }: { onToken: (token: string) => void }) {
  const [token, setToken] = useState('');
  return (
    <main className="sign-in">
      <h1>
        <img src="/signal.svg" alt="" width="32" height="32" /> Signalbox
      </h1>
      <p>
        Open the link that <code>signalbox up</code> printed (it also stands in <code>endpoints.json</code> as{' '}
        <code>signIn</code>), or paste an API token.
      </p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (token.trim()) onToken(token.trim());
        }}
      >
        <label>
          API token{' '}
          <input
            type="password"
            value={token}
            onChange={(event) => setToken(event.target.value)}
            autoComplete="off"
          />
        </label>
        <button type="submit" className="primary">
          Sign in
        </button>
      </form>
    </main>
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
