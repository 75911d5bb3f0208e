/**
 * Every state machine of Signalbox, each declared once. Types, database CHECKs, the legal predecessors of a
 * status change, the actions the API offers and the page's labels all derive from these tables.
 *
 * `tone` is how a state reads at a glance: waiting, active, good, bad or quiet.
 */
export interface StateRow {
  /** States that may follow; none means terminal. */
  to: readonly string[];
  label: string;
  tone: 'waiting' | 'active' | 'good' | 'bad' | 'quiet';
  /** Column that takes the time at which the state was entered. */
  at?: string;
  /** Nothing happens by itself any more, although a person can still move on from here. */
  settled?: boolean;
}
type Table = Record<string, StateRow>;

export const backlogItem = {
  open: { to: ['in-progress', 'deferred', 'done'], label: 'Open', tone: 'waiting' },
  'in-progress': { to: ['open', 'done', 'deferred'], label: 'In progress', tone: 'active' },
  deferred: { to: ['open', 'in-progress'], label: 'Deferred', tone: 'quiet' },
  done: { to: ['open'], label: 'Done', tone: 'good', at: 'done_at', settled: true },
} as const satisfies Table;

export const promotion = {
  pending: {
    to: ['approved', 'rejected', 'withdrawn', 'superseded'],
    label: 'Pending approval',
    tone: 'waiting',
  },
  approved: {
    to: ['executing', 'pending', 'withdrawn', 'superseded'],
    label: 'Approved',
    tone: 'waiting',
    at: 'approved_at',
  },
  executing: { to: ['deployed', 'rolled-back'], label: 'Executing', tone: 'active', at: 'executing_at' },
  deployed: { to: ['rolled-back'], label: 'Deployed', tone: 'good', at: 'deployed_at', settled: true },
  'rolled-back': {
    to: ['approved'],
    label: 'Rolled back',
    tone: 'bad',
    at: 'rolled_back_at',
    settled: true,
  },
  rejected: { to: ['pending'], label: 'Rejected', tone: 'bad', at: 'rejected_at', settled: true },
  withdrawn: { to: [], label: 'Withdrawn', tone: 'quiet', at: 'withdrawn_at' },
  superseded: { to: [], label: 'Superseded', tone: 'quiet', at: 'superseded_at' },
} as const satisfies Table;

export const changeRequest = {
  draft: { to: ['submitted', 'cancelled'], label: 'Draft', tone: 'quiet' },
  submitted: {
    to: ['approved', 'rejected', 'cancelled'],
    label: 'Submitted',
    tone: 'waiting',
    at: 'submitted_at',
  },
  approved: {
    to: ['in-progress', 'submitted', 'cancelled'],
    label: 'Approved',
    tone: 'waiting',
    at: 'approved_at',
  },
  'in-progress': {
    to: ['completed', 'approved'],
    label: 'In progress',
    tone: 'active',
    at: 'in_progress_at',
  },
  completed: { to: [], label: 'Completed', tone: 'good', at: 'completed_at' },
  rejected: { to: ['draft'], label: 'Rejected', tone: 'bad', at: 'rejected_at', settled: true },
  cancelled: { to: [], label: 'Cancelled', tone: 'quiet', at: 'cancelled_at' },
} as const satisfies Table;

export const deployment = {
  queued: {
    to: ['waiting-for-window', 'running', 'refused', 'cancelled', 'superseded'],
    label: 'Queued',
    tone: 'waiting',
  },
  'waiting-for-window': {
    to: ['queued', 'refused', 'cancelled', 'superseded'],
    label: 'Waiting for window',
    tone: 'waiting',
  },
  running: { to: ['succeeded', 'rolling-back'], label: 'Running', tone: 'active', at: 'started_at' },
  'rolling-back': { to: ['rolled-back', 'rollback-failed'], label: 'Rolling back', tone: 'active' },
  'rollback-failed': { to: ['rolling-back', 'rolled-back'], label: 'Rollback failed', tone: 'bad' },
  succeeded: { to: [], label: 'Succeeded', tone: 'good', at: 'finished_at' },
  'rolled-back': { to: [], label: 'Rolled back', tone: 'bad', at: 'finished_at' },
  refused: { to: [], label: 'Refused', tone: 'bad', at: 'finished_at' },
  cancelled: { to: [], label: 'Cancelled', tone: 'quiet', at: 'finished_at' },
  superseded: { to: [], label: 'Superseded', tone: 'quiet', at: 'finished_at' },
} as const satisfies Table;

