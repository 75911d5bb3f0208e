import { ApplicationFailure } from '@temporalio/activity';
import type { Db } from '../db/connect';
import { ownedBy } from '../db/deployments';
import { knownIncarnation } from '../db/installation';
import { incarnationOf } from '../domain/incarnation';
import { orderedBy } from './orders';

/**
 * A workflow that was started before the database was restored, and that the record does not know, begins nothing: its
 * number may have been given out again.
 * @throws a failure that ends the workflow.
 */
export async function demandPresent(db: Db): Promise<void> {
  const { workflowId } = orderedBy();
  const incarnation = await knownIncarnation(db);
  if (incarnationOf(workflowId) === incarnation || (await ownedBy(db, [workflowId])).length > 0) return;
  throw ApplicationFailure.nonRetryable(
    `${workflowId} was started before the database was restored or failed over, and is not in the record. Nothing was changed; ask for it again.`,
    'DatabaseRestored',
  );
}
