import { whyNotNow } from '../domain/admission';
import type { Targets } from '../domain/config';
import type { Observed, Restorable } from '../domain/observed';
import type { Trigger } from '../domain/machines';
import { NotDone, sighted, takeAway } from './believed';
import type { Db, Tx } from './connect';
import { deploymentById, setRelease } from './deployments';
import { appendLog, type NewLine } from './log';
import type { Held } from './fences';
import { signBuilt, signEnd, type Built, type MadeBy, type Signer } from './signed';
import { askedOf, starterOf } from './standing';
import {
  beginStep,
  finishStep,
  migrationBegins,
  migrationDidNotBegin,
  noteObserved,
  noteOvercome,
  noteTrouble,
  takeFence,
  type Trouble,
  type Try,
} from './steps';
import type { Windows } from './windows';

/**
 * All that a step on a target reads and writes of the record. Workers reach the database; a runner on the target's own
 * host reaches this through the API, with nothing but JSON in between.
 */
export interface Journal {
  /**
   * Opens the step for this try.
   * @param recipe digest of how the target builds, where the step runs.
   * @returns what the step may know; undefined when the attempt has moved on, 'held' when a newer try has the step.
   */
  begin(t: Try, recipe: string): Promise<Attempt | 'held' | undefined>;
  /**
   * A new, higher fencing number for this try's effect; undefined when the try no longer holds its step.
   * @param held what the target itself holds: the new number is above that, too.
   */
  fence(t: Try, held?: Held): Promise<number | undefined>;
  /**
   * Asks every rule at the last moment. For a migration it is noted that data may change from now on.
   * @param recipe digest of how the target builds, where the step runs.
   * @param acts digest of all that acts on it there; runners of the previous version do not say it.
   */
  permit(t: Try, what: 'migrate' | 'swap', recipe: string, acts?: string): Promise<Refusal | undefined>;
  /**
   * Writes what is live: before the attempt acts, of which the first stays, or what somebody else put there meanwhile.
   * @returns what stands in the record; undefined when the try no longer holds its step.
   */
  observed(t: Try, when: 'before' | 'meanwhile', live: Observed): Promise<Observed | undefined>;
  /** Notes that the migration did not begin after all: the command of this try, the first one, did not run. */
  notBegun(t: Try): Promise<void>;
  append(t: Try, lines: NewLine[]): Promise<void>;
  /**
   * Notes on the open step why this try did not succeed.
   * @returns how often and for how long its tries have met this in a row; undefined when a newer try has the step.
   */
  trouble(t: Try, met: Trouble): Promise<{ tries: number; forMs: number } | undefined>;
  /** Notes that this try has gone on beyond that. @param kept causes that it may still meet again there. */
  overcame(t: Try, kept: readonly string[]): Promise<void>;
  /** Notes what was seen on the target for the workflow that has the attempt; false when it has not. */
  sighted(seen: Sighting): Promise<boolean>;
  /** Closes the step and records what it made, or nothing of it: false when a newer try has the step. */
  finish(t: Try, to: 'done' | 'failed', detail: string, made?: Made): Promise<boolean>;
}

/** What a workflow asked to look at: what an attempt left there, or what is live. */
export interface Sighting {
  deployment: number;
  owner: string;
  what: 'traces' | 'live';
  found: object;
}

export interface Version {
  release: string;
  commit: string;
  revision: string;
}
/** What a step may know of its attempt. */
export interface Attempt {
  /** Which attempt it is and on which target, as the record has it; not told by the previous version. */
  key?: string;
  target?: string;
  /** Which Signalbox it belongs to, in which incarnation of its database; not told by the previous version. */
  origin?: string;
  trigger: Trigger;
  commit: string;
  /** Digest of what is deployed; null until it is built. */
  release: string | null;
  /** Digest of what was live before, as the record has it; null: nothing. */
  before: string | null;
  /** What was found live before this attempt acted; none: it has not acted. */
  observed?: Restorable | null;
  /** What somebody else made live while this attempt was under way; it is theirs. */
  drifted?: Observed | null;
  /** Whether an undo may have taken out what was live. */
  tookOut?: boolean;
  /**
   * Of an attempt that a recovery took over: fencing numbers up to this one may have been used by what the record has lost
   * since the database was restored.
   */
  lostUpTo?: number | null;
  migrationBegan: boolean;
  /** Steps of which the record has the end; not told by the previous version. */
  done?: string[];
  /** Digest of what the same commit was built to with the same recipe. */
  built: string | null;
  backup: ({ reference: string } & Proof) | null;
  /** As what the release names itself: for a rollback by hand, what the attempt that built it deployed. */
  version: Version | null;
  /** As what the one to return to names itself; null: there is none, or the record does not know it. */
  versionBefore: Version | null;
}
interface Proof {
  sha256: string;
  bytes: number;
  entries: number;
}
export interface Refusal {
  type: 'ApprovalVoid' | 'Refused' | 'WindowClosed' | 'Superseded';
  message: string;
}
/** What a step made. Times in ISO 8601. */
export type Made =
  | { kind: 'release'; release: string; build?: Build }
  | ({ kind: 'backup'; reference: string; of: 'files' | 'postgres'; verifiedAt: string } & Proof);
