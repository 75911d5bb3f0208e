import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

/**
 * Task queue of all workflows and activities. One queue, because a worker that completes a workflow's task then
 * begins the next activity at once, without another way through the server.
 */
export const controlQueue = 'signalbox';

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
/** What an SRE can list and filter by in the Temporal UI. */
export const attributes = {
  target: keyword('SignalboxTarget'),
  promotion: keyword('SignalboxPromotion'),
  changeRequest: keyword('SignalboxChangeRequest'),
  status: keyword('SignalboxStatus'),
  actor: keyword('SignalboxActor'),
};
