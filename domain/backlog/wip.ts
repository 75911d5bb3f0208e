import { SignalboxError } from '../errors';
import { epicKey, itemKey } from '../keys';
import { personKey } from '../person';

/**
 * Limits on work in progress: of the board, of an owner, of an epic. A limit never ends work that was begun; it lets
 * nothing more begin.
 */
export interface WipLimit {
  /** `board`, `owner:<name>` or `epic:EPIC-3`. */
  scope: string;
  /** At most so many items in progress. */
  limit: number;
}
/** An item in progress, as far as limits count it; a new one has no number above 0 yet. */
export interface Holder {
  id: number;
  title: string;
  owner: string | null;
  epic: number | null;
}

/** Whether a limit counts an item. One owner is one person, however the name is written. */
export const counts = (scope: string, item: Pick<Holder, 'owner' | 'epic'>): boolean =>
  scope === 'board' ||
  (item.owner !== null && sameScope(scope, `owner:${item.owner}`)) ||
  (item.epic !== null && scope === `epic:${epicKey(item.epic)}`);
export const scopeKey = (scope: string): string =>
  scope.startsWith('owner:') ? `owner:${personKey(scope.slice(6))}` : scope;
const sameScope = (one: string, other: string) => scopeKey(one) === scopeKey(other);
const inWords = (scope: string) =>
  scope === 'board' ? 'the board' : scope.startsWith('owner:') ? scope.slice(6) : scope.slice(5);

/** Who is where at this moment; changes of one transaction are played through in it, one after the other. */
export interface Places {
  /** Takes the item's places. @throws wip-limit naming who holds them. */
  take(item: Holder): void;
  leave(id: number): void;
}

/** @param holders what is in progress already, in the scopes of these limits. */
export function placesOf(limits: readonly WipLimit[], holders: readonly Holder[]): Places {
  const inProgress = new Map(holders.map((holder) => [holder.id, holder]));
  return {
    take(item) {
      for (const { scope, limit } of limits) {
        if (!counts(scope, item)) continue;
        const before = inProgress.get(item.id);
        // Where it has its place already it takes no other one.
        if (before && counts(scope, before)) continue;
        const held = [...inProgress.values()].filter((h) => h.id !== item.id && counts(scope, h));
        if (held.length < limit) continue;
        const by = held.map(({ id, title, owner }) => ({ item: nameOf({ id, title }), title, owner }));
        throw new SignalboxError(
          'wip-limit',
          `${nameOf(item)} can not be in progress: ${inWords(scope)} may have ${limit} in progress and has ${held.length}${by.length > 0 ? `: ${shortly(by)}` : ''}. Finish or defer one of them first, or let an admin raise the limit.`,
          { scope, limit, inProgress: held.length, holders: by.slice(0, 100) },
        );
      }
      inProgress.set(item.id, item);
    },
    leave(id) {
      inProgress.delete(id);
    },
  };
}

const nameOf = ({ id, title }: Pick<Holder, 'id' | 'title'>) => (id > 0 ? itemKey(id) : `"${title}"`);
const shortly = (held: { item: string; owner: string | null }[]) =>
  held
    .slice(0, 5)
    .map(({ item, owner }) => `${item} (${owner ?? 'nobody'})`)
    .join(', ') + (held.length > 5 ? ` and ${held.length - 5} more` : '');
