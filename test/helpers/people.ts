import type { Db } from '../../db/connect';
import { setGrants } from '../../db/people';
import { createKeyring, newKey } from '../../temporal-config/signing';

/** Who may do what in the tests; each holds one role, bo several. */
export const people: Record<string, string[]> = {
  carla: ['contributor'],
  amir: ['approver'],
  anna: ['approver'],
  rosa: ['release-manager'],
  sven: ['sre'],
  ada: ['admin'],
  bo: ['contributor', 'approver', 'release-manager'],
};
export async function introducePeople(db: Db): Promise<void> {
  const move = { by: 'signalbox', why: 'a person of the test' };
  for (const [name, grants] of Object.entries(people)) await setGrants(db, name, grants, move);
}

const keys = { keys: [newKey(new Date())] };
/** What the API of a test signs by. */
export const keyring = createKeyring(() => keys);
