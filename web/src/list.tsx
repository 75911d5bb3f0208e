import { useInfiniteQuery } from '@tanstack/react-query';
import { again, pollMs, useApi, useLive, type Page } from './api';
import { number } from './format';

/** A list, newest first, read page by page as it is wanted. @param path of the list, with what it is asked for. */
export function useList<T>(name: string, path: string) {
  const api = useApi();
  const live = useLive();
  const list = useInfiniteQuery({
    queryKey: [name, 'list', path],
    initialPageParam: '',
    queryFn: ({ pageParam }) => api.read<Page<T>>(`${path}${pageParam && `&cursor=${pageParam}`}`),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
    // While a word is typed, what was found stays until more is known.
    placeholderData: (before) => before,
    refetchInterval: again(live ? false : pollMs),
  });
  const pages = list.data?.pages ?? [];
  return { ...list, items: pages.flatMap((page) => page.items), total: pages[0]?.total };
}

/** How much of a list is shown, and what shows more of it. */
export function More({ list }: { list: ReturnType<typeof useList> }) {
  if (list.items.length === 0) return null;
  const { total, items } = list;
  return (
    <p className="row muted">
      {list.hasNextPage
        ? `The newest ${number(items.length)} of ${total == null ? 'more than 10,000' : number(total)}`
        : `${number(items.length)} in all`}
      {list.hasNextPage && (
        <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          {list.isFetchingNextPage ? 'Reading more ...' : 'Show earlier ones'}
        </button>
      )}
    </p>
  );
}
