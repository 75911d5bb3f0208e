import { z } from 'zod';
import { programText } from './input';
import { strict } from './strict';

/**
 * What is live on a target, exactly as it was found. An undo returns to what was observed before the attempt acted, never
 * to what the record believed: somebody may have switched the target by hand, or it was another tool's before.
 */
const digest = /^[0-9a-f]{64}$/;
const text = (max: number) => programText(max, 1);
export const observedSchema = z.discriminatedUnion('kind', [
  strict({ kind: z.literal('nothing') }),
  /** One of Signalbox's releases, by its digest. */
  strict({ kind: z.literal('release'), release: z.string().regex(digest) }),
  /** A link to something that exists and is no release of Signalbox, by its text. */
  strict({ kind: z.literal('foreign'), link: text(4096) }),
  /** Whatever it is, it could not be put back. */
  strict({ kind: z.literal('unrestorable'), what: text(8192), remedy: text(8192) }),
]);
export type Observed = z.infer<typeof observedSchema>;
/** What can be put back. */
export type Restorable = Exclude<Observed, { kind: 'unrestorable' }>;

export const nothing: Restorable = { kind: 'nothing' };
/** @param digest null: no release. */
export const releaseOr = (digest: string | null): Restorable =>
  digest === null ? nothing : { kind: 'release', release: digest };

export const isRestorable = (live: Observed): live is Restorable => live.kind !== 'unrestorable';

/** Whether both are the same thing. */
export const isSame = (one: Observed, other: Observed): boolean => keyOf(one) === keyOf(other);
const keyOf = (live: Observed) =>
  live.kind === 'release'
    ? `release ${live.release}`
    : live.kind === 'foreign'
      ? `foreign ${live.link}`
      : live.kind === 'nothing'
        ? 'nothing'
        : `unrestorable ${live.what}`;

/** For people, as the subject of a sentence. */
export function inWords(live: Observed): string {
  switch (live.kind) {
    case 'nothing':
      return 'no release';
    case 'release':
      return `release ${live.release.slice(0, 12)}`;
    case 'foreign':
      return `${live.link} (not a release of Signalbox)`;
    case 'unrestorable':
      return live.what;
  }
}

/** Whether a text is the digest of a release. */
export const isDigest = (text: string): boolean => digest.test(text);

/** What a text of the target's journal names: the other way round, of what could be put back. */
export const namedBy = (text: string | null): Restorable =>
  text === null || isDigest(text) ? releaseOr(text) : { kind: 'foreign', link: text };

/** As short text for the target's journal and as the name in the record; null: nothing. */
export const textOf = (live: Observed): string | null =>
  live.kind === 'release'
    ? live.release
    : live.kind === 'foreign'
      ? live.link
      : live.kind === 'nothing'
        ? null
        : live.what;
