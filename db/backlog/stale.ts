import { SignalboxError } from '../../domain/errors';
import type { Tx } from '../connect';

/** That something was changed since it was looked at, and what: by whom, when, before and after. */
export async function staleVersion(tx: Tx, key: string, now: number, asked: number): Promise<SignalboxError> {
  const rows = (await tx('audit').where({ subject: key }).orderBy('id').select('entry')) as {
    entry: string;
  }[];
  const changes = rows
    .map(({ entry }) => JSON.parse(entry) as Entry)
    .filter(({ after }) => typeof after?.version === 'number' && after.version > asked)
    .map(({ at, actor, why, before, after: { version, ...after } }) => ({
      version,
      at,
      by: actor,
      why,
      before,
      after,
    }));
  const fields = [...new Set(changes.flatMap(({ after }) => Object.keys(after)))];
  const people = [...new Set(changes.map(({ by }) => by))];
  return new SignalboxError(
    'stale-version',
    `${key} is at version ${now} by now, not ${asked}${fields.length > 0 ? `: ${people.join(', ')} changed ${fields.join(', ')}` : ''}. Look again.`,
    { version: now, changes },
  );
}
interface Entry {
  at: string;
  actor: string;
  why: string | null;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> & { version: number };
}