export const step = {
  running: { to: ['done', 'failed'], label: 'Running', tone: 'active', at: 'started_at' },
  // A step runs again when its report was lost; every step is written so that this is harmless.
  done: { to: ['running'], label: 'Done', tone: 'good', at: 'finished_at', settled: true },
  failed: { to: ['running'], label: 'Failed', tone: 'bad', at: 'finished_at', settled: true },
} as const satisfies Table;

/** Telling one webhook of one event. */
export const delivery = {
  pending: { to: ['delivered', 'undeliverable'], label: 'Pending', tone: 'waiting' },
  delivered: { to: [], label: 'Delivered', tone: 'good', at: 'ended_at' },
  undeliverable: { to: ['pending'], label: 'Undeliverable', tone: 'bad', at: 'ended_at', settled: true },
} as const satisfies Table;

/** What a person said to an attempt: cancel it, or resolve its failed rollback. Each ends with an outcome. */
export const word = {
  waiting: { to: ['done', 'refused', 'expired'], label: 'Waiting to be heard', tone: 'waiting' },
  done: { to: [], label: 'Done', tone: 'good', at: 'ended_at' },
  refused: { to: [], label: 'Refused', tone: 'bad', at: 'ended_at' },
  expired: { to: [], label: 'Expired', tone: 'quiet', at: 'ended_at' },
} as const satisfies Table;

export const machines = { backlogItem, promotion, changeRequest, deployment, step, delivery, word } as const;
export type MachineName = keyof typeof machines;
export type State<M extends MachineName> = keyof (typeof machines)[M] & string;
export type PromotionStatus = State<'promotion'>;
export type ChangeRequestStatus = State<'changeRequest'>;
export type DeploymentStatus = State<'deployment'>;
export type ItemStatus = State<'backlogItem'>;
export type WordStatus = State<'word'>;

/** A state's row; undefined for what is no state of this machine. */
export const rowOf = (machine: MachineName, state: string): StateRow | undefined =>
  Object.hasOwn(machines[machine], state) ? (machines[machine] as Table)[state] : undefined;

/** All states of a machine, in the order of its table. */
export const statesOf = <M extends MachineName>(machine: M): State<M>[] =>
  Object.keys(machines[machine]) as State<M>[];

/** Whether `to` may directly follow `from`. A state never follows itself. */
export const mayFollow = (machine: MachineName, from: string, to: string): boolean =>
  rowOf(machine, from)?.to.includes(to) ?? false;

/** The states from which `to` may be entered: the WHERE of every compare-and-set. */
export const predecessorsOf = <M extends MachineName>(machine: M, to: State<M>): State<M>[] =>
  statesOf(machine).filter((from) => mayFollow(machine, from, to));

/** True when no state can follow. */
export const isTerminal = (machine: MachineName, state: string): boolean =>
  rowOf(machine, state)?.to.length === 0;

/** Attempts in these states hold their target's lane; at most one per target. */
export const laneHolding = [
  'running',
  'rolling-back',
  'rollback-failed',
] as const satisfies DeploymentStatus[];
/** Attempts that have not ended; at most one per promotion. */
export const openAttempt = [
  'queued',
  'waiting-for-window',
  ...laneHolding,
] as const satisfies DeploymentStatus[];

/** Whether an attempt has not ended. */
export const isOpenAttempt = ({ status }: { status: DeploymentStatus }): boolean =>
  (openAttempt as readonly DeploymentStatus[]).includes(status);

export const changeTypes = ['normal', 'emergency'] as const;
export type ChangeType = (typeof changeTypes)[number];
export const risks = ['low', 'medium', 'high', 'critical'] as const;
export type Risk = (typeof risks)[number];
export const priorities = ['critical', 'high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];
export const triggers = ['deploy', 'retry', 'rollback'] as const;
export type Trigger = (typeof triggers)[number];
export const roles = ['contributor', 'approver', 'release-manager', 'sre', 'admin'] as const;
export type Role = (typeof roles)[number];
/** What programs of Signalbox itself hold, each for one target; no person has them. */
export const programRoles = ['runner'] as const;
export type AnyRole = Role | (typeof programRoles)[number];
