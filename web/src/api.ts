import { createContext, useContext, useEffect, useState } from 'react';
import { useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { EventSource } from 'eventsource';
import { openAttempt } from '../../domain/machines';
import type { BlockedView, EpicView, WipLimitsView } from '../../domain/backlog/schemas';
import type {
  CalendarView,
  ChangeRequestDetail,
  ChangesView,
  CopyingView,
  DeploymentView,
  HistoryView,
  LogLine,
  MeView,
  NeedsView,
  PromotionView,
  TargetView,
  WindowStatusView,
} from '../../domain/schemas';
import { acting, type Session } from './session';

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
  /** How many there are on all pages; null: more than are counted. Items of the backlog are counted elsewhere. */
  total?: number | null;
}
/** How often is read again while there is no stream. */
export const pollMs = 5_000;
/** While the stream tells what changed, reading again is only a safety net. */
const livePollMs = 15_000;

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
interface Sent {
  body?: object;
  as?: string;
  version?: number;
  key?: string;
}
const unanswered =
  'Signalbox did not answer, so it is not known whether it took this. Nothing is sent again by itself: look, and press again.';
/** A page that stood still for so long (its computer slept) does not go on with what it had begun to send. */
const mostSleptMs = 60_000;
const slept = 'This page stood still meanwhile, so that nothing more was sent; ship it again.';

export function createApi({ bearer }: Session) {
  /** @param as for this request alone; left out: as whom this tab goes on. */
  const identity = (as = acting()): Record<string, string> => ({
    ...(bearer ? { authorization: `Bearer ${bearer}` } : {}),
    ...(as === undefined ? {} : { 'signalbox-as': as }),
  });
  const call = async <T>(
    path: string,
    method: Method,
    { body, as, version, key = crypto.randomUUID() }: Sent = {},
  ): Promise<T> => {
    const response = await fetch(`/api${path}`, {
      method,
      headers: {
        ...identity(as),
        ...(body ? { 'content-type': 'application/json', 'idempotency-key': key } : {}),
        ...(version === undefined ? {} : { 'if-match': `"${version}"` }),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    }).catch((cause: unknown) => {
      throw method === 'GET' ? cause : new Error(unanswered, { cause });
    });
    const answer: unknown = await response.json();
    if (response.ok) return answer as T;
    const { code, detail } = answer as { code: string; detail: string };
    throw new Problem(response.status, code, detail);
  };
  return {
    read: <T>(path: string) => call<T>(path, 'GET'),
    /** @param as a sample person, for this alone. */
    write: <T>(path: string, body: object, as?: string) => call<T>(path, 'POST', { body, as }),
    /** Ships; sends it again under the same key while the repository is being copied. @param waiting hears how far that is. */
    async ship(
      body: object,
      as: string | undefined,
      waiting: (detail: string) => void,
    ): Promise<PromotionView> {
      const key = crypto.randomUUID();
      for (;;) {
        const answer = await call<PromotionView | CopyingView>('/promotions', 'POST', { body, as, key });
        if (!('retryAfterSeconds' in answer)) return answer;
        waiting(answer.detail.split(' Nothing is shipped')[0]!);
        const asked = Date.now();
        await new Promise((resolve) => setTimeout(resolve, answer.retryAfterSeconds * 1000));
        if (Date.now() - asked > answer.retryAfterSeconds * 1000 + mostSleptMs) throw new Error(slept);
      }
    },
    /** @param version the one that was looked at; another is refused. */
    change: <T>(path: string, body: object, as?: string, version?: number) =>
      call<T>(path, 'PATCH', { body, as, version }),
    /** @param version the one that was looked at; another is refused. */
    remove: (path: string, body: object, as?: string, version?: number) =>
      call<unknown>(path, 'DELETE', { body, as, version }),
    /** A question too long for an address: it changes nothing. */
    ask: <T>(path: string, body: object) => call<T>(path, 'POST', { body }),
    /** Reads a text and gives it to the browser to keep. */
    async download(path: string, name: string): Promise<void> {
      const response = await fetch(`/api${path}`, { headers: identity() });
      if (!response.ok) throw new Error(`${name} could not be read; try again.`);
      const address = URL.createObjectURL(await response.blob());
      Object.assign(document.createElement('a'), { href: address, download: name }).click();
      // The browser has begun to read it by then.
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    },
    signOut: () => call('/session', 'DELETE', { body: {} }),
    /** The event stream; it connects again by itself. */
    events: () =>
      new EventSource('/api/events', {
        fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...identity() } }),
      }),
  };
}
export type Api = ReturnType<typeof createApi>;
export const ApiContext = createContext<Api | undefined>(undefined);
export const useApi = (): Api => useContext(ApiContext)!;
/** Whether the event stream is connected. */
export const LiveContext = createContext(false);
export const useLive = (): boolean => useContext(LiveContext);

