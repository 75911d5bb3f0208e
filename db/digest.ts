import { createHash } from 'node:crypto';
import type { TargetConfig } from '../domain/config';

/** What a decision binds to, as a number that changes with any of it. */
const sha256 = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');

/**
 * Digest of what decides a build's result besides the commit: the same commit with the same is not built twice. Secrets
 * count by name: their values are never hashed.
 */
export const buildRecipe = (target: TargetConfig): string =>
  sha256([
    ...[target.build.argv, target.build.output, Object.keys(target.secrets).sort()],
    ...(target.submodules ? [target.submodules] : []),
  ]);

/**
 * Limits of time and size decide only whether it ends in time or is given up: raising one voids no approval. All else is
 * bound, also what a later version adds.
 */
const limits = new Set([
  ...['timeoutSeconds', 'deadlineSeconds', 'intervalMs', 'requestTimeoutMs', 'maxBytes'],
  ...['memoryMiB', 'processes', 'fileMiB'],
]);
const withoutLimits = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(withoutLimits)
    : value !== null && typeof value === 'object'
      ? Object.entries(value)
          .filter(([name]) => !limits.has(name))
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([name, inner]) => [name, withoutLimits(inner)])
      : value;

/**
 * Digest of all that acts on the target: how it builds, migrates, switches, checks and backs up, and the names of its
 * secrets. An approval binds to it. A setting that a later version adds with a default belongs in only where it differs
 * from it: everything approved before would be void otherwise.
 */
export const targetRecipe = (target: TargetConfig): string => {
  const { build, migrate, driver, health, backup, secrets, sandbox, requireSandbox, submodules } = target;
  const kept = [
    ...(submodules ? [{ submodules }] : []),
    ...(sandbox === undefined ? [] : [{ sandbox }]),
    ...(requireSandbox ? [{ requireSandbox }] : []),
  ];
  return sha256(
    withoutLimits([build, migrate ?? null, driver, health, backup, Object.keys(secrets).sort(), ...kept]),
  );
};

/** What a request binds to of its target. */
export interface Bound {
  /** How it builds. Earlier versions compare it with this alone, so that both can be at work during an upgrade. */
  recipe: string;
  /** All that acts on it, and after a "+" all that acts where its runner is; null: an earlier version noted none. */
  acts: string | null;
}
/**
 * What an approval of now binds to. The runners of a target act by a targets file of their own, on its host, so that it
 * binds to theirs, too.
 * @param there digests of how they act, as they say.
 */
export const boundTo = (target: TargetConfig, there: readonly string[]): Bound => ({
  recipe: buildRecipe(target),
  acts: [targetRecipe(target), ...there.slice(0, 1)].join('+'),
});

/**
 * Whether an approval of this is one of how the target acts now. What earlier versions did not note binds to nothing: an
 * upgrade voids no approval.
 * @param there digests of how its runners act, or of the one that is about to; none: there is none that says it.
 */
export function bindsTo({ recipe, acts }: Bound, target: TargetConfig, there: readonly string[]): boolean {
  const all = targetRecipe(target);
  if (!['', buildRecipe(target), all].includes(recipe)) return false;
  const [here, runner] = acts?.split('+') ?? [];
  return (
    (here === undefined || here === all) &&
    (runner === undefined || there.length === 0 || there.includes(runner))
  );
}

/** All that an approval binds to. A revision that was there before has another number, so nothing given then revives. */
export interface BoundContent {
  target: string;
  commit: string;
  recipe: string;
  /** Left out where none was noted. */
  acts?: string;
  type: string;
  risk: string;
  riskReason: string | null;
  title: string;
  description: string;
  emergencyReason: string | null;
  rollbackPlan: string;
  backupPlan: string;
  plannedStart: string | null;
  plannedMinutes: number | null;
  backlogItems: string[];
  conflictsAccepted: string | null;
}
export const contentDigest = (content: BoundContent, revision: number): string =>
  sha256([revision, Object.entries(content).sort(([a], [b]) => (a < b ? -1 : 1))]);
