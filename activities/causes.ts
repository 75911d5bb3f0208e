import { ApplicationFailure } from '@temporalio/activity';
import { messageOf, SignalboxError, type ErrorCode } from '../domain/errors';

/**
 * Why a step did not succeed, and what follows from it. A *verdict* judges what is deployed, or needs a person: the
 * step has failed. A *fault* says nothing about what is deployed: the step is tried again, and its row says why, how
 * often, and when next (`trouble` in the API, on the page and in the CLI). After `forMinutes` of the same fault it is a
 * verdict; where that is left out, when the step's own limit is over. An undo is tried until its alarm asks an SRE.
 */
interface Verdict {
  is: 'verdict';
}
interface Fault {
  is: 'fault';
  forMinutes?: number;
  /** What ends it, or what can be done; shown after the message. */
  then: string;
  /** It befalls the command itself, so that a command that is running again has not overcome it yet. */
  ofCommand?: true;
}
const verdict_: Verdict = { is: 'verdict' };

export const causes = {
  // What a command, a release or a backup is itself.
  'command-failed': verdict_, // a command exited with a code, crashed, took too long, or there is no such program
  BuildFailed: verdict_, // the build's output cannot become a release
  BackupFailed: verdict_, // the data cannot be backed up, or the backup does not restore to it
  Unhealthy: verdict_, // the release did not answer as itself until its deadline
  NotRestorable: verdict_, // what is live could not be put back by an undo
  Drifted: verdict_, // somebody else has put something else there
  NotAdopted: verdict_, // what is live could not be taken into the record
  NotRestored: verdict_, // after an undo something else is live
  // What only a person can change.
  'commit-gone': verdict_, // ship again, or push it back
  'not-whole': verdict_, // what the repository refers to cannot be had
  ArtifactLost: verdict_,
  ReleaseRefused: verdict_, // an archive holds what no release may
  BackupLost: verdict_,
  NoRelease: verdict_,
  UnknownTarget: verdict_,
  MissingSecret: verdict_,
  ApprovalVoid: verdict_,
  Refused: verdict_, // a rule says no by now: whyNotNow
  WindowClosed: verdict_, // the workflow holds until it opens
  NoPlace: verdict_, // the workflow asks for the step again
  // Others act now; this try does nothing more.
  Fenced: verdict_,
  Superseded: verdict_,
  Forged: verdict_, // ordered by somebody else than a workflow of the record

  'repository-unreachable': {
    is: 'fault',
    forMinutes: 15,
    then: 'It goes on when the repository answers.',
  },
  'database-away': {
    is: 'fault',
    forMinutes: 15,
    then: "It goes on when the target's own database answers in time.",
    ofCommand: true,
  },
  'disk-full': {
    is: 'fault',
    then: 'It goes on when there is room; free some, or make the disk larger.',
    ofCommand: true,
  },
  'out-of-resources': {
    is: 'fault',
    then: 'It goes on when this host has processes, memory and open files to spare.',
  },
  'no-place': {
    is: 'fault',
    then: 'It begins when one of them ends; the other slots are kept for undos and health checks.',
  },
  killed: {
    is: 'fault',
    forMinutes: 15,
    then: 'Whoever killed it is not Signalbox: often the system, because memory ran out.',
    ofCommand: true,
  },
  // By the convention of sysexits.h, EX_TEMPFAIL.
  'asks-to-be-tried-again': {
    is: 'fault',
    forMinutes: 15,
    then: 'Exit code 75 says that a later try may succeed.',
    ofCommand: true,
  },
  'target-gone': {
    is: 'fault',
    then: 'Put it back as it was and send SIGHUP to the worker, or restart it: then this goes on by itself. Nothing can be undone or accepted before.',
  },
  'record-away': { is: 'fault', then: "It goes on when Signalbox's own database or API answers." },
  unexpected: { is: 'fault', forMinutes: 15, then: 'If it stays, the step fails.' },
} as const satisfies Record<string, Verdict | Fault>;

