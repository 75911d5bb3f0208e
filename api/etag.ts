import { createHash } from 'node:crypto';
import { badInput } from '../domain/errors';

/**
 * Entity tags, made and read here alone: "3-Yx0c...". In front stands the version, by which If-Match tells whether somebody
 * changed it meanwhile; behind it a digest of the answer, by which caches tell one from another: much of an answer is
 * derived, and is another without a new version.
 */
export function etagOf(body: unknown, text: string): string | undefined {
  const version = (body as { version?: unknown } | null)?.version;
  if (!Number.isInteger(version)) return undefined;
  return `"${version as number}-${createHash('sha256').update(text).digest('base64url').slice(0, 16)}"`;
}

/** The version that an If-Match names, as an ETag or by itself; undefined: any. @throws invalid-input */
export function versionIn(ifMatch: string | undefined): number | undefined {
  if (ifMatch === undefined || ifMatch === '*') return undefined;
  const version = /^(?:W\/)?"?([1-9][0-9]{0,8})(?:-[\w-]{16})?"?$/.exec(ifMatch)?.[1];
  if (!version)
    throw badInput(
      'If-Match has to be the ETag of the answer that you saw, or the version in it, such as "3".',
    );
  return Number(version);
}
