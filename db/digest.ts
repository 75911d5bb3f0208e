import { createHash } from 'node:crypto';
import type { TargetConfig } from '../domain/config';

/** What a decision binds to, as a number that changes with any of it. */
const sha256 = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex');

/** What decides a build's result besides the commit. Secrets count by name: their values are never hashed. */
export const recipeDigest = (target: TargetConfig): string =>
  sha256([target.build.argv, target.build.output, Object.keys(target.secrets).sort()]);

/** Whether an approval of this recipe is one of how the target builds now; one of the version before binds to none. */
export const bindsTo = (recipe: string, target: TargetConfig): boolean =>
  recipe === '' || recipe === recipeDigest(target);

/** All that an approval binds to. A revision that was there before has another number, so nothing given then revives. */
export interface BoundContent {
  target: string;
  commit: string;
  recipe: string;
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
