import type { ComponentType, ReactNode } from 'react';

/** The tabs in their order. Each is read when it is first opened, or a moment after the first one stands. */
export interface Tab {
  path: string;
  title: string;
  /** Pressed after "g" it opens the tab. */
  letter: string;
  /** Reads it; once. */
  load(): Promise<ComponentType>;
  /** What was read; undefined until then. */
  read(): ComponentType | undefined;
}
function tab<Name extends string>(
  path: string,
  title: string,
  letter: string,
  name: Name,
  part: () => Promise<Record<Name, () => ReactNode>>,
): Tab {
  let view: ComponentType | undefined;
  const load = async () => (view ??= (await part())[name]);
  return { path, title, letter, load, read: () => view };
}

export const tabs: Tab[] = [
  tab('/overview', 'Overview', 'o', 'OverviewTab', () => import('../overview/overview-tab')),
  tab('/promotions', 'Promotions', 'p', 'PromotionsTab', () => import('../promotions/promotions-tab')),
  tab(
    '/change-requests',
    'Change requests',
    'r',
    'ChangeRequestsTab',
    () => import('../change-requests/change-requests-tab'),
  ),
  tab('/backlog', 'Backlog', 'b', 'BacklogTab', () => import('../backlog/backlog-tab')),
  tab('/epics', 'Epics', 'e', 'EpicsTab', () => import('../epics/epics-tab')),
  tab('/calendar', 'Calendar', 'c', 'CalendarTab', () => import('../calendar/calendar-tab')),
  tab('/audit', 'Audit', 'a', 'AuditTab', () => import('../audit/audit-tab')),
];
export const tabAt = (location: string): Tab | undefined =>
  tabs.find(({ path }) => location === path || location.startsWith(`${path}/`));
