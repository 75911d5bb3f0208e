import type { DeploymentStatus, MachineName, PromotionStatus } from './machines';

/**
 * As which state a promotion reads. While its latest attempt is rolled back, or could not be, it reads as that attempt
 * does: "Executing" would say that all is well.
 */
export function readsAs(promotion: {
  status: PromotionStatus;
  deployments: readonly { status: DeploymentStatus }[];
}): { machine: MachineName; state: string } {
  const latest = promotion.deployments.at(-1)?.status;
  return latest === 'rolling-back' || latest === 'rollback-failed'
    ? { machine: 'deployment', state: latest }
    : { machine: 'promotion', state: promotion.status };
}
