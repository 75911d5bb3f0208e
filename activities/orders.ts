import { Context } from '@temporalio/activity';
import type { Logger } from 'pino';
import { z } from 'zod';
import { verdict } from './causes';
import { wrapped } from './wrapped';

/**
 * Whoever reaches Temporal can order any activity, of any worker or runner, with any input. So an order is only a number:
 * what it is about, and every path, comes from the record, and whether it may be done is asked there by the id of the
 * workflow that orders it. What no workflow orders at all is refused here.
 */
export const forged = (why: string) =>
  verdict(
    'Forged',
    `Refused: ${why} Only what a workflow of Signalbox's record orders is done; nothing was changed.`,
  );

/** The workflow that orders what is being done. */
export const orderedBy = () => Context.current().info.workflowExecution!;

export const ofWorkflows = <A extends object>(activities: A, log: Logger): A =>
  wrapped(activities, (run, name) => async (...args) => {
    const { info } = Context.current();
    if (info.workflowExecution) return run(...args);
    log.warn({ activity: name, id: info.activityId }, 'refused an activity that no workflow orders');
    throw forged(
      `${name} was ordered by itself, as "${info.activityId}", and by no workflow that is recorded.`,
    );
  });

/** Of what a step is told only this is used, and held against the record: the key names a folder. */
const order = z.looseObject({
  deployment: z.int().min(1),
  key: z.string().regex(/^CP-[1-9][0-9]{0,8}\.[1-9][0-9]{0,8}$/),
  target: z.string(),
  round: z.int().min(1),
});
export function demandOrder(step: string, input: unknown): void {
  if (!order.safeParse(input).success) throw forged(`an order for ${step} that names no attempt by its key.`);
}