interface Change {
  entity:
    | 'promotion'
    | 'change-request'
    | 'deployment'
    | 'log'
    | 'target'
    | 'window'
    | 'backlog-item'
    | 'epic'
    | 'wip-limits';
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
      if (entity !== 'backlog-item' && entity !== 'epic') reread('needs');
      if (entity === 'change-request') {
        reread('change-requests');
        reread('calendar');
        return reread('change-request', key);
      }
      if (entity === 'backlog-item') {
        reread('backlog');
        reread('backlog-totals');
        reread('item', key);
        reread('item-history', key);
        reread('promotion');
        reread('blocked');
        reread('wip-limits');
        return reread('epics');
      }
      if (entity === 'epic') return reread('epics');
      if (entity === 'wip-limits') return reread('wip-limits');
      reread('targets');
      reread('window');
      reread('calendar');
      if (entity === 'deployment') {
        reread('delivery-metrics');
        reread('deployments');
      }
      if (entity === 'window') return reread('deployment-window');
      if (entity === 'target') return;
      reread('promotions');
      reread('promotion', key.split('.')[0]!);
    });
    source.addEventListener('error', () => setLive(false));
    return () => source.close();
  }, [api, queries]);
  return live;
}

/** Whether a read failed for what may pass: nobody answered, or a server in trouble did. */
const mayPass = (error: Error | null): boolean =>
  error !== null && !(error instanceof Problem && error.status < 500 && error.status !== 429);
/** When to read again: what failed soon, since no change may ever announce it again; else every so many milliseconds. */
export const again =
  (everyMs: number | false) =>
  ({ state }: { state: { error: Error | null } }): number | false =>
    mayPass(state.error) ? pollMs : everyMs;

/** Reads again on its own every now and then: often without the stream, seldom with it. */
export function usePolled<T>(key: unknown[], path: string, enabled = true): UseQueryResult<T> {
  const api = useApi();
  const refetchInterval = again(useLive() ? livePollMs : pollMs);
  return useQuery({ queryKey: key, queryFn: () => api.read<T>(path), refetchInterval, enabled });
}
export const useWipLimits = () => usePolled<WipLimitsView>(['wip-limits'], '/wip-limits');
export const useBlocked = () => usePolled<BlockedView>(['blocked'], '/blockers?limit=50');
export const useEpics = () => usePolled<Page<EpicView>>(['epics'], '/epics?limit=200');
/** Whether Signalbox answers, and since when it does not. */
export function useStanding(): { error: Error | null; since: number } {
  // The smallest thing there is to read: it is asked for on every tab.
  const { error, dataUpdatedAt } = usePolled<MeView>(['me'], '/me');
  return { error, since: dataUpdatedAt };
}
/** @param from first instant of the range, in UTC. @param to its end, exclusive. */
export const useCalendar = (from: string, to: string) =>
  usePolled<CalendarView>(['calendar', from, to], `/calendar?from=${from}&to=${to}`);
export const useHistory = (deployment: string) =>
  usePolled<HistoryView>(['promotion', 'history', deployment], `/deployments/${deployment}/history`);
export const useTargets = () => usePolled<Page<TargetView>>(['targets'], '/targets');
/** Promotions on which somebody, or Signalbox, has still something to do, however old. */
export const useOpenPromotions = () =>
  usePolled<Page<PromotionView>>(
    ['promotions', 'open'],
    '/promotions?limit=200&status=pending&status=approved&status=executing&status=rolled-back',
  );
/** What waits for somebody, complete; more than a hundred are counted. */
export const useNeeds = () => usePolled<NeedsView>(['needs'], '/needs?limit=100');
/** Attempts that run, wait, or could not be rolled back. */
export const useOpenDeployments = () =>
  usePolled<Page<DeploymentView>>(
    ['deployments', 'open'],
    `/deployments?limit=200&${openAttempt.map((status) => `status=${status}`).join('&')}`,
  );
export const usePromotion = (key: string) =>
  usePolled<PromotionView>(['promotion', key], `/promotions/${key}`);
