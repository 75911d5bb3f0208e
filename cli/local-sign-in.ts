import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { LocalSignIn } from '../api/deps';

/**
 * The one-time link of the embedded mode. Whoever can read what `up` printed, or its private `endpoints.json`, is the
 * person at this machine; any other local process is not.
 * @param onUsed hears the next code when one was used.
 */
export function localSignIn(
  people: readonly string[],
  onUsed: (next: string) => void,
): LocalSignIn & { code(): string } {
  const random = () => randomBytes(18).toString('base64url');
  let code = random();
  return {
    kind: 'local',
    people,
    code: () => code,
    redeem(given) {
      if (!equal(given, code)) return false;
      code = random();
      onUsed(code);
      return true;
    },
  };
}

/** Compares without telling by its duration how much was right. */
const equal = (a: string, b: string) => timingSafeEqual(digest(a), digest(b));
const digest = (text: string) => createHash('sha256').update(text).digest();
