import { createHash } from 'node:crypto';
import type { Db, Tx } from './connect';

/**
 * The audit trail: who did what, when, before, after, why, in which request. Changes are recorded by triggers
 * (migration 002-accountable); refusals, which change nothing, by `recordAudit`. Each sealed entry carries a number
 * without gaps and the SHA-256 over the hash before it, its number and its text, so that an edited, removed, added or
 * moved entry breaks the chain at its place. A cut tail shows against a head that was exported before.
 */
/** What is recorded without a row that stands for it. All other entries are written by the trigger of what they tell of. */
export const sayable = [
  'backup.restored',
  'change-request.followed-again',
  'database.restored',
  'deployment.amended',
  'deployment.run-ended',
  'history.removed',
  'notification.resent',
  'request.refused',
  'sign-in.refused',
  'signal.refused',
  'targets.read',
  'workflow.ended',
] as const;
export interface AuditEvent {
  actor: string;
  action: (typeof sayable)[number];
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

/** That something was found, or said, by somebody who is not Signalbox, and changed nothing. @param subject what it was about. */
export const recordRefused = (tx: Tx, subject: string, why: string, after?: unknown) =>
  recordAudit(tx, { actor: 'unknown', action: 'signal.refused', subject, why, after });

const batch = 1_000;

/** Seals everything that was written so far. @returns how many entries it sealed. */
export async function sealAudit(db: Db): Promise<number> {
  for (let sealed = 0; ;) {
    const { rows } = await db.raw('SELECT seal_audit(?) AS sealed', [batch]);
    sealed += rows[0].sealed as number;
    if (rows[0].sealed < batch) return sealed;
  }
}

export const auditHead = async (db: Tx): Promise<Head | undefined> =>
  (await db('audit').whereNotNull('seq').orderBy('seq', 'desc').first('seq', 'hash')) as Head | undefined;

/** What comes before the first entry. */
export const genesis = '0'.repeat(64);
export const linkOf = (before: string, seq: number, entry: string): string =>
  createHash('sha256').update(`${before}\n${seq}\n${entry}`).digest('hex');

export const restoredAction = 'database.restored' satisfies AuditEvent['action'];
/** What the trail says of a restore; signed, so that nobody who merely reaches the database can explain a cut tail. */
export interface Restored {
  installation: string;
  incarnation: string;
  /** The last sealed entry that was restored; null: none. */
  head: Head | null;
  /** The last entry that is known to have been exported before and is gone; null: none. */
  lost: Head | null;
}
/** A restore, as an entry says it. */
export interface RestoredAt extends Restored {
  seq: number;
  at: string;
  why: string;
  /** Why nobody can tell that a worker said so; undefined when one did. */
  unsigned?: string;
}

export interface Verdict {
  /** Sealed entries that were checked. */
  entries: number;
  /** Entries that wait for their seal. */
  unsealed: number;
  head: Head | undefined;
  /** Where the database was restored, in order. */
  restored: RestoredAt[];
  /** Of the exported heads: how many are in the chain, and which a restore explains. */
  exported: { there: number; lost: { heads: number; from: number; to: number } | null };
  /** The first thing that is wrong, in plain words; undefined when the chain is whole. */
  broken?: { seq: number; why: string };
}

/**
 * Walks the whole chain.
 * @param exported heads that were exported earlier; each must be in it, or among those that a restore says it lost.
 * @param whyForged why a worker did not sign what an entry says of a restore; undefined when it did.
 */
export async function verifyAudit(
  db: Db,
  exported: Head[] = [],
  whyForged: WhyForged = () => 'there are no signing keys to check it with',
): Promise<Verdict> {
  // Every one of them: of two with the same number the second must not excuse the first.
  const expected = new Map<number, Set<string>>();
  for (const { seq, hash } of exported) expected.set(seq, (expected.get(seq) ?? new Set()).add(hash));
  const { count } = (await db('audit').whereNull('seq').count('* as count').first()) as { count: number };
  const unsealed = Number(count);
  const restored: RestoredAt[] = [];
  /** Exported heads that are not in the chain. */
  const others: number[] = [];
  /** Those that are. */
  const vouched: number[] = [];
  const all = [...expected.values()].reduce((heads, { size }) => heads + size, 0);
  let head: Head = { seq: 0, hash: genesis };
  const gone: number[] = [];
  const found = (broken?: Verdict['broken']): Verdict => ({
    entries: head.seq,
    unsealed,
    head: head.seq > 0 ? head : undefined,
    restored,
    exported: { there: all - gone.length, lost: gone.length > 0 ? spanOf(gone) : null },
    ...(broken ? { broken } : {}),
  });
  for (;;) {
    const rows = (await db('audit')
      .where('seq', '>', head.seq)
      .orderBy('seq')
      .limit(batch)
      .select('id', 'seq', 'hash', 'entry', 'action')) as (Head & { entry: string; action: string })[];
    for (const { seq, hash, entry, action } of rows) {
      if (seq !== head.seq + 1)
        return found({
          seq: head.seq + 1,
          why: `entry ${head.seq + 1} is missing; the next one is ${seq}`,
        });
      if (hash !== linkOf(head.hash, seq, entry))
        return found({
          seq,
          why: `entry ${seq} was changed, added or moved: its hash is not that of its content`,
        });
      for (const one of expected.get(seq) ?? [])
        if (one !== hash) others.push(seq);
        else vouched.push(seq);
      if (action === restoredAction) restored.push(restoredOf(seq, entry, whyForged));
      head = { seq, hash };
    }
    if (rows.length < batch) break;
  }
  const explained = (seq: number) => restored.some((one) => explains(one, seq));
  const doubts = restored
    .filter(({ unsigned }) => unsigned !== undefined)
    .map(({ seq, unsigned }) => `; entry ${seq} says that the database was restored, but ${unsigned}`)
    .join('');
  const other = others.find((seq) => !explained(seq));
  if (other !== undefined) {
    // Each hash fits what stands there now, so that only a head that was exported says what was not changed.
    const upTo = vouched.findLast((seq) => seq < other) ?? 0;
    const why = `entry ${other} is not the one whose hash was exported: the chain was written again, from entry ${upTo + 1} or later on${doubts}`;
    return { ...found({ seq: other, why }), entries: upTo };
  }
  const beyond = exported.map(({ seq }) => seq).filter((seq) => seq > head.seq && !explained(seq));
  if (beyond.length > 0)
    return found({
      seq: head.seq + 1,
      why: `the chain ends at entry ${head.seq}, but entry ${Math.max(...beyond)} was exported: its tail was cut off${doubts}`,
    });
  for (const [seq, { size }] of expected) if (seq > head.seq) others.push(...Array<number>(size).fill(seq));
  gone.push(...others);
  return found();
}

/**
 * Why the chain does not go on from a head that was in it once; undefined when it does, or when a worker signed that a restore
 * lost that head. What is told to the outside must never contradict what was told before.
 */
export async function whyNotFrom(tx: Tx, known: Head, whyForged: WhyForged): Promise<string | undefined> {
  const hash = await hashAt(tx, known.seq);
  if (hash === known.hash) return undefined;
  const said = await restoresSaid(tx);
  if (said.some(({ seq, entry }) => explains(restoredOf(seq, entry, whyForged), known.seq))) return undefined;
  return hash !== undefined
    ? `entry ${known.seq} of the audit trail is not the one whose hash was exported: the chain was written again`
    : `entry ${known.seq} of the audit trail was exported and is gone: its tail was cut off`;
}
/** The hash of a sealed entry; undefined when there is none. */
export const hashAt = async (tx: Tx, seq: number): Promise<string | undefined> =>
  ((await tx('audit').where({ seq }).first('hash')) as { hash: string } | undefined)?.hash;
/** What the trail says of restores, in order; whether a worker said so is not looked at. */
export const restoresSaid = async (tx: Tx) =>
  (await tx('audit').where({ action: restoredAction }).orderBy('id').select('seq', 'entry')) as {
    seq: number;
    entry: string;
  }[];
/** Whether a worker signed that a restore lost this entry. */
const explains = ({ unsigned, head, lost }: RestoredAt, seq: number): boolean =>
  unsigned === undefined && lost !== null && seq > (head?.seq ?? 0) && seq <= lost.seq;
type WhyForged = (said: unknown) => string | undefined;

const spanOf = (seqs: number[]) => ({
  heads: seqs.length,
  from: seqs.reduce((a, b) => Math.min(a, b)),
  to: seqs.reduce((a, b) => Math.max(a, b)),
});

function restoredOf(seq: number, text: string, whyForged: WhyForged): RestoredAt {
  const { at, why, after } = JSON.parse(text) as { at: string; why: string; after: Restored };
  const { installation, incarnation, head, lost } = after;
  const unsigned = whyForged(after);
  return { seq, at, why, installation, incarnation, head, lost, ...(unsigned ? { unsigned } : {}) };
}
