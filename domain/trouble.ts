/** What a step that is tried again and again met, for people. */
export interface Trouble {
  message: string;
  tries: number;
  /** ISO 8601 */
  nextTryAt: string;
}
/** @param now ISO 8601. @returns "<what it met> 3 tries met this; the next one begins at 10:03:05 UTC." */
export function troubleInWords({ message, tries, nextTryAt }: Trouble, now: string): string {
  const met = tries === 1 ? 'One try met this' : `${tries} tries in a row met this`;
  const next =
    nextTryAt > now ? `the next one begins at ${nextTryAt.slice(11, 19)} UTC` : 'another one is being made';
  return `${message} ${met}; ${next}.`;
}