export interface Build {
  recipe: string;
  bytes: number;
  startedAt: string;
  finishedAt: string;
}

/** The record itself. */
export function createJournal(deps: {
  db: Db;
  windows: Windows;
  targets(): Targets;
  /** Signs what is recorded. */
  keyring: Signer;
}): Journal {
  const { db, keyring: keys } = deps;
  return {
    begin: (t, recipe) =>
      beginStep(db, keys, t, recipe).catch(async (thrown: unknown) => {
        if (!(thrown instanceof NotDone)) throw thrown;
        await takeAway(db, thrown);
        return undefined;
      }),
    fence: (t, held) => takeFence(db, t, held),
    async permit(t, what, recipe, acts) {
      const row = await deploymentById(db, t.deployment);
      const promotion = { id: row.promotion, target: row.target };
      const there = { builds: recipe, acts };
      const asked = (await askedOf(deps, db, promotion, starterOf(row), there))!;
      const migrates = row.migration_began;
      const no = whyNotNow({ ...asked, migrates }, deps.targets().get(row.target), what);
      if (no?.then === 'hold')
        return {
          type: 'WindowClosed',
          message: `held before the ${what === 'migrate' ? 'migration' : 'swap'}, with the lane: ${no.message}`,
        };
      if (no)
        return {
          type: no.code === 'approval-void' ? 'ApprovalVoid' : 'Refused',
          message: `Not ${what === 'swap' ? 'swapped' : 'migrated'}: ${no.message}`,
        };
      if (migrates && asked.window?.open === false) {
        const text = `${t.step}: its window has closed meanwhile (${asked.window.reason}); the migration has begun, so that it goes on`;
        await appendLog(db, t.deployment, t.step, [{ stream: 'note', text, at: new Date(asked.now) }]);
      }
      // From here on data may have changed, and rolling back has to mind it.
      if (what === 'migrate' && !(await migrationBegins(db, t)))
        return { type: 'Superseded', message: `A newer try or a recovery has taken ${t.step} over.` };
      return undefined;
    },
    observed: (t, when, live) => noteObserved(db, t, when, live),
    trouble: (t, met) => noteTrouble(db, t, met),
    overcame: (t, kept) => noteOvercome(db, t, kept),
    notBegun: (t) => migrationDidNotBegin(db, t),
    sighted: (seen) => sighted(db, keys, seen),
    append: (t, lines) => appendLog(db, t.deployment, t.step, lines),
    async finish(t, to, detail, made) {
      const signature =
        to === 'done' ? signEnd(keys, t.deployment, t.owner, endOf(t), madeOf(made)) : undefined;
      if (!made) return finishStep(db, t, to, detail, signature);
      return db
        .transaction(async (tx) => {
          await keep(tx, keys, t.deployment, made);
          if (!(await finishStep(tx, t, to, detail, signature))) throw new Lost();
          return true;
        })
        .catch((thrown: unknown) => {
          if (thrown instanceof Lost) return false;
          throw thrown;
        });
    },
  };
}
class Lost extends Error {}

const endOf = ({ step: name, round, attempt, scheduled }: Try) => ({
  name,
  round,
  attempt,
  scheduled: scheduled ?? null,
});
const madeOf = (made?: Made): MadeBy => ({
  release: made?.kind === 'release' ? made.release : null,
  backup: made?.kind === 'backup' ? made : null,
});

async function keep(tx: Tx, keys: Signer, deployment: number, made: Made): Promise<void> {
  if (made.kind === 'backup') {
    const { reference, of: kind, sha256, bytes, entries } = made;
    await tx('backups')
      .insert({ deployment, reference, kind, sha256, bytes, entries, verified_at: tx.fn.now() })
      .onConflict('deployment')
      .merge();
    return;
  }
  if (made.build) {
    const { recipe, bytes, startedAt, finishedAt } = made.build;
    const { rows } = await tx.raw(
      `INSERT INTO builds (target, commit, recipe, digest, bytes, built_by, started_at, finished_at)
       SELECT d.target, p.commit, ?, ?, ?, d.id, ?, ? FROM deployments d JOIN promotions p ON p.id = d.promotion WHERE d.id = ?
       ON CONFLICT (target, commit, recipe) DO UPDATE
         SET digest = EXCLUDED.digest, bytes = EXCLUDED.bytes, built_by = EXCLUDED.built_by,
             started_at = EXCLUDED.started_at, finished_at = EXCLUDED.finished_at, signature = NULL
       RETURNING target, commit, recipe, digest`,
      [recipe, made.release, bytes, startedAt, finishedAt, deployment],
    );
    const [built] = rows as [Built];
    const { target, commit } = built;
    await tx('builds')
      .where({ target, commit, recipe })
      .update({ signature: JSON.stringify(signBuilt(keys, built)) });
  }
  await setRelease(tx, deployment, made.release);
}
