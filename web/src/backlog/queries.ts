import {
  useInfiniteQuery,
  useMutation,
  useQueries,
  useQuery,
  useQueryClient,
  type QueryClient,
} from '@tanstack/react-query';
import type { ItemView, TotalsView } from '../../../domain/backlog/schemas';
import type { ItemStatus } from '../../../domain/machines';
import type { AuditEntry } from '../../../domain/schemas';
import { useApi, type Page } from '../api';
import { standFor, useMe } from '../shell/me';

/** The backlog from the page's side: what is read, and what is written, shown at once and taken back when refused. */
export const pageSize = 100;

/**
 * The parts of a list that are in sight, by the number of their page: a list is scrolled anywhere, and what is out of
 * sight is neither read nor read again.
 * @param filter as it stands in the address.
 */
export function useItemPages(filter: string, pages: number[]) {
  const api = useApi();
  return useQueries({
    queries: pages.map((page) => ({
      queryKey: ['backlog', filter, page],
      queryFn: () =>
        api.read<Page<ItemView>>(`/backlog-items?limit=${pageSize}&skip=${page * pageSize}&${filter}`),
    })),
    combine: (results) => ({
      at: (index: number) =>
        results[pages.indexOf(Math.floor(index / pageSize))]?.data?.items[index % pageSize],
      error: results.find(({ error }) => error)?.error,
    }),
  });
}
/** The items of one status, as far as one asked to see them. */
export function useColumn(filter: string, status: ItemStatus) {
  const api = useApi();
  return useInfiniteQuery({
    queryKey: ['backlog', 'board', filter, status],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      api.read<Page<ItemView>>(
        `/backlog-items?limit=50&status=${status}&${filter}${pageParam && `&cursor=${pageParam}`}`,
      ),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
  });
}
export function useTotals(filter: URLSearchParams): TotalsView | undefined {
  const api = useApi();
  const asked = new URLSearchParams(filter);
  asked.delete('sort');
  return useQuery({
    queryKey: ['backlog-totals', asked.toString()],
    queryFn: () => api.read<TotalsView>(`/backlog-items/totals?${asked}`),
  }).data;
}
export type Detail = ItemView & { descriptionHtml: string };
export function useItem(key: string) {
  const api = useApi();
  return useQuery({ queryKey: ['item', key], queryFn: () => api.read<Detail>(`/backlog-items/${key}`) });
}
export function useHistory(key: string): AuditEntry[] {
  const api = useApi();
  const read = () => api.read<Page<AuditEntry>>(`/audit?subject=${key}&limit=100`);
  return useQuery({ queryKey: ['item-history', key], queryFn: read }).data?.items ?? [];
}

/** Whether, and as whom, one may write here. */
export const useStand = () => standFor(useMe(), 'backlog');

/**
 * Writes something of the backlog and reads again what may have changed.
 * @param inTurn what is written one after the other: the next when the last was read again; left out: all at once.
 */
export function useWrite<V>(
  write: (api: ReturnType<typeof useApi>, as: string | undefined, value: V) => Promise<unknown>,
  inTurn?: string,
) {
  const api = useApi();
  const queries = useQueryClient();
  const stand = useStand();
  return useMutation({
    ...(inTurn ? { scope: { id: inTurn } } : {}),
    mutationFn: (value: V) => write(api, stand.can ? stand.as : undefined, value),
    onSettled: () =>
      Promise.all(
        ['backlog', 'backlog-totals', 'item', 'item-history', 'epics', 'me'].map((name) =>
          queries.invalidateQueries({ queryKey: [name] }),
        ),
      ),
  });
}

export interface Move {
  key: string;
  /** The item it is placed beside. */
  beside: string;
  side: 'before' | 'after';
  /** Its place in the list, and the one that it goes to. */
  from: number;
  to: number;
}
/** Moves an item in the order: shown at once, and taken back when the server refuses. */
export function useRank(filter: string) {
  const api = useApi();
  const queries = useQueryClient();
  const stand = useStand();
  return useMutation({
    mutationFn: async ({ key, beside, side }: Move) =>
      api.write<ItemView>(`/backlog-items/${key}/rank`, { [side]: beside }, stand.can ? stand.as : undefined),
    async onMutate({ from, to }) {
      await queries.cancelQueries({ queryKey: ['backlog', filter] });
      return show(queries, filter, from, to);
    },
    onError(_error, _move, before) {
      for (const [queryKey, data] of before ?? []) queries.setQueryData(queryKey, data);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['backlog'] }),
  });
}

/** Shows an item at another place of the pages that were read. @returns what they were. */
function show(queries: QueryClient, filter: string, from: number, to: number) {
  const pages = queries
    .getQueriesData<Page<ItemView>>({ queryKey: ['backlog', filter] })
    .filter((entry): entry is [(typeof entry)[0], Page<ItemView>] => entry[1] !== undefined);
  const flat = new Map<number, ItemView>();
  for (const [queryKey, { items }] of pages)
    items.forEach((item, n) => flat.set((queryKey[2] as number) * pageSize + n, item));
  const item = flat.get(from);
  const step = from < to ? 1 : -1;
  for (let at = from; at !== to; at += step) {
    const next = flat.get(at + step);
    // What lies between was never read: nothing is shown before the server answers.
    if (!next || !item) return [];
    flat.set(at, next);
  }
  flat.set(to, item!);
  for (const [queryKey, data] of pages)
    queries.setQueryData(queryKey, {
      ...data,
      items: data.items.map((_, n) => flat.get((queryKey[2] as number) * pageSize + n)!),
    });
  return pages;
}
