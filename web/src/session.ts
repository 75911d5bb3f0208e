import type { Role } from '../../domain/machines';

/**
 * Who one is. In the embedded mode the link that `signalbox up` prints carries a code, which is exchanged for the
 * tokens of the sample people; elsewhere one pastes a token. The code stands behind #, so no server sees it.
 */
export type Tokens = Partial<Record<Role | 'any', string>>;
const store = 'signalbox.tokens';

export function keptTokens(): Tokens | undefined {
  const kept = localStorage.getItem(store);
  return kept ? (JSON.parse(kept) as Tokens) : undefined;
}
export const keepTokens = (tokens: Tokens) => localStorage.setItem(store, JSON.stringify(tokens));
export const forgetTokens = () => localStorage.removeItem(store);

/** Signs in with the code in the address, if there is one. @returns the tokens, kept or new. */
export async function signIn(): Promise<Tokens | undefined> {
  const code = new URLSearchParams(location.hash.slice(1)).get('sign-in');
  if (!code) return keptTokens();
  history.replaceState(null, '', location.pathname + location.search);
  const response = await fetch('/api/sign-in', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  });
  if (!response.ok) return keptTokens();
  const { tokens } = (await response.json()) as { tokens: Tokens };
  keepTokens(tokens);
  return tokens;
}
