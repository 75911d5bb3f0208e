import { useEffect, type ComponentType } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { AuditTab } from './audit/audit-tab';
import { Problem, useLive, useStanding } from './api';
import { BacklogTab } from './backlog/backlog-tab';
import { ChangeRequestsTab } from './change-requests/change-requests-tab';
import { EpicsTab } from './epics/epics-tab';
import { OverviewTab } from './overview/overview-tab';
import { WhoAmI } from './me';
import { PromotionsTab } from './promotions/promotions-tab';

/** What is around every tab: the way between them, whether the page is up to date, who one is. */
const tabs: { path: string; title: string; Tab: ComponentType }[] = [
  { path: '/overview', title: 'Overview', Tab: OverviewTab },
  { path: '/promotions', title: 'Promotions', Tab: PromotionsTab },
  { path: '/change-requests', title: 'Change requests', Tab: ChangeRequestsTab },
  { path: '/backlog', title: 'Backlog', Tab: BacklogTab },
  { path: '/epics', title: 'Epics', Tab: EpicsTab },
  { path: '/audit', title: 'Audit', Tab: AuditTab },
];

export function Shell({ signOut }: { signOut: () => void }) {
  const [location] = useLocation();
  const tab = tabs.find(({ path }) => location.startsWith(path));
  useEffect(() => {
    const key = location.split('/')[2];
    document.title = [key && decodeURIComponent(key), tab?.title, 'Signalbox'].filter(Boolean).join(' · ');
  }, [location, tab]);
  return (
    <>
      <Header signOut={signOut} />
      <nav aria-label="Tabs" className="tabs">
        {tabs.map(({ path, title }) => (
          <Link key={path} href={path} aria-current={tab?.path === path ? 'page' : undefined}>
            {title}
          </Link>
        ))}
      </nav>
      <main>
        <Switch>
          {tabs.map(({ path, Tab }) => (
            <Route key={path} path={`${path}/:key?`} component={Tab} />
          ))}
          <Route>
            <Redirect to={tabs[0]!.path} replace />
          </Route>
        </Switch>
      </main>
    </>
  );
}

function Header({ signOut }: { signOut: () => void }) {
  const live = useLive();
  const { error, since } = useStanding();
  const refused = error instanceof Problem && error.status === 401;
  useEffect(() => {
    if (refused) signOut();
  }, [refused, signOut]);
  return (
    <header>
      <h1>
        <img src="/signal.svg" alt="" width="24" height="24" /> Signalbox
      </h1>
      <p className={error ? 'live stale' : 'live'} role="status">
        {error
          ? `Signalbox does not answer. This is what was known at ${new Date(since).toLocaleTimeString()}; trying again every second.`
          : live
            ? 'Live: every change shows as it happens'
            : 'Updating every second; the live stream is being connected'}
      </p>
      <WhoAmI />
      <a href="/api/docs/">API</a>
      <button type="button" className="plain" onClick={signOut}>
        Sign out
      </button>
    </header>
  );
}