/** What deploying it would change of what its target runs. @param live digest of what that is. */
export function useChanges(key: string, live: string | undefined, enabled: boolean) {
  const api = useApi();
  return useQuery({
    queryKey: ['changes', key, live],
    queryFn: () => api.read<ChangesView>(`/promotions/${key}/changes`),
    staleTime: Infinity,
    enabled,
  });
}
/** Whether this promotion's window is open. */
export const useWindow = (key: string) =>
  usePolled<WindowStatusView>(['window', key], `/deployment-windows/status?promotion=${key}`);
export const useChangeRequest = (key: string) =>
  usePolled<ChangeRequestDetail>(['change-request', key], `/change-requests/${key}`);
export interface LogWindow {
  lines: LogLine[];
  /** Whether lines before the first one shown are left out. */
  cut: boolean;
  /** Why nothing is known of it. */
  unread?: string;
}
const nothing: LogWindow = { lines: [], cut: false };
const keepLines = 2_000;
const keepChars = 2_097_152;

const whyUnread = (error: Error) =>
  error instanceof Problem ? error.message : 'The log could not be read; that is tried again every 5 s.';

/**
 * The newest lines of a deployment's log, as it grows. Whatever a build writes, the page reads at most two parts
 * for each change and keeps a bounded part: when it fell behind, it goes on from the newest lines.
 */
export function useLog(key: string, running: boolean): LogWindow {
  const api = useApi();
  const live = useLive();
  const { data, error, refetch } = useQuery({
    queryKey: ['log', key],
    queryFn: async ({ client, queryKey }) => {
      const before = client.getQueryData<LogWindow>(queryKey) ?? nothing;
      const last = before.lines.at(-1)?.seq ?? 0;
      const next = await logPart(api, key, `after=${last}&limit=${keepLines}`);
      if (next.nextCursor === null) return newest([...before.lines, ...next.items]);
      return newest((await logPart(api, key, `after=${last}&limit=${keepLines}&tail=true`)).items);
    },
    refetchInterval: again(running && (live ? livePollMs : pollMs)),
  });
  // Its end may have been read after the log was.
  useEffect(() => {
    if (!running) void refetch({ cancelRefetch: false });
  }, [running, refetch]);
  if (data) return data;
  return { ...nothing, unread: error ? whyUnread(error) : 'Reading the log ...' };
}
/** The part of a log that begins with this line; nothing without one. */
export function useLogFrom(key: string, from: number | undefined): LogWindow | undefined {
  const api = useApi();
  const read = () => logPart(api, key, `after=${from! - 1}`);
  const query = { queryKey: ['log-part', key, from], queryFn: read, enabled: from !== undefined };
  const { data } = useQuery({ ...query, staleTime: Infinity });
  return data && { lines: data.items, cut: from! > 1 };
}
/** The newest lines with a text, as they are written. */
export function useLogWith(key: string, contains: string, running: boolean): LogWindow | undefined {
  const api = useApi();
  const live = useLive();
  const { data } = useQuery({
    queryKey: ['log', key, contains],
    queryFn: () => logPart(api, key, `tail=true&limit=500&contains=${encodeURIComponent(contains)}`),
    enabled: contains !== '',
    refetchInterval: again(running && (live ? livePollMs : pollMs)),
    placeholderData: (before) => before,
  });
  return contains && data ? { lines: data.items, cut: data.items.length === 500 } : undefined;
}
const logPart = (api: Api, key: string, query: string) =>
  api.read<Page<LogLine>>(`/deployments/${key}/log?${query}`);

function newest(lines: LogLine[]): LogWindow {
  let first = Math.max(0, lines.length - keepLines);
  let chars = lines.slice(first).reduce((sum, { text }) => sum + text.length, 0);
  for (; chars > keepChars; first++) chars -= lines[first]!.text.length;
  const kept = lines.slice(first);
  return { lines: kept, cut: (kept[0]?.seq ?? 1) > 1 };
}

/** What a program wrote as an error first, else what a step said when it failed. */
export const errorIn = (lines: LogLine[]): LogLine | undefined =>
  lines.find(({ stream }) => stream === 'err') ??
  lines.find(({ stream, text }) => stream === 'note' && /failed|Unhealthy/.test(text));
/** The first error of a whole log, wherever it is. */
export async function findFirstError(api: Api, key: string): Promise<LogLine | undefined> {
  const [errors, notes] = await Promise.all([
    logPart(api, key, 'stream=err&limit=1'),
    logPart(api, key, 'stream=note'),
  ]);
  return errorIn([...errors.items, ...notes.items]);
}
