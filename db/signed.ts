import { incarnationOf, idIn } from '../domain/incarnation';

/**
 * What a step did, and what was seen on a target, is believed by the signature of whoever recorded it: a worker, or the API for
 * a runner, which has no keys. Whoever merely reaches the database with the application's login has none either.
 */
export interface Signer {
  sign(purpose: Signing, of: string, said: object): { signature: object };
  /** Why it was not signed so; undefined when it was. */
  whyForged(purpose: Signing, of: string, said: object): string | undefined;
}
type Signing = 'step' | 'built' | 'sighted';
type Signature = object | null;

/** Numbers come again after a restore. */
const attempt = (deployment: number, incarnation: string) => idIn(`deployment/${deployment}`, incarnation);

/** The end of a step, as its row has it. */
export interface StepEnd {
  name: string;
  round: number;
  attempt: number;
  scheduled: number | null;
  signature: Signature;
}
/** What it made, as the rows have it that it was recorded in. */
export interface MadeBy {
  release: string | null;
  backup: { reference: string; sha256: string } | null;
}
function saidOf({ name, round, attempt: tried, scheduled }: Omit<StepEnd, 'signature'>, made: MadeBy) {
  const end = { step: name, round, attempt: tried, scheduled };
  if (name === 'build') return { ...end, release: made.release };
  return name === 'backup' ? { ...end, reference: made.backup?.reference, sha256: made.backup?.sha256 } : end;
}

export const signEnd = (
  keys: Signer,
  deployment: number,
  owner: string,
  end: Omit<StepEnd, 'signature'>,
  made: MadeBy,
): object => keys.sign('step', attempt(deployment, incarnationOf(owner)), saidOf(end, made)).signature;

/** Why a step's end is not one that a worker signed; undefined when it is. */
export const whyNotSigned = (
  keys: Signer,
  { id, incarnation }: { id: number; incarnation: string },
  { signature, ...end }: StepEnd,
  made: MadeBy,
): string | undefined =>
  keys.whyForged('step', attempt(id, incarnation), { ...saidOf(end, made), signature });

/** What a commit was built to. */
export interface Built {
  target: string;
  commit: string;
  recipe: string;
  digest: string;
}
export const signBuilt = (keys: Signer, built: Built) => keys.sign('built', built.target, built).signature;
export const isSignedBuilt = (keys: Signer, built: Built & { signature: Signature }): boolean =>
  keys.whyForged('built', built.target, built) === undefined;

/** What was seen on a target, and when, by the database's clock. */
export interface Seen {
  what: 'traces' | 'live';
  found: object;
  /** Milliseconds since 1970. */
  at: number;
}
export const signSeen = (keys: Signer, deployment: number, owner: string, seen: Seen): object => ({
  ...keys.sign('sighted', `${owner}/${deployment}`, seen).signature,
  at: seen.at,
});
/** @returns when it was seen, by whoever signed that; undefined when nobody did. */
export function signedAt(
  keys: Signer,
  deployment: number,
  owner: string,
  seen: Omit<Seen, 'at'> & { signature: (object & { at?: number }) | null },
): number | undefined {
  const { at = 0, ...signature } = seen.signature ?? {};
  const said = { what: seen.what, found: seen.found, at, signature };
  return keys.whyForged('sighted', `${owner}/${deployment}`, said) === undefined ? at : undefined;
}
