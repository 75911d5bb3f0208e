import { Suspense, useEffect } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { Announcer } from './announcer';
import { Broken } from './broken';
import { Header } from './header';
import { tabAt, tabs } from './tabs';

/** What is around every tab: the way between them, whether the page is up to date, who one is. */
export function Shell({ signOut }: { signOut: () => void }) {
  const [location] = useLocation();
  const tab = tabAt(location);
  useEffect(() => {
    const key = location.split('/')[2];
    document.title = [key && decodeURIComponent(key), tab?.title, 'Signalbox'].filter(Boolean).join(' · ');
  }, [location, tab]);
  useEffect(() => {
    // Read ahead, so that every tab opens at once, also when the server is away by then.
    const timer = setTimeout(() => void Promise.allSettled(tabs.map(({ load }) => load())), 1_500);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      <a href="#main" className="skip">
        Skip to the content
      </a>
      <Header signOut={signOut} />
      <nav aria-label="Tabs" className="tabs">
        {tabs.map(({ path, title }) => (
          <Link key={path} href={path} aria-current={tab?.path === path ? 'page' : undefined}>
            {title}
          </Link>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        <Broken key={tab?.path}>
          <Suspense fallback={<p className="muted">Opening {tab?.title} ...</p>}>
            <Switch>
              {tabs.map(({ path, View }) => (
                <Route key={path} path={`${path}/:key?`} component={View} />
              ))}
              <Route>
                <Redirect to={tabs[0]!.path} replace />
              </Route>
            </Switch>
          </Suspense>
        </Broken>
      </main>
      <Announcer />
    </>
  );
}
