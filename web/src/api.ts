import { createContext, useContext, useEffect, useState } from 'react';
import { useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { EventSource } from 'eventsource';
import type { Role } from '../../domain/machines';
import type { ChangeRequestView, LogLine, PromotionView, TargetView } from '../../domain/schemas';
import type { Tokens } from './session';

/** The API from the page's side: reads poll, writes carry an Idempotency-Key. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
const pollMs = 1_000;
/** While the stream tells what changed, reading again is only a safety net. */
const livePollMs = 15_000;

export function createApi(tokens: Tokens) {
  const reader = (Object.keys(tokens)[0] ?? 'any') as Role;
  const call = async <T>(role: Role, path: string, body?: object): Promise<T> => {
    const response = await fetch(`/api${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        authorization: `Bearer ${tokens[role] ?? tokens.any ?? ''}`,
        ...(body ? { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const answer: unknown = await response.json();
    if (response.ok) return answer as T;
    const { code, detail } = answer as { code: string; detail: string };
    throw new Problem(response.status, code, detail);
  };
  return {
    read: <T>(path: string) => call<T>(reader, path),
    write: <T>(role: Role, path: string, body: object) => call<T>(role, path, body),
    /** The event stream; it connects again by itself. */
    events: () =>
      new EventSource('/api/events', {
        fetch: (url, init) =>
          fetch(url, {
            ...init,
            headers: { ...init.headers, authorization: `Bearer ${tokens[reader] ?? tokens.any ?? ''}` },
          }),
      }),
    people: async (): Promise<Partial<Record<Role, string>>> => {
      const known = await Promise.all(
        Object.keys(tokens).map((role) => call<{ person: string; roles: Role[] }>(role as Role, '/me')),
      );
      return Object.fromEntries(known.flatMap(({ person, roles }) => roles.map((role) => [role, person])));
    },
  };
}
export type Api = ReturnType<typeof createApi>;
export const ApiContext = createContext<Api | undefined>(undefined);
export const useApi = (): Api => useContext(ApiContext)!;
/** Whether the event stream is connected. */
export const LiveContext = createContext(false);
export const useLive = (): boolean => useContext(LiveContext);

interface Change {
  entity: 'promotion' | 'change-request' | 'deployment' | 'log' | 'target';
  key: string;
}
/** Follows the event stream and reads again what it says has changed. @returns whether it is connected. */
export function useEventStream(api: Api): boolean {
  const queries = useQueryClient();
  const [live, setLive] = useState(false);
  useEffect(() => {
    const source = api.events();
    // One round of reading at a time: a fast stream of changes then can not cancel each read before it ends.
    const dirty = new Set<string>();
    let reading = false;
    const reread = (...key: string[]) => {
      dirty.add(JSON.stringify(key));
      if (!reading) void readAll();
    };
    const readAll = async () => {
      reading = true;
      while (dirty.size > 0) {
        const keys = [...dirty].map((key) => JSON.parse(key) as string[]);
        dirty.clear();
        await Promise.all(keys.map((queryKey) => queries.invalidateQueries({ queryKey })));
      }
      reading = false;
    };
    source.addEventListener('reset', () => {
      setLive(true);
      reread();
    });
    source.addEventListener('change', ({ data }) => {
      const { entity, key } = JSON.parse(data as string) as Change;
      if (entity === 'log') return reread('log', key);
      if (entity === 'change-request') return reread('change-request', key);
      reread('targets');
      if (entity === 'target') return;
      reread('promotions');
      reread('promotion', key.split('.')[0]!);
    });
    source.addEventListener('error', () => setLive(false));
    return () => source.close();
  }, [api, queries]);
  return live;
}

function usePolled<T>(key: unknown[], path: string, enabled = true): UseQueryResult<T> {
  const api = useApi();
  const refetchInterval = useLive() ? livePollMs : pollMs;
  return useQuery({ queryKey: key, queryFn: () => api.read<T>(path), refetchInterval, enabled });
}
export const useTargets = () => usePolled<Page<TargetView>>(['targets'], '/targets');
export const usePromotions = () => usePolled<Page<PromotionView>>(['promotions'], '/promotions?limit=100');
export const usePromotion = (key: string) =>
  usePolled<PromotionView>(['promotion', key], `/promotions/${key}`);
export const useChangeRequest = (key: string) =>
  usePolled<ChangeRequestView>(['change-request', key], `/change-requests/${key}`);
export const usePeople = () => {
  const api = useApi();
  return useQuery({ queryKey: ['people'], queryFn: () => api.people(), staleTime: Infinity }).data ?? {};
};

/** The lines of a deployment's log, read on from where the last read ended; the newest `keep` stay. */
export function useLog(key: string, running: boolean, keep = 2_000): { lines: LogLine[]; dropped: boolean } {
  const api = useApi();
  const live = useLive();
  const { data } = useQuery({
    queryKey: ['log', key],
    queryFn: async ({ client, queryKey }) => {
      const before = client.getQueryData<{ lines: LogLine[]; dropped: boolean }>(queryKey);
      let lines = before?.lines ?? [];
      let dropped = before?.dropped ?? false;
      for (let more = true; more;) {
        const page = await api.read<Page<LogLine>>(`/deployments/${key}/log?after=${lines.at(-1)?.seq ?? 0}`);
        lines = [...lines, ...page.items];
        if (lines.length > keep) [lines, dropped] = [lines.slice(-keep), true];
        more = page.nextCursor !== null;
      }
      return { lines, dropped };
    },
    refetchInterval: running ? (live ? livePollMs : pollMs) : false,
  });
  return data ?? { lines: [], dropped: false };
}
