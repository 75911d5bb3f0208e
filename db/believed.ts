import type { Db } from './connect';
import type { DeploymentRow } from './deployments';

/**
 * What is believed of an attempt is what stands in its rows, and nothing that Temporal says a step has answered: whoever
 * reaches Temporal can answer for a worker.
 */

/** Notes what was planned, as its workflow is told it. */
export const planned = (
  db: Db,
  deployment: number,
  plan: NonNullable<DeploymentRow['plan']>,
  resumes?: boolean,
) =>
  db('deployments')
    .where({ id: deployment })
    .update({ plan: JSON.stringify(plan), ...(resumes === undefined ? {} : { resumes }) });
