/**
 * Who one is. In the embedded mode the link that `signalbox up` printed carries a code that is good once and is
 * exchanged for a session; elsewhere one signs in by OpenID Connect, whose session is a cookie that no script can
 * read, or pastes an API token. The code stands behind #, so no server sees it in an address.
 *
 * The session of the embedded mode is kept in the page's storage and not in a cookie: cookies of localhost ignore the
 * port, so any other local server would get it.
 */
export interface Session {
  /** Sent with every request; left out where a cookie does it. */
  bearer?: string;
}
export type Way = 'local' | 'oidc' | 'token';
const store = 'signalbox.session';
/** Each tab's own: another one goes on as whom it was. */
const actingStore = 'signalbox.as';

/** As which of the sample people this tab goes on; undefined: as whom the session is. */
export const acting = (): string | undefined => sessionStorage.getItem(actingStore) ?? undefined;
export const actAs = (person: string): void => sessionStorage.setItem(actingStore, person);

export function keepBearer(bearer: string): Session {
  localStorage.setItem(store, bearer);
  return { bearer };
}
export function forget(): void {
  localStorage.removeItem(store);
  sessionStorage.removeItem(actingStore);
}

export interface Start {
  session: Session | undefined;
  way: Way;
  /** Why signing in did not work. */
  problem?: string;
}

/** Signs in by what is at hand: the code in the address, what was kept, a cookie. */
export async function start(): Promise<Start> {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (location.hash) history.replaceState(null, '', location.pathname + location.search);
  const code = hash.get('sign-in');
  const problem = hash.get('problem') ?? undefined;
  const { way } = (await (await fetch('/api/sign-in')).json()) as { way: Way };
  if (code) {
    const response = await fetch('/api/sign-in', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code }),
    });
    const answer = (await response.json()) as { session: string; detail: string };
    if (response.ok) return { way, session: keepBearer(answer.session) };
    const kept = localStorage.getItem(store);
    return kept ? { way, session: { bearer: kept } } : { way, session: undefined, problem: answer.detail };
  }
  const kept = localStorage.getItem(store);
  if (kept) return { way, session: { bearer: kept } };
  const byCookie = way === 'oidc' && (await fetch('/api/me')).ok;
  return { way, session: byCookie ? {} : undefined, ...(problem ? { problem } : {}) };
}
