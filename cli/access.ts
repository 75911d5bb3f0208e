import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { badInput } from '../domain/errors';
import type { Head, RestoredAt, Verdict } from '../db/audit';
import { table, type Context } from './commands';
import { exitCodes } from './exit-codes';
import { headsFileIn, readEndpoints, restoresSignedBy } from './state-dir';
import { sentences } from '../domain/sentences';

/** Tokens, people and the audit trail, on the command line. */
interface NewToken {
  person: string;
  role: string[];
  label?: string;
  expires: string;
}

/** `30d`, `12h`, `2026-12-31`, a time, or `never`. @returns ISO 8601, or null for never. */
export function expiryOf(text: string, now = new Date()): string | null {
  if (text === 'never') return null;
  const [, count, unit] = /^(\d{1,5})([hd])$/.exec(text) ?? [];
  const at = count
    ? new Date(now.getTime() + Number(count) * (unit === 'd' ? 86_400_000 : 3_600_000))
    : new Date(text);
  if (Number.isNaN(at.getTime()))
    throw badInput(`--expires ${text} is no time; say 30d, 12h, 2026-12-31 or never.`);
  return at.toISOString();
}

const newTokenOf = ({ person, role, label, expires }: NewToken) => ({
  person,
  roles: role,
  ...(label ? { label } : {}),
  expiresAt: expiryOf(expires),
});

export async function createToken({ client, json, as }: Context, options: NewToken): Promise<number> {
  await as('admin');
  const made = await client.createToken(newTokenOf(options));
  console.log(json ? JSON.stringify(made) : made.token);
  return exitCodes.done;
}

export async function createTokenInDatabase(options: NewToken): Promise<number> {
  const { tokenInDatabase } = await import('./database.js');
  const { person, roles, label, expiresAt } = newTokenOf(options);
  const expires = expiresAt === null ? undefined : new Date(expiresAt);
  console.log(await tokenInDatabase({ person, grants: roles, label, expiresAt: expires }));
  return exitCodes.done;
}

export async function listTokens({ client, json, say, as }: Context): Promise<number> {
  await as('admin');
  const { items } = await client.tokens();
  if (json) console.log(JSON.stringify(items));
  else
    say(
      table(
        ['token', 'person', 'roles', 'label', 'made by', 'expires', 'last used', 'state'],
        items.map((t) => [
          String(t.id),
          t.person,
          t.roles.join(', '),
          t.label,
          t.mintedBy ?? t.person,
          t.expiresAt?.slice(0, 16) ?? 'never',
          t.lastUsedAt?.slice(0, 16) ?? 'never',
          t.revokedAt ? `revoked ${t.revokedAt.slice(0, 16)}` : 'good',
        ]),
      ),
    );
  return exitCodes.done;
}

export async function revokeToken({ client, show, as }: Context, id: string, options: { reason?: string }) {
  await as('admin');
  const token = await client.revokeToken(id, options.reason ? { reason: options.reason } : {});
  show(token, `Token ${token.id} of ${token.person} is revoked.`);
  return exitCodes.done;
}

export const setPerson =
  (verb: 'disable' | 'enable') =>
  async ({ client, show, as }: Context, name: string, options: { reason?: string }): Promise<number> => {
    await as('admin');
    const person = await client.setPerson(name, verb, options.reason ? { reason: options.reason } : {});
    show(
      person,
      `${person.name} is ${person.disabledAt ? 'disabled: no token or session of theirs works' : 'enabled'}.`,
    );
    return exitCodes.done;
  };

export async function linkPerson(
  { client, show, as }: Context,
  name: string,
  options: { subject: string; reason?: string },
): Promise<number> {
  await as('admin');
  const { subject, reason } = options;
  const person = await client.linkPerson(name, { subject, ...(reason ? { reason } : {}) });
  show(person, `${person.name} signs in as ${subject} from now on; sessions of before are over.`);
  return exitCodes.done;
}

