import {
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
  type InfiniteData,
} from '@tanstack/react-query';
import type { ItemView, TotalsView } from '../../../domain/backlog/schemas';
import type { AuditEntry } from '../../../domain/schemas';
import { useApi, type Page } from '../api';
import { standFor, useMe } from '../shell/me';

/** The backlog from the page's side: what is read, and what is written, shown at once and taken back when refused. */
type Pages = InfiniteData<Page<ItemView>, string>;

/** @param filter as it stands in the address. */
export function useItems(filter: string) {
  const api = useApi();
  return useInfiniteQuery({
    queryKey: ['backlog', filter],
    initialPageParam: '',
    queryFn: ({ pageParam }) =>
      api.read<Page<ItemView>>(`/backlog-items?limit=100&${filter}${pageParam && `&cursor=${pageParam}`}`),
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

/** Writes something of the backlog and reads again what may have changed. */
export function useWrite<V>(
  write: (api: ReturnType<typeof useApi>, as: string | undefined, value: V) => Promise<unknown>,
) {
  const api = useApi();
  const queries = useQueryClient();
  const stand = useStand();
  return useMutation({
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
}
/** Moves an item in the order: shown at once, and taken back when the server refuses. */
export function useRank(filter: string) {
  const api = useApi();
  const queries = useQueryClient();
  const stand = useStand();
  const queryKey = ['backlog', filter];
  return useMutation({
    mutationFn: async ({ key, beside, side }: Move) =>
      api.write<ItemView>(`/backlog-items/${key}/rank`, { [side]: beside }, stand.can ? stand.as : undefined),
    async onMutate(move) {
      await queries.cancelQueries({ queryKey });
      const before = queries.getQueryData<Pages>(queryKey);
      if (before) queries.setQueryData<Pages>(queryKey, moved(before, move));
      return before;
    },
    onError(_error, _move, before) {
      if (before) queries.setQueryData(queryKey, before);
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['backlog'] }),
  });
}

/** The same pages with one item at another place. */
function moved(data: Pages, { key, beside, side }: Move): Pages {
  const all = data.pages.flatMap((page) => page.items);
  const item = all.find((one) => one.key === key);
  if (!item) return data;
  const rest = all.filter((one) => one !== item);
  rest.splice(rest.findIndex((one) => one.key === beside) + (side === 'after' ? 1 : 0), 0, item);
  let from = 0;
  return {
    ...data,
    pages: data.pages.map((page) => ({ ...page, items: rest.slice(from, (from += page.items.length)) })),
  };
}
