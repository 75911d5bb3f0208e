import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

/**
 * Task queue of all workflows and activities. One queue, because a worker that completes a workflow's task then
 * begins the next activity at once, without another way through the server.
 */
export const controlQueue = 'signalbox';

/** Queue of a target that has runners: whichever of them is there takes what comes. */
export const targetQueue = (target: string) => `target/${target}`;
/** Queue of one runner, by its id: a deployment stays with the host where it began. */
export const runnerQueue = (target: string, runner: string) => `${targetQueue(target)}/${runner}`;

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
/** What an SRE can list and filter by in the Temporal UI. */
export const attributes = {
  target: keyword('SignalboxTarget'),
  promotion: keyword('SignalboxPromotion'),
  changeRequest: keyword('SignalboxChangeRequest'),
  status: keyword('SignalboxStatus'),
  actor: keyword('SignalboxActor'),
};
