import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { canonical } from '../domain/canonical';

/**
 * What the API says to a workflow carries its signature, so that nobody who merely reaches the Temporal server can
 * start, approve, cancel or resolve in another's name. A signature covers the purpose, the workflow it is for and the
 * whole message: moved to another workflow or altered, it does not fit. What a repeat could do twice is unique by an
 * id in the database.
 *
 * A keyring holds several keys: the first signs, all are good for verifying. Rotating puts a new one in front; the
 * old one is dropped when nothing that it signed is on its way any more.
 */
export type Purpose = 'start' | 'submit' | 'decision' | 'cancel' | 'resolve' | 'adopt';
/** What a worker says in the record, or the API for a runner, which is signed in the same way. */
export type Said = Purpose | 'restored' | 'step' | 'built' | 'sighted';
export interface Signature {
  key: string;
  mac: string;
}
export type Signed<T> = T & { signature: Signature };
export interface Keyring {
  sign<T extends object>(purpose: Said, workflowId: string, message: T): Signed<T>;
  /** Why a message is not what the API said to this workflow; undefined when it is. */
  whyForged(purpose: Said, workflowId: string, message: unknown): string | undefined;
}

const key = z.strictObject({
  id: z.string().min(1),
  secret: z.base64url().min(43, 'at least 32 bytes'),
  createdAt: z.iso.datetime(),
});
export const keysFile = z.strictObject({ keys: z.array(key).min(1) });
export type Keys = z.infer<typeof keysFile>;

export const newKey = (now: Date): Keys['keys'][number] => ({
  // Typed as an argument: it never begins with a dash.
  id: randomBytes(6).toString('hex'),
  secret: randomBytes(32).toString('base64url'),
  createdAt: now.toISOString(),
});

/** @param keys reads the keys as they are now, so that a rotation counts at once. */
export function createKeyring(keys: () => Keys): Keyring {
  const mac = (secret: string, purpose: Said, workflowId: string, message: object) =>
    createHmac('sha256', Buffer.from(secret, 'base64url'))
      .update(canonical(['signalbox', 1, purpose, workflowId, message]))
      .digest();
  return {
    sign(purpose, workflowId, message) {
      const [{ id, secret }] = keys().keys as [Keys['keys'][number]];
      return {
        ...message,
        signature: { key: id, mac: mac(secret, purpose, workflowId, message).toString('base64url') },
      };
    },
    whyForged(purpose, workflowId, message) {
      const parsed = signed.safeParse(message);
      if (!parsed.success) return 'it carries no signature of the API';
      const { signature, ...rest } = parsed.data;
      const known = keys().keys.find(({ id }) => id === signature.key);
      if (!known) return 'it is signed with a key that is not known (any more)';
      const given = Buffer.from(signature.mac, 'base64url');
      const right = mac(known.secret, purpose, workflowId, rest);
      // Base64 has several spellings of the same bytes: a word has one, so that a repeat is known as one.
      const fits = given.length === right.length && timingSafeEqual(given, right);
      return fits && given.toString('base64url') === signature.mac
        ? undefined
        : 'its signature does not fit: it was altered, or was meant for another workflow';
    },
  };
}

const signed = z.looseObject({
  signature: z.strictObject({ key: z.string().max(100), mac: z.string().max(100) }),
});
