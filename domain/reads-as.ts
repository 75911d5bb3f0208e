import type { DeploymentStatus, MachineName, PromotionStatus } from './machines';

/**
 * As which state a promotion reads. While its latest attempt is rolled back, or could not be, it reads as that attempt
 * does: "Executing" would say that all is well.
 */
export function readsAs(
  status: PromotionStatus,
  latest: DeploymentStatus | null | undefined,
): { machine: MachineName; state: string } {
  return latest === 'rolling-back' || latest === 'rollback-failed'
    ? { machine: 'deployment', state: latest }
    : { machine: 'promotion', state: status };
}
