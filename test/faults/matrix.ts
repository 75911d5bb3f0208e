/**
 * The matrix: where a deployment stands (step and point), who is struck (victim), and how (fault). Each cell is one
 * deployment on real servers, held at a failpoint while the victim is struck.
 */
export const victims = ['worker', 'api', 'temporal', 'postgres'] as const;
export type Victim = (typeof victims)[number] | 'deployment';

/**
 * `kill`: SIGKILL. `term`: asked to end, and started again once it has. `stop`: SIGSTOP for longer than a heartbeat
 * may be late, then SIGCONT; a worker's rival begins meanwhile. `restart`: as an operator does it, a worker's
 * successor first, PostgreSQL by its fast shutdown, Temporal twice in a row.
 */
export const faults = ['kill', 'term', 'stop', 'restart'] as const;
/** What befalls the deployment itself; its victim is called `deployment`. */
export const interruptions = ['cancel', 'cancel-twice', 'terminate'] as const;
export type Fault = (typeof faults)[number] | (typeof interruptions)[number];

export type Point = 'before' | 'middle' | 'effect-unreported' | 'recorded-unreported' | 'reported';
interface Step {
  /** The failpoint at which the deployment is held; `ended`: the deployment is over and Temporal knows it. */
  points: Partial<Record<Point, string>>;
  /** What is deployed: a release that is well, or one whose health check fails, so that it is undone. */
  release: 'well' | 'sick';
  /** It has to wait for another deployment's lane first. */
  queued?: true;
}

/** A step on the target. It was reported when Temporal hands out what comes next. */
const onTarget = (name: string, next: string) => ({
  before: `${name}/before`,
  middle: `${name}/middle`,
  'effect-unreported': `${name}/effect-unreported`,
  'recorded-unreported': `${name}/recorded-unreported`,
  reported: next,
});
/** A transaction on the record: its effect is its record. */
const onRecord = (name: string, next: string) => ({
  before: `${name}/before`,
  middle: `${name}/middle`,
  'recorded-unreported': `${name}/recorded-unreported`,
  reported: next,
});

export const steps: Record<string, Step> = {
  admit: { points: onRecord('admit', 'build/asked'), release: 'well' },
  lane: { points: onRecord('lane', 'build/asked'), release: 'well', queued: true },
  build: { points: onTarget('build', 'backup/asked'), release: 'well' },
  backup: { points: onTarget('backup', 'migrate/asked'), release: 'well' },
  migrate: { points: onTarget('migrate', 'swap/asked'), release: 'well' },
  swap: { points: onTarget('swap', 'health-check/asked'), release: 'well' },
  'health-check': { points: onTarget('health-check', 'record/before'), release: 'well' },
  record: { points: onRecord('record', 'ended'), release: 'well' },
  'begin-rollback': { points: onRecord('begin-rollback', 'take-out/asked'), release: 'sick' },
  'take-out': { points: onTarget('take-out', 'undo-migrate/asked'), release: 'sick' },
  'undo-migrate': { points: onTarget('undo-migrate', 'undo-swap/asked'), release: 'sick' },
  'undo-swap': { points: onTarget('undo-swap', 'verify-rollback/asked'), release: 'sick' },
  'verify-rollback': { points: onTarget('verify-rollback', 'record/before'), release: 'sick' },
  'record-rollback': { points: onRecord('record', 'ended'), release: 'sick' },
};

export interface Cell {
  /** step/point/victim/fault */
  name: string;
  step: string;
  point: Point;
  victim: Victim;
  fault: Fault;
}

const cell = (step: string, point: Point, victim: Victim, fault: Fault): Cell => ({
  name: [step, point, victim, fault].join('/'),
  step,
  point,
  victim,
  fault,
});
export const matrix: Cell[] = Object.entries(steps).flatMap(([step, { points }]) =>
  (Object.keys(points) as Point[]).flatMap((point) => [
    ...victims.flatMap((victim) => faults.map((fault) => cell(step, point, victim, fault))),
    // What has ended can not be interrupted.
    ...(points[point] === 'ended'
      ? []
      : interruptions.map((fault) => cell(step, point, 'deployment', fault))),
  ]),
);

/** How a cell's deployment may end. A cancel that comes too late, or a recovery that finds it done, deploys it. */
export function endsOf({ step, point, victim, fault }: Cell): string[] {
  if (steps[step]!.release === 'sick') return ['rolled-back'];
  if (victim !== 'deployment') return ['succeeded'];
  if (step === 'record') return fault === 'terminate' ? ['succeeded', 'rolled-back'] : ['succeeded'];
  if (step === 'health-check' || (step === 'swap' && point === 'reported'))
    return ['succeeded', 'rolled-back'];
  if (step === 'admit' || step === 'lane') return ['cancelled', 'rolled-back'];
  return ['rolled-back'];
}

/** Where the API is the victim of a click, it is itself held, not the worker. */
const inTheApi: Record<string, string> = {
  'admit/before': 'api-deploy/before',
  'admit/recorded-unreported': 'api-deploy/started-unanswered',
};

export function failpointOf({ step, point, victim }: Cell): string {
  const own = victim === 'api' ? inTheApi[`${step}/${point}`] : undefined;
  return own ?? steps[step]!.points[point]!;
}

/** A few cells that each take another way through the system: run with every `npm test`. */
export const subset = [
  'admit/middle/postgres/kill',
  'admit/recorded-unreported/api/kill',
  'lane/recorded-unreported/worker/kill',
  'build/middle/worker/kill',
  'backup/effect-unreported/temporal/restart',
  'swap/middle/worker/stop',
  'swap/effect-unreported/worker/kill',
  'swap/recorded-unreported/temporal/kill',
  'health-check/middle/postgres/restart',
  'record/recorded-unreported/worker/term',
  'take-out/effect-unreported/worker/kill',
  'undo-swap/effect-unreported/worker/kill',
  'undo-migrate/middle/postgres/kill',
  'record-rollback/reported/api/term',
  'swap/effect-unreported/deployment/cancel',
];
