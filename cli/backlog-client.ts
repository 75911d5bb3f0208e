import type {
  BlockedView,
  BlockerView,
  EpicView,
  ImportReport,
  ItemView,
  TotalsView,
  WipLimitsView,
} from '../domain/backlog/schemas';
import type { AuditEntry } from '../domain/schemas';
import type { Page, Read, Send } from './client';

/** The backlog's part of the API from the command line's side. */
export function backlogCalls(call: Send, read: Read) {
  const item = (key: string) => `/backlog-items/${encodeURIComponent(key)}`;
  const epic = (key: string) => `/epics/${encodeURIComponent(key)}`;
  const at = (version: number | undefined): Record<string, string> =>
    version === undefined ? {} : { 'if-match': `"${version}"` };
  return {
    items: (query: URLSearchParams) => read<Page<ItemView>>(`/backlog-items?${query}`),
    totals: (query: URLSearchParams) => read<TotalsView>(`/backlog-items/totals?${query}`),
    exported: (query: URLSearchParams) => read<string>(`/backlog-items/export?${query}`),
    item: (key: string) => read<ItemView>(item(key)),
    history: (key: string) => read<Page<AuditEntry>>(`/audit?subject=${encodeURIComponent(key)}&limit=200`),
    addItem: (body: object) => call<ItemView>('contributor', 'POST', '/backlog-items', body),
    editItem: (key: string, body: object, version?: number) =>
      call<ItemView>('contributor', 'PATCH', item(key), body, at(version)),
    editItems: (body: object) =>
      call<{ items: ItemView[] }>('contributor', 'POST', '/backlog-items/bulk', body),
    rank: (key: string, body: object) => call<ItemView>('contributor', 'POST', `${item(key)}/rank`, body),
    removeItem: (key: string, body: object) => call<ItemView>('contributor', 'DELETE', item(key), body),
    block: (key: string, body: object) =>
      call<BlockerView>('contributor', 'POST', `${item(key)}/blockers`, body),
    resolve: (id: string, body: object) =>
      call<BlockerView>('contributor', 'POST', `/blockers/${encodeURIComponent(id)}/resolve`, body),
    blocked: () => read<BlockedView>('/blockers?limit=200'),
    importItems: (body: object) => call<ImportReport>('contributor', 'POST', '/backlog-items/import', body),
    epics: (query: URLSearchParams) => read<Page<EpicView>>(`/epics?${query}`),
    epic: (key: string) => read<EpicView>(epic(key)),
    addEpic: (body: object) => call<EpicView>('contributor', 'POST', '/epics', body),
    editEpic: (key: string, body: object) => call<EpicView>('contributor', 'PATCH', epic(key), body),
    removeEpic: (key: string, body: object) => call<EpicView>('contributor', 'DELETE', epic(key), body),
    wipLimits: () => read<WipLimitsView>('/wip-limits'),
    setWipLimits: (body: object, version: number) =>
      call<WipLimitsView>('admin', 'PUT', '/wip-limits', body, at(version)),
  };
}
