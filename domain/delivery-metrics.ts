import type { ChangeType, DeploymentStatus, Trigger } from './machines';

/**
 * How delivery goes: the five measures of DORA (dora.dev/guides/dora-metrics), each derived from what it counts, so
 * that a figure and the list behind it can not disagree.
 */
export interface DeploymentFact {
  key: string;
  title: string;
  target: string;
  trigger: Trigger;
  status: DeploymentStatus;
  type: ChangeType;
  /** When it ended, or its rollback failed: milliseconds since 1970. */
  endedAt: number;
  /** When its swap began; null: the target was not touched. */
  swappedAt: number | null;
  /** From its commits to this deployment: the median of them, in milliseconds. */
  leadMs: number | null;
  /** When a rollback by hand had put back what ran before it. */
  undoneAt: number | null;
}
/** One of those that a figure counts. */
export interface Counted {
  /** Milliseconds, or 1 and 0 for what a share counts and does not. */
  value: number;
  /** Why it counts as it does. */
  says: string;
}
interface Measure {
  title: string;
  /** How a figure is made of what it counts: how many a day, their median in milliseconds, or the share of ones. */
  unit: 'per-day' | 'ms' | 'share';
  /** What it is, in a sentence. */
  means: string;
  counts(fact: DeploymentFact): Counted | undefined;
}

const byHand = ({ trigger }: DeploymentFact) => trigger === 'rollback';
const succeeded = ({ status }: DeploymentFact) => status === 'succeeded';
/** A deployment whose release did not stay: undone by itself, or by hand later. */
const failed = (fact: DeploymentFact) => fact.status !== 'succeeded' || fact.undoneAt !== null;

export const measures = {
  'deployment-frequency': {
    title: 'Deployment frequency',
    unit: 'per-day',
    means: 'Deployments that succeeded, a day.',
    counts: (fact) => (succeeded(fact) && !byHand(fact) ? { value: 1, says: 'succeeded' } : undefined),
  },
  'change-lead-time': {
    title: 'Change lead time',
    unit: 'ms',
    means: 'From a commit to its running on the target: the median.',
    counts: (fact) =>
      succeeded(fact) && !byHand(fact) && fact.leadMs !== null
        ? { value: fact.leadMs, says: 'from its commits to running' }
        : undefined,
  },
  'change-failure-rate': {
    title: 'Change failure rate',
    unit: 'share',
    means:
      'Of the deployments that touched a target, those whose release was taken back, by itself or by hand.',
    counts(fact) {
      if (fact.swappedAt === null || byHand(fact)) return undefined;
      if (!failed(fact)) return { value: 0, says: 'stayed' };
      const how = {
        'rolled-back': 'rolled back by itself',
        'rollback-failed': 'its rollback failed',
      }[fact.status as string];
      return { value: 1, says: how ?? 'rolled back by hand' };
    },
  },
  'recovery-time': {
    title: 'Failed deployment recovery time',
    unit: 'ms',
    means: 'From the swap to a release that failed, to the one before running healthy again: the median.',
    counts(fact) {
      if (fact.swappedAt === null || byHand(fact) || !failed(fact)) return undefined;
      if (fact.status === 'rolled-back')
        return { value: fact.endedAt - fact.swappedAt, says: 'put back by itself' };
      return fact.undoneAt === null
        ? undefined
        : { value: fact.undoneAt - fact.swappedAt, says: 'put back by hand' };
    },
  },
  'rework-rate': {
    title: 'Deployment rework rate',
    unit: 'share',
    means: 'Of the deployments that succeeded, those nobody had planned: emergencies, and rollbacks by hand.',
    counts(fact) {
      if (!succeeded(fact)) return undefined;
      if (byHand(fact)) return { value: 1, says: 'a rollback by hand' };
      return fact.type === 'emergency' ? { value: 1, says: 'an emergency' } : { value: 0, says: 'planned' };
    },
  },
} as const satisfies Record<string, Measure>;
export type MeasureName = keyof typeof measures;
export const measureNames = Object.keys(measures) as MeasureName[];

/** The facts that a measure counts, each with what it adds. */
export const countedBy = (name: MeasureName, facts: readonly DeploymentFact[]) =>
  facts.flatMap((fact) => {
    const counted = (measures[name] as Measure).counts(fact);
    return counted ? [{ ...counted, fact }] : [];
  });

/**
 * A measure over some facts.
 * @param days that they span.
 * @returns null: there is nothing to make it of.
 */
export function figureOf(name: MeasureName, facts: readonly DeploymentFact[], days: number): number | null {
  const values = countedBy(name, facts).map(({ value }) => value);
  const { unit } = measures[name];
  if (unit === 'per-day') return values.length / days;
  if (values.length === 0) return null;
  if (unit === 'share') return values.reduce((sum, value) => sum + value, 0) / values.length;
  values.sort((a, b) => a - b);
  const half = values.length >> 1;
  return values.length % 2 ? values[half]! : (values[half - 1]! + values[half]!) / 2;
}

/** A measure over equal parts of [from, to), in order. */
export function seriesOf(
  name: MeasureName,
  facts: readonly DeploymentFact[],
  from: number,
  to: number,
  parts: number,
): (number | null)[] {
  const length = (to - from) / parts;
  const within: DeploymentFact[][] = Array.from({ length: parts }, () => []);
  for (const fact of facts) within[Math.floor((fact.endedAt - from) / length)]?.push(fact);
  return within.map((part) => figureOf(name, part, length / 86_400_000));
}
