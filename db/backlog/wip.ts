import {
  counts,
  placesOf,
  scopeKey,
  type Holder,
  type Places,
  type WipLimit,
} from '../../domain/backlog/wip';
import type { WipLimitsView } from '../../domain/backlog/schemas';
import { badInput, SignalboxError } from '../../domain/errors';
import { itemKey, parseEpicKey } from '../../domain/keys';
import type { Tx } from '../connect';
import { movedBy, type Move } from '../transition';

/** Limits on work in progress. Who begins something, and who changes the limits, takes the board's row first. */
const lockBoard = async (tx: Tx) =>
  (await tx('wip_limits').where({ scope: 'board' }).forNoKeyUpdate().first('version')) as { version: number };

async function limitsNow(tx: Tx): Promise<WipLimit[]> {
  const rows = (await tx('wip_limits').whereNotNull('most').orderBy('scope')) as {
    scope: string;
    most: number;
  }[];
  return rows.map(({ scope, most }) => ({ scope, limit: most }));
}

/** What is in progress in the scopes of these limits. */
async function holdersOf(tx: Tx, limits: WipLimit[]): Promise<Holder[]> {
  if (limits.length === 0) return [];
  const after = (prefix: string) =>
    limits.filter(({ scope }) => scope.startsWith(prefix)).map(({ scope }) => scope.slice(prefix.length));
  const board = limits.some(({ scope }) => scope === 'board');
  return (await tx('backlog_items')
    .where({ status: 'in-progress' })
    .whereNull('deleted_at')
    .modify((q) => {
      if (!board)
        void q.where((either) =>
          either
            .whereRaw('person_key(owner) = ANY (SELECT person_key(name) FROM unnest(?::text[]) AS name)', [
              after('owner:'),
            ])
            .orWhereIn('epic', after('epic:').map(parseEpicKey)),
        );
    })
    .orderBy('id')
    .select('id', 'title', 'owner', 'epic')) as Holder[];
}

/** The places of the board as they are now; until the transaction ends nobody else takes or leaves one of them for progress. */
export async function lockPlaces(tx: Tx): Promise<Places> {
  // Without one the lock would be gone before anything is written.
  if (!tx.isTransaction) throw new Error('places are taken in a transaction');
  await lockBoard(tx);
  const limits = await limitsNow(tx);
  return placesOf(limits, await holdersOf(tx, limits));
}

export async function viewWipLimits(tx: Tx): Promise<WipLimitsView> {
  const { version } = (await tx('wip_limits').where({ scope: 'board' }).first('version')) as {
    version: number;
  };
  const limits = await limitsNow(tx);
  const holders = await holdersOf(tx, limits);
  return {
    version,
    limits: limits.map(({ scope, limit }) => {
      const held = holders.filter((holder) => counts(scope, holder));
      return {
        scope,
        limit,
        inProgress: held.length,
        over: held.length > limit,
        holders: held.slice(0, 100).map(({ id, title, owner }) => ({ item: itemKey(id), title, owner })),
      };
    }),
  };
}

/** Replaces all limits. What is in progress stays so, also over a lower limit. */
export async function setWipLimits(tx: Tx, limits: WipLimit[], move: Move, asked?: number): Promise<void> {
  const { version } = await lockBoard(tx);
  if (asked !== undefined && asked !== version)
    throw new SignalboxError(
      'stale-version',
      `The limits are at version ${version} by now, not ${asked}; look again.`,
      { version, limits: await limitsNow(tx) },
    );
  const epics = limits.filter(({ scope }) => scope.startsWith('epic:')).map(({ scope }) => scope.slice(5));
  const known = (await tx('epics')
    .whereIn('id', epics.map(parseEpicKey))
    .whereNull('deleted_at')
    .select('id')) as {
    id: number;
  }[];
  const unknown = epics.find((key) => !known.some(({ id }) => id === parseEpicKey(key)));
  if (unknown) throw badInput(`limits: there is no ${unknown}.`);
  const twice = limits.find(
    ({ scope }, n) => limits.findIndex((other) => scopeKey(other.scope) === scopeKey(scope)) < n,
  );
  if (twice)
    throw badInput(
      `limits: ${twice.scope} is limited twice; one person has one limit, however the name is written.`,
    );
  const moved = movedBy(move);
  await tx('wip_limits')
    .whereNotIn(
      'scope',
      limits.map(({ scope }) => scope),
    )
    .whereNotNull('most')
    .update({ most: null, ...moved });
  for (const { scope, limit } of limits)
    await tx('wip_limits')
      .insert({ scope, most: limit, ...moved })
      .onConflict('scope')
      .merge();
  await tx('wip_limits').where({ scope: 'board' }).increment('version', 1);
}