export async function listAudit(
  { client, json, say }: Context,
  options: { actor?: string; action?: string; subject?: string; request?: string; limit: string },
): Promise<number> {
  const { actor, action, subject, request, limit } = options;
  const query = Object.entries({ actor, action, subject, request, limit }).filter(([, value]) => value);
  const { items } = await client.audit(new URLSearchParams(query as [string, string][]).toString());
  if (json) console.log(JSON.stringify(items));
  else
    for (const e of items.reverse())
      say(`${e.at.slice(0, 19)}Z  ${e.actor}  ${e.action}  ${e.subject}${e.why ? `  ${e.why}` : ''}`);
  return exitCodes.done;
}

/** Checks the whole chain in the database, and that it holds every head that was exported. */
export async function verifyAudit(options: {
  state: string;
  heads?: string;
  json: boolean;
}): Promise<number> {
  const url = process.env.DATABASE_URL ?? readEndpoints(options.state)?.databaseUrl;
  if (!url)
    throw new Error(
      `The audit trail is in the database; set DATABASE_URL, or name the folder of a running "signalbox up" with --state.`,
    );
  const stateDir = resolve(options.state);
  const file = options.heads ?? headsFileIn(stateDir);
  if (options.heads && !existsSync(file)) throw new Error(`There is no file ${file} with exported heads.`);
  const heads = readHeads(file);
  const { verifyAudit: verify } = await import('../db/audit.js');
  const { withDatabase } = await import('./database.js');
  const found = await withDatabase(url, (db) => verify(db, heads, restoresSignedBy(stateDir)));
  const upTo = heads.reduce((last, { seq }) => Math.max(last, seq), 0);
  const anchor = heads.length > 0 ? { file, heads: heads.length, upTo } : null;
  if (options.json) console.log(JSON.stringify({ ...found, heads: heads.length, anchor }));
  else for (const one of found.restored) console.log(restoredInWords(one));
  if (options.json) return found.broken ? exitCodes.refused : exitCodes.done;
  if (found.broken)
    console.log(
      sentences(
        `The audit trail is broken at entry ${found.broken.seq}: ${found.broken.why}`,
        found.entries > 0 && `Entries 1 to ${found.entries} are whole`,
      ),
    );
  else
    console.log(
      `The audit trail is whole: ${found.entries} entries without a gap, head ${found.head?.hash.slice(0, 16) ?? 'none'}; ${exportedInWords(found.exported)}; ${found.unsealed} entries wait for their seal.\n` +
        (anchor
          ? `It is held against ${file}, which vouches for it up to entry ${upTo}${upTo < found.entries ? `; the ${found.entries - upTo} after that rest on the database alone` : ''}. Whoever may write there as well as in the database is not seen by this; heads that were sent to a webhook are.`
          : `Nothing outside of the database vouches for it: there are no exported heads at ${file}, so that its owner could have written all of it again. Name a file with --heads.`),
    );
  return found.broken ? exitCodes.refused : exitCodes.done;
}

function exportedInWords({ there, lost }: Verdict['exported']): string {
  const known = `${there} exported heads are in it`;
  if (!lost) return known;
  const which = lost.from === lost.to ? `entry ${lost.from}` : `entries ${lost.from} to ${lost.to}`;
  return `${known}, and ${lost.heads} of ${which} ${lost.heads === 1 ? 'was' : 'were'} lost as said above`;
}

function restoredInWords({ seq, at, incarnation, head, lost, unsigned, why }: RestoredAt): string {
  return sentences(
    `The database was restored at entry ${seq}, ${at.slice(0, 19)}Z; it goes on from entry ${head?.seq ?? 0}, as incarnation ${incarnation}`,
    lost && `Entries ${(head?.seq ?? 0) + 1} to ${lost.seq} of before were exported and are gone`,
    unsigned && `Nobody can tell that a worker said so: ${unsigned}`,
    why,
  );
}

/** Heads that a worker exported; none where it has not yet. */
export function readHeads(file: string): Head[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line, n) => {
      try {
        const { seq, hash } = JSON.parse(line) as Head;
        if (Number.isInteger(seq) && /^[0-9a-f]{64}$/.test(hash)) return { seq, hash };
      } catch {
        // Told below, with its line.
      }
      throw new Error(`${file}, line ${n + 1} is no exported head: ${line.slice(0, 80)}`);
    });
}
