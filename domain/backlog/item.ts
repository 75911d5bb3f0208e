import { badInput, SignalboxError } from '../errors';
import { itemKey, parseEpicKey } from '../keys';
import { mayFollow, rowOf, type ItemStatus, type Priority } from '../machines';
import type { Places } from './wip';
import { sentences } from '../sentences';

/** What a backlog item says, and the rule by which it changes. */
export interface ItemFields {
  title: string;
  description: string;
  status: ItemStatus;
  priority: Priority;
  epic: number | null;
  owner: string | null;
  /** A day, `2026-12-24`. */
  dueDate: string | null;
  labels: string[];
  externalId: string | null;
}
export type ItemEdit = Partial<ItemFields>;

/** An epic's key as its number; null: none; undefined: not said. */
export const epicOf = (key: string | null | undefined): Pick<ItemEdit, 'epic'> =>
  key === undefined ? {} : { epic: key === null ? null : parseEpicKey(key) };

/** In which orders items are listed. */
export const sorts = ['rank', 'priority', 'due', 'updated'] as const;
export type Sort = (typeof sorts)[number];

/** An open blocker, as a refusal names it. */
export interface OpenBlocker {
  /** The key of the item that blocks; null: something outside. */
  blockedBy: string | null;
  reason: string;
}

/**
 * What an edit changes of an item.
 * @param reason why; needed to reopen and to defer.
 * @param blockers what blocks it now.
 * @param places who is in progress; taken, if it begins or goes to another owner or epic.
 * @throws illegal-transition, invalid-input without a needed reason, blocked, wip-limit.
 */
export function changesOf(
  id: number,
  before: ItemFields,
  edit: ItemEdit,
  reason: string | undefined,
  blockers: readonly OpenBlocker[],
  places: Places,
): ItemEdit {
  const changes = Object.fromEntries(
    Object.entries(edit).filter(
      ([field, value]) =>
        value !== undefined && JSON.stringify(value) !== JSON.stringify(before[field as keyof ItemFields]),
    ),
  ) as ItemEdit;
  const key = itemKey(id);
  const { status } = changes;
  if (status !== undefined) {
    if (!mayFollow('backlogItem', before.status, status))
      throw new SignalboxError(
        'illegal-transition',
        `${key} is ${before.status}; it can become ${rowOf('backlogItem', before.status)!.to.join(' or ')}, not ${status}.`,
      );
    const why = reasonFor(before.status, status);
    if (why && !reason) throw badInput(`To ${why} ${key}, say why: reason. It stays in its history.`);
    if (status === 'done' && blockers.length > 0) throw whyBlocked(key, blockers);
  }
  const after = { ...before, ...changes };
  if (after.status === 'in-progress') places.take({ id, ...after });
  else places.leave(id);
  return changes;
}

const reasonFor = (before: ItemStatus, after: ItemStatus) =>
  after === 'deferred' ? 'defer' : before === 'done' ? 'reopen' : undefined;

/** Why a blocked item is not done. */
export const whyBlocked = (key: string, blockers: readonly OpenBlocker[]): SignalboxError =>
  new SignalboxError(
    'blocked',
    sentences(`${key} is blocked by ${blockers.map(inWords).join(' and ')}`, 'Resolve it first'),
    {
      blockers,
    },
  );
/** A blocker in a few words. */
export const inWords = ({ blockedBy, reason }: OpenBlocker): string =>
  blockedBy ? `${blockedBy} (${reason})` : `"${reason}"`;
