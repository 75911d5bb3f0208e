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

/** The same of a promotion with its attempts; what was not submitted yet waits for no approval. */
export const promotionReadsAs = (p: {
  status: PromotionStatus;
  draft: boolean;
  deployments: readonly { status: DeploymentStatus }[];
}): { machine: MachineName; state: string } =>
  p.draft && p.status === 'pending'
    ? { machine: 'changeRequest', state: 'draft' }
    : readsAs(p.status, p.deployments.at(-1)?.status);