export type Cause = keyof typeof causes;
type CauseThat<Is> = { [C in Cause]: (typeof causes)[C] extends { is: Is } ? C : never }[Cause];
export type VerdictCause = CauseThat<'verdict'>;
export type FaultCause = CauseThat<'fault'>;
export const ruleOf = (cause: FaultCause): Fault => causes[cause];

/** Those that a command may meet again although it runs. */
export const ofCommands = (Object.keys(causes) as Cause[]).filter((cause) => 'ofCommand' in causes[cause]);

/** @returns what a step throws when it has failed. */
export const verdict = (cause: VerdictCause, message: string) =>
  ApplicationFailure.nonRetryable(message, cause);

/** What a step throws when it has to be tried again for a known reason. Any other error is looked up by its code. */
export class FaultError extends Error {
  constructor(
    readonly because: FaultCause,
    message: string,
    options?: { cause: unknown },
  ) {
    super(message, options);
  }
}

/** Exit code by which a command asks to be tried again. */
export const tryAgainCode = 75;

const byCode: Record<string, FaultCause> = {
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EMFILE: 'out-of-resources',
  ENFILE: 'out-of-resources',
  EAGAIN: 'out-of-resources',
  ENOMEM: 'out-of-resources',
  // PostgreSQL's own.
  '53100': 'disk-full',
  '53200': 'out-of-resources',
};

/** The same in the words of tools that have no exit codes for it: this system's and PostgreSQL's, in the C locale. */
const byWords: [RegExp, FaultCause][] = [
  [/no space left on device|disk quota exceeded/i, 'disk-full'],
  [
    /too many open files|cannot allocate memory|resource temporarily unavailable|out of memory/i,
    'out-of-resources',
  ],
  [
    /connection to server .* failed: (?!FATAL)|could not (connect|send data) to |could not receive data from server|could not translate host name|(server closed the|SSL) connection .*unexpectedly|SSL SYSCALL error|terminating connection|no connection to the server|the database system is (starting|shutting|not yet|in recovery)|too many (clients|connections)|remaining connection slots|due to (lock|statement) timeout|deadlock detected/i,
    'database-away',
  ],
];

/** The reason in a line that a tool wrote to its error output; undefined when it names none. */
export const faultIn = (line: string): FaultCause | undefined =>
  byWords.find(([words]) => words.test(line))?.[1];

/** The system's reason for an error that says nothing about what is deployed; undefined when it has no such reason. */
export function scarcity(thrown: unknown): FaultCause | undefined {
  let at = thrown as NodeJS.ErrnoException | undefined;
  for (let depth = 0; at && typeof at === 'object' && depth < 10; depth++) {
    const found = byCode[at.code ?? ''];
    if (found) return found;
    at = at.cause as NodeJS.ErrnoException | undefined;
  }
  return undefined;
}

export type Judged =
  { is: 'verdict'; cause: string; message: string } | { is: 'fault'; cause: FaultCause; message: string };

/** Looks a thrown error up in the table. Stopped steps are not its business. */
export function judge(thrown: unknown): Judged {
  if (thrown instanceof ApplicationFailure && thrown.nonRetryable)
    return { is: 'verdict', cause: thrown.type ?? 'command-failed', message: thrown.message };
  if (thrown instanceof SignalboxError && !isFault(thrown.code))
    return { is: 'verdict', cause: thrown.code, message: thrown.message };
  return { is: 'fault', cause: faultOf(thrown), message: messageOf(thrown) };
}

function faultOf(thrown: unknown): FaultCause {
  if (thrown instanceof FaultError) return thrown.because;
  if (thrown instanceof SignalboxError && isFault(thrown.code)) return thrown.code;
  return scarcity(thrown) ?? 'unexpected';
}

const isFault = (code: ErrorCode | FaultCause): code is FaultCause =>
  code in causes && causes[code as Cause].is === 'fault';
