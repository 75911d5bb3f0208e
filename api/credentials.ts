import type { Person } from '../db/people';
import { personByToken, sha256 } from '../db/tokens';
import type { ApiDeps } from './deps';

/**
 * Who a token belongs to, remembered from one request to the next, so that not each of them asks the database first.
 * It is forgotten when the database announces that a token was revoked or a person disabled, as soon as such a request
 * was carried out here, and after a second anyway. Nothing is remembered while announcements do not arrive. Deployments,
 * decisions and all else that a workflow does are checked again, in the database, where they take effect.
 */
export interface Credentials {
  byToken(value: string): Promise<Person | undefined>;
  /** Who may what has changed. */
  forget(): void;
}

const rememberMs = 1_000;
const most = 10_000;

export function createCredentials({ db, changes }: Pick<ApiDeps, 'db' | 'changes'>): Credentials {
  const known = new Map<string, { person: Person; until: number }>();
  // Rises when all is forgotten: what was being read at that moment is not remembered.
  let age = 0;
  const forget = () => {
    age += 1;
    known.clear();
  };
  changes.listen((change) => {
    if (change === undefined || change.entity === 'access') forget();
  });
  return {
    forget,
    async byToken(value) {
      const key = sha256(value);
      const found = known.get(key);
      if (found && changes.following() && performance.now() < found.until) return found.person;
      const before = age;
      const read = await personByToken(db, value);
      if (read && changes.following() && age === before) {
        if (known.size >= most) known.clear();
        const { person, goodForMs } = read;
        known.set(key, { person, until: performance.now() + Math.min(rememberMs, goodForMs) });
      }
      return read?.person;
    },
  };
}
