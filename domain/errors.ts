/**
 * The one error that carries a verdict. `code` is stable and part of the API; the message says what is wrong
 * and what to do about it. `status` is the HTTP status it is shown with. Anything else that is thrown is a
 * fault: Temporal retries it in an activity, and the API answers 500.
 */
export class SignalboxError extends Error {
  override readonly name = 'SignalboxError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly detail: Record<string, unknown> = {},
  ) {
    super(message);
  }
  get status(): number {
    return errorCodes[this.code].status;
  }
}

export const errorCodes = {
  'invalid-input': { status: 400, title: 'The request is not valid' },
  'not-signed-in': { status: 401, title: 'No valid token' },
  'role-required': { status: 403, title: 'Your role does not allow this' },
  'cross-site': { status: 403, title: 'Another site may not do this' },
  'own-access': { status: 403, title: 'Your own access needs somebody else' },
  'own-change': { status: 403, title: 'Your own change needs somebody else' },
  'not-eligible': { status: 403, title: 'Somebody of another group decides' },
  'not-found': { status: 404, title: 'Not found' },
  'illegal-transition': { status: 409, title: 'Not possible in this state' },
  'already-approved': { status: 409, title: 'One person fills one seat' },
  'nothing-to-withdraw': { status: 409, title: 'There is no approval to withdraw' },
  'schedule-conflict': { status: 409, title: 'It overlaps another change' },
  'name-taken': { status: 409, title: 'This name is taken' },
  'stale-version': { status: 412, title: 'It was changed since you looked' },
  'not-switchable': { status: 409, title: 'This credential can not do that' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media': { status: 415, title: 'The body must be JSON' },
  'wrong-host': { status: 421, title: 'This is not the address of this Signalbox' },
  'unknown-revision': { status: 422, title: 'No such revision in the repository' },
  'commit-gone': { status: 422, title: 'The commit is no longer in the repository' },
  'repository-unreachable': { status: 422, title: 'The repository could not be read' },
  'not-whole': { status: 422, title: 'The repository cannot be checked out whole' },
  'promotions-disabled': { status: 422, title: "This target's promotions are switched off" },
  'not-approved': { status: 422, title: 'The change is not approved' },
  'approval-void': { status: 422, title: 'The approval no longer binds' },
  'not-your-turn': { status: 422, title: 'Another level comes first' },
  'seat-taken': { status: 422, title: 'Somebody of another group is needed' },
  'nothing-to-return-to': { status: 422, title: 'There is no earlier release' },
  'not-current': { status: 422, title: 'Another release is current' },
  'idempotency-key-reused': { status: 422, title: 'This Idempotency-Key was used for another request' },
  'word-refused': { status: 422, title: 'It was recorded and refused' },
  blocked: { status: 422, title: 'Something blocks it' },
  'blocker-cycle': { status: 422, title: 'It would wait for itself' },
  'wip-limit': { status: 422, title: 'Too much is in progress' },
  'still-used': { status: 422, title: 'Something still refers to it' },
  'import-refused': { status: 422, title: 'Nothing was imported' },
  'window-closed': { status: 423, title: 'Outside of the deployment window' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'not-begun': { status: 503, title: 'Its workflow ended before it began' },
  'temporal-unreachable': { status: 503, title: 'Temporal does not answer' },
  'database-moved': { status: 503, title: 'PostgreSQL was started again, restored or failed over' },
  'database-unreachable': { status: 503, title: 'PostgreSQL does not answer' },
  'being-done': { status: 503, title: 'The same request is still being worked on' },
  'repository-being-copied': { status: 503, title: 'The repository is being copied' },
  'database-busy': { status: 503, title: 'PostgreSQL did not answer in time' },
  internal: { status: 500, title: 'A fault in Signalbox' },
} as const;
export type ErrorCode = keyof typeof errorCodes;

export const badInput = (message: string, detail?: Record<string, unknown>) =>
  new SignalboxError('invalid-input', message, detail);
export const notFound = (what: string) => new SignalboxError('not-found', `There is no ${what}.`);

/** The text of anything thrown, with its causes: "swap failed: rename failed: EACCES". */
export function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? '' : `: ${messageOf(thrown.cause)}`;
  const own = thrown instanceof AggregateError ? thrown.errors.map(messageOf).join('; ') : thrown.message;
  return own.endsWith(cause.slice(2)) && cause ? own : own + cause;
}
