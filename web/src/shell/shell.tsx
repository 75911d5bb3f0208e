import { useEffect, useState, type ComponentType } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { Announcer } from './announcer';
import { Broken } from './broken';
import { Header } from './header';
import { tabAt, tabs, type Tab } from './tabs';

/** What is around every tab: the way between them, whether the page is up to date, who one is. */
export function Shell({ signOut }: { signOut: () => void }) {
  const [location] = useLocation();
  const tab = tabAt(location);
  useEffect(() => {
    const key = location.split('/')[2];
    document.title = [key && decodeURIComponent(key), tab?.title, 'Signalbox'].filter(Boolean).join(' · ');
  }, [location, tab]);
  useEffect(() => {
    // Read ahead, once the first tab stands, so that every other opens at once, also when the server is away by then.
    const timer = setTimeout(() => void Promise.allSettled(tabs.map(({ load }) => load())), 1_000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      <a href="#main" className="skip">
        Skip to the content
      </a>
      <Header signOut={signOut} />
      <nav aria-label="Tabs" className="tabs">
        {tabs.map(({ path, title, load }) => (
          <Link
            key={path}
            href={path}
            aria-current={tab?.path === path ? 'page' : undefined}
            onPointerEnter={() => void load().catch(() => undefined)}
          >
            {title}
          </Link>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        <Broken key={tab?.path}>
          <Switch>
            {tabs.map((one) => (
              <Route key={one.path} path={`${one.path}/:key?`}>
                <Opened tab={one} />
              </Route>
            ))}
            <Route path="/">
              <Redirect to={tabs[0]!.path} replace />
            </Route>
            <Route>
              <section className="empty">
                <h2>There is no page here</h2>
                <p>
                  Nothing is at <code>{location}</code>. Go to the{' '}
                  <Link href={tabs[0]!.path}>{tabs[0]!.title}</Link>, or choose a tab above.
                </p>
              </section>
            </Route>
          </Switch>
        </Broken>
      </main>
      <Announcer />
    </>
  );
}

/** A tab, once it is read. Suspense would hold back for 300 ms what it shows after its fallback. */
function Opened({ tab }: { tab: Tab }) {
  const [View, setView] = useState<ComponentType | undefined>(() => tab.read());
  const [error, setError] = useState<Error>();
  useEffect(() => {
    if (!View) tab.load().then((view) => setView(() => view), setError);
  }, [tab, View]);
  if (error) throw error;
  return View ? <View /> : <p className="muted">Opening {tab.title} ...</p>;
}
