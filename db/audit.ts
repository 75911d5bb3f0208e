import { createHash } from 'node:crypto';
import type { Db, Tx } from './connect';

/**
 * The audit trail: who did what, when, before, after, why, in which request. Changes are recorded by triggers
 * (migration 002-accountable); refusals, which change nothing, by `recordAudit`. Each sealed entry carries a number
 * without gaps and the SHA-256 over the hash before it, its number and its text, so that an edited, removed, added or
 * moved entry breaks the chain at its place. A cut tail shows against a head that was exported before.
 */
export interface AuditEvent {
  actor: string;
  action: string;
  /** The key of what it is about. */
  subject: string;
  why?: string | null;
  before?: unknown;
  after?: unknown;
  request?: string | null;
}
export interface AuditRow {
  id: number;
  entry: string;
  seq: number | null;
  hash: string | null;
}
/** The chain's last seal. */
export interface Head {
  seq: number;
  hash: string;
}

export const recordAudit = (tx: Tx, e: AuditEvent) =>
  tx.raw('SELECT record_audit(?, ?, ?, ?::jsonb, ?::jsonb, ?, ?)', [
    e.actor,
    e.action,
    e.subject,
    e.before === undefined ? null : JSON.stringify(e.before),
    e.after === undefined ? null : JSON.stringify(e.after),
    e.why ?? null,
    e.request ?? null,
  ]);

const batch = 1_000;

/** Seals everything that was written so far. @returns how many entries it sealed. */
export async function sealAudit(db: Db): Promise<number> {
  for (let sealed = 0; ;) {
    const { rows } = await db.raw('SELECT seal_audit(?) AS sealed', [batch]);
    sealed += rows[0].sealed as number;
    if (rows[0].sealed < batch) return sealed;
  }
}

export const auditHead = async (db: Db): Promise<Head | undefined> =>
  (await db('audit').whereNotNull('seq').orderBy('seq', 'desc').first('seq', 'hash')) as Head | undefined;

/** What comes before the first entry. */
export const genesis = '0'.repeat(64);
export const linkOf = (before: string, seq: number, entry: string): string =>
  createHash('sha256').update(`${before}\n${seq}\n${entry}`).digest('hex');

export interface Verdict {
  /** Sealed entries that were checked. */
  entries: number;
  /** Entries that wait for their seal. */
  unsealed: number;
  head: Head | undefined;
  /** The first thing that is wrong, in plain words; undefined when the chain is whole. */
  broken?: { seq: number; why: string };
}

/** Walks the whole chain. @param exported heads that were exported earlier; each has to be in it. */
export async function verifyAudit(db: Db, exported: Head[] = []): Promise<Verdict> {
  const expected = new Map(exported.map(({ seq, hash }) => [seq, hash]));
  const { count } = (await db('audit').whereNull('seq').count('* as count').first()) as { count: number };
  const unsealed = Number(count);
  let head: Head = { seq: 0, hash: genesis };
  const bad = (seq: number, why: string): Verdict => ({
    entries: head.seq,
    unsealed,
    head: head.seq > 0 ? head : undefined,
    broken: { seq, why },
  });
  for (;;) {
    const rows = (await db('audit')
      .where('seq', '>', head.seq)
      .orderBy('seq')
      .limit(batch)
      .select('id', 'seq', 'hash', 'entry')) as { id: number; seq: number; hash: string; entry: string }[];
    for (const { seq, hash, entry } of rows) {
      if (seq !== head.seq + 1)
        return bad(head.seq + 1, `entry ${head.seq + 1} is missing; the next one is ${seq}`);
      if (hash !== linkOf(head.hash, seq, entry))
        return bad(seq, `entry ${seq} was changed, added or moved: its hash is not that of its content`);
      if (expected.has(seq) && expected.get(seq) !== hash)
        return bad(seq, `entry ${seq} is not the one whose hash was exported: the chain was written anew`);
      head = { seq, hash };
    }
    if (rows.length < batch) break;
  }
  const beyond = exported.map(({ seq }) => seq).filter((seq) => seq > head.seq);
  if (beyond.length > 0)
    return bad(
      head.seq + 1,
      `the chain ends at entry ${head.seq}, but entry ${Math.max(...beyond)} was exported: its tail was cut off`,
    );
  return { entries: head.seq, unsealed, head: head.seq > 0 ? head : undefined };
}
