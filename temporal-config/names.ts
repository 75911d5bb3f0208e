import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

/** Task queue of all workflows and of the activities that only touch Signalbox's own record. */
export const controlQueue = 'signalbox';
/** Task queue of the activities that act on one target. */
export const targetQueue = (target: string): string => `target/${target}`;

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
/** What an SRE can list and filter by in the Temporal UI. */
export const attributes = {
  target: keyword('SignalboxTarget'),
  promotion: keyword('SignalboxPromotion'),
  changeRequest: keyword('SignalboxChangeRequest'),
  status: keyword('SignalboxStatus'),
  actor: keyword('SignalboxActor'),
};
