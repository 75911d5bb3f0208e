import { lazy, type ComponentType, type ReactNode } from 'react';

/** The tabs in their order. Each is read when it is first opened, or a moment after the page stands. */
export interface Tab {
  path: string;
  title: string;
  /** Pressed after "g" it opens the tab. */
  letter: string;
  load(): Promise<unknown>;
  View: ComponentType<object>;
}
const tab = <Name extends string>(
  path: string,
  title: string,
  letter: string,
  name: Name,
  load: () => Promise<Record<Name, () => ReactNode>>,
): Tab => ({
  path,
  title,
  letter,
  load,
  View: lazy(async () => ({ default: (await load())[name] as () => ReactNode })),
});

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
